"""What may stand on a command line: asked of every command and every option that there is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from ledger.cli.app.argument_check import APART, TOGETHER
from ledger.cli.app.main import app
from tests.support.programs import command_called, every_command

COMMANDS = [path for path in every_command() if path.startswith("ledger ")]
HUGE = "9" * 20
"""More than eight bytes hold."""


def answer(path: str, words: list[str]) -> tuple[int, str]:
    """How a command ends that is called with these words, and what it says, in one line."""
    try:
        command_called(path).make_context(path, list(words)).close()
    except typer.Exit as end:
        return end.exit_code, ""
    except typer.TyperException as wrong:
        return 2, " ".join(wrong.format_message().split())
    return 0, ""


def taking_values() -> Iterator[tuple[str, str]]:
    for path in COMMANDS:
        for one in command_called(path).params:
            if one.param_type_name == "option" and not one.is_flag:
                yield path, max(one.opts, key=len)


def kinds_of(parameter: Any) -> set[Any]:
    annotation = parameter.type_descriptor.annotation
    return {annotation, *get_args(annotation)}


def numbers() -> Iterator[tuple[str, list[str]]]:
    for path in COMMANDS:
        for one in command_called(path).params:
            if kinds_of(one) & {int, float}:
                is_option = one.param_type_name == "option"
                yield path, [max(one.opts, key=len)] if is_option else []


@pytest.mark.parametrize("value", ["", "  "])
def test_no_option_of_any_command_takes_a_value_that_says_nothing(value: str) -> None:
    taken = []
    for path, option in taking_values():
        code, said = answer(path, [option, value])
        if code != 2 or "empty, as from a variable that is not set" not in said:
            taken.append(f"{path} {option}: {code} {said}")
    assert not taken, "\n".join(taken)


def test_no_argument_of_any_command_takes_a_value_that_says_nothing() -> None:
    taken = []
    for path in COMMANDS:
        if any(one.param_type_name == "argument" for one in command_called(path).params):
            code, said = answer(path, [""])
            if code != 2 or "it is empty" not in said:
                taken.append(f"{path}: {code} {said}")
    assert not taken, "\n".join(taken)


@pytest.mark.parametrize("option", ["--config", "--database-url", "--kafka-bootstrap"])
def test_what_stands_before_the_command_says_something_too(option: str) -> None:
    code, said = answer("ledger", [option, "", "status"])
    assert (code, f"Invalid value for '{option}': it is empty" in said) == (2, True)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (HUGE, "is too large, it can be at most "),
        ("9" * 5000, "is too large, it can be at most "),
        (f"-{HUGE}", " or more"),
        ("-1", " or more"),
        ("nan", "is no "),
        ("many", "is no "),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_range(value: str, told: str) -> None:
    taken = []
    for path, option in numbers():
        # An argument that begins with a dash would be an option.
        beside = [needed for needy, needed in TOGETHER if needy in option]
        code, said = answer(path, [*beside, *(option or ["--"]), value])
        if code != 2 or told not in said or len(said) > 1000:
            taken.append(f"{path} {option}: {code} {said[:300]}")
    assert not taken, "\n".join(taken)


def excluding() -> Iterator[tuple[str, list[str]]]:
    """Commands with two options of which one would win over the other."""
    for path in COMMANDS:
        known = {
            name: one
            for one in command_called(path).params
            for name in (*one.opts, *getattr(one, "secondary_opts", ()))
        }
        for pair in APART:
            if set(pair) <= known.keys():
                yield path, [word for name in pair for word in (name, *example_of(known[name]))]


def example_of(option: Any) -> list[str]:
    return [] if option.is_flag else ["1"]


def test_options_that_exclude_one_another_are_refused_wherever_a_command_has_both() -> None:
    lines = list(excluding())
    assert {pair for pair in APART for _, line in lines if set(pair) <= set(line)} == set(APART)
    taken = [
        f"{path} {shlex.join(line)}: {code} {said}"
        for path, line in lines
        for code, said in [answer(path, line)]
        if code != 2 or "exclude one another; say one of them" not in said
    ]
    assert not taken, "\n".join(taken)


def test_an_option_that_takes_one_value_stands_there_once() -> None:
    taken = []
    for path, option in taking_values():
        names = {name: one for one in command_called(path).params for name in one.opts}
        code, said = answer(path, [option, "1", option, "2"])
        if not names[option].multiple and (
            code != 2 or f"{option} is there twice, and only the last would count" not in said
        ):
            taken.append(f"{path} {option}: {code} {said}")
    assert not taken, "\n".join(taken)


@pytest.mark.parametrize(
    "line",
    [
        "ledger up: --wait --no-wait",
        "ledger up: --no-wait --wait --wait",
        "ledger resolve: a 1 --reason x --not-applied --applied",
        "ledger drift: --sql --no-sql",
    ],
)
def test_yes_and_no_in_one_breath_are_refused(line: str) -> None:
    path, words = line.split(": ")
    code, said = answer(path, words.split())
    assert (code, "exclude one another" in said) == (2, True)


def test_quiet_before_a_command_and_verbose_behind_it_exclude_one_another() -> None:
    ended = CliRunner().invoke(app, ["-q", "version", "-v"])
    assert (ended.exit_code, "exclude one another" in ended.output) == (2, True)


@pytest.mark.parametrize(
    "line", ["ledger status: -v -v", "ledger up: --reason --no-wait --wait --dry-run"]
)
def test_a_word_that_is_said_again_or_is_a_value_excludes_nothing(line: str) -> None:
    path, words = line.split(": ")
    assert answer(path, words.split()) == (0, "")


def test_an_option_that_does_nothing_by_itself_names_the_one_that_it_belongs_to() -> None:
    seen = set()
    for path in COMMANDS:
        known = {name: one for one in command_called(path).params for name in one.opts}
        for needy, needed in TOGETHER:
            if needy in known:
                seen.add((needy, needed))
                code, said = answer(path, [needy, *example_of(known[needy])])
                assert code == 2, path
                assert f"{needy} does nothing without {needed}" in said, path
    assert seen == set(TOGETHER)


def test_help_is_shown_whatever_else_stands_there() -> None:
    ended = CliRunner().invoke(app, ["plan", "--down", "1", "--to", "2", "--help"])
    assert ended.exit_code == 0
    assert " plan [OPTIONS]" in ended.output
