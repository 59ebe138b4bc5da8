"""Help pages are for people: options under headings, limits in words, eighty columns."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from ledger.cli.app.help_page import FEW, limits_in_words
from ledger.cli.app.main import app
from tests.support.programs import LEDGER, command_called, every_command

COMMANDS = [name for name in every_command() if name.split()[0] == LEDGER]
LONG = [
    name
    for name in COMMANDS
    if sum(not one.hidden for one in command_called(name).params) > FEW + 3
]
NOUNS = sorted({name.rpartition(" ")[0] for name in COMMANDS})
AT_MOST = 12
"""Options under one heading."""


def page(name: str, columns: int = 80) -> str:
    ended = CliRunner().invoke(
        app, [*name.split()[1:], "--help"], env={"COLUMNS": str(columns), "TERM": "dumb"}
    )
    assert ended.exit_code == 0
    return ended.stdout


def headings(shown: str) -> list[str]:
    return re.findall(r"^╭─ (.+?) ─+╮$", shown, re.MULTILINE)


def below(shown: str, heading: str) -> str:
    return shown.split(f"╭─ {heading} ")[1].split("╰─")[0]


def test_ledger_up_has_its_options_under_six_headings() -> None:
    assert headings(page("ledger up")) == [
        "Which databases",
        "Which migrations",
        "How far and how fast",
        "Timeouts",
        "Record",
        "Output",
    ]


@pytest.mark.parametrize(
    ("option", "heading"),
    [
        ("--select", "Which databases"),
        ("--folder", "Which migrations"),
        ("--budget", "How far and how fast"),
        ("--to", "How far and how fast"),
        ("--deadline", "Timeouts"),
        ("--ticket", "Record"),
        ("--output", "Output"),
        ("--help", "Output"),
    ],
)
def test_an_option_of_up_stands_where_people_look_for_it(option: str, heading: str) -> None:
    assert re.search(rf"│ {option}\b", below(page("ledger up"), heading))


@pytest.mark.parametrize("name", LONG)
def test_a_long_page_leaves_no_option_without_a_heading(name: str) -> None:
    shown = page(name)
    assert "Options" not in headings(shown)
    for heading in headings(shown):
        assert len(re.findall(r"^│ +--", below(shown, heading), re.MULTILINE)) <= AT_MOST


def test_most_pages_are_not_long() -> None:
    assert 10 < len(LONG) < len(COMMANDS) / 2


def test_few_options_stand_in_one_list() -> None:
    assert headings(page("ledger rollout pause")) == ["Arguments", "Options"]


@pytest.mark.parametrize("name", [*COMMANDS, *NOUNS])
def test_no_page_shows_a_limit_as_a_formula_or_an_option_by_the_type_of_its_value(
    name: str,
) -> None:
    shown = page(name, 200)
    assert [sign for sign in ("<=x", "x>=", "x<=", "[[") if sign in shown] == []
    of_options = shown.replace(below(shown, "Arguments"), "") if "╭─ Arguments" in shown else shown
    assert re.findall(r"<(?:bool|str|int|float|list)\b", of_options) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_page_fits_into_eighty_columns(name: str) -> None:
    shown = page(name)
    assert max(len(line) for line in shown.splitlines()) <= 80
    shown_ones = [one for one in command_called(name).params if not one.hidden]
    named = {option for one in shown_ones for option in one.opts}
    assert [one for one in named if one.startswith("--") and one not in shown] == []


@pytest.mark.parametrize(
    ("low", "high", "seconds", "said"),
    [
        (None, None, False, ""),
        (0, None, False, ""),
        (0.0, None, True, ""),
        (1, None, False, "1 or more"),
        (1.0, None, True, "1 or more"),
        (1, 65535, False, "1 to 65,535"),
        (0.0, 2_073_600.0, True, "up to 24 days"),
        (1.0, 2_073_600.0, True, "1 to 2,073,600"),
        (0.0, 90_000.0, True, "up to 90,000"),
        (0, 86_400, False, "up to 86,400"),
        (0.5, None, True, "0.5 or more"),
    ],
)
def test_limits_are_said_in_words(
    low: float | None, high: float | None, seconds: bool, said: str
) -> None:
    assert limits_in_words(low, high, seconds=seconds) == said


@pytest.mark.parametrize(
    "line", ["up --lock-timeout 99999999", "up --in-flight 0", "down 0", "fleet add x --port 70000"]
)
def test_a_limit_that_is_said_in_words_still_holds(line: str) -> None:
    ended = CliRunner().invoke(app, line.split())
    assert ended.exit_code == 2
    assert "Invalid value" in ended.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_brackets_of_an_argument_are_whole(name: str) -> None:
    for one in command_called(name).params:
        assert one.metavar is None or one.metavar.count("[") == one.metavar.count("]")
