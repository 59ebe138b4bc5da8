"""Groups of options become options of each command that takes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from ledger.cli.app.command import command
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.option_groups import OptionGroup, flattened, gathered
from ledger.errors import WrongArgument


@dataclass(frozen=True, slots=True)
class Speed(OptionGroup):
    """Two options."""

    fast: Annotated[bool, typer.Option("--fast")] = False
    limit: Annotated[int, typer.Option("--limit")] = 5


async def go(ctx: typer.Context, speed: Speed, name: str = "x") -> ExitCode | None:
    """Go."""
    typer.echo(f"{name} {speed.fast} {speed.limit}")
    match name:
        case "raise":
            raise WrongArgument("that is wrong; write something else")
        case "crash":
            raise ZeroDivisionError("secret")
        case "interrupt":
            raise KeyboardInterrupt
        case "halt":
            return ExitCode.HALTED
        case _:
            return None


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    command(made, "go")(go)
    return made


def test_a_command_gets_a_group_as_one_value() -> None:
    assert list(flattened(go).parameters) == ["ctx", "fast", "limit", "name"]
    given = {"ctx": None, "fast": True, "limit": 7, "name": "y"}
    assert gathered(go, given) == {"ctx": None, "speed": Speed(True, 7), "name": "y"}


def test_the_command_line_sees_the_options_of_the_group(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--fast", "--limit", "9", "--name", "z"])
    assert (result.exit_code, result.stdout) == (0, "z True 9\n")


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("halt", ExitCode.HALTED, ""),
        ("raise", ExitCode.USAGE, "ledger: that is wrong; write something else\n"),
        ("interrupt", ExitCode.INTERRUPTED, "interrupted\n"),
    ],
)
def test_a_coroutine_runs_to_its_end_and_decides_the_exit_code(
    app: typer.Typer, name: str, code: ExitCode, said: str
) -> None:
    result = CliRunner().invoke(app, ["--name", name])
    assert (result.exit_code, result.stderr) == (code, said)


def test_a_crash_shows_one_sentence_and_no_traceback(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--name", "crash"])
    assert result.exit_code == ExitCode.FAILED
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr
    assert result.stderr.count("\n") == 1


class Kind(StrEnum):
    """Two words."""

    ONE = "one"
    TWO = "two"


async def choose(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Option("--kind", help="Which.")] = Kind.ONE,
    wait: Annotated[float, typer.Option("--wait", max=86400.0 * 24, help="S.")] = 0.0,
) -> None:
    """Choose."""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "three"], "'three' is not one of 'one', 'two'"),
        (["--wait", "99999999"], "it can be at most 2,073,600 (24 days)"),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_words_and_digits(words: list[str], said: str) -> None:
    made = typer.Typer()
    command(made, "choose")(choose)
    answer = " ".join(CliRunner().invoke(made, words, env={"COLUMNS": "200"}).output.split())
    assert said in answer
    assert "Value error" not in answer
