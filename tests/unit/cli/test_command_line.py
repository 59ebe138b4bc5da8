"""What is no command line is one sentence that says what to type in its place; of every command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agents.cli import app as agent_app
from ledger.cli.app.main import app as ledger_app
from ledger.command_line import WrongLine
from tests.support.programs import AGENT, LEDGER, command_called, every_command

COMMANDS = every_command()
APPS = {LEDGER: ledger_app, AGENT: agent_app}
FOREIGN = ("Usage:", "Try '", "No such", "Got unexpected", "Missing ", "Possible options", "╭")
"""Words of the parser that no person is to read."""


def refused(path: str, words: list[str]) -> str:
    """The sentence that a command has for its words; it is checked to name a next step."""
    with pytest.raises(WrongLine) as wrong:
        command_called(path).make_context(path, list(words))
    text = wrong.value.format_message()
    assert "; " in text, (path, words, text)
    assert not [one for one in FOREIGN if one in text], (path, words, text)
    assert "\n" not in text
    return text


def typed(path: str, words: list[str]) -> str:
    """What the program says of such a line, which it ends with 2."""
    program, *names = path.split()
    answer = CliRunner().invoke(APPS[program], [*names, *words], prog_name=program)
    assert (answer.exit_code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1), answer.output
    assert answer.stderr.startswith(f"{program}: ")
    return answer.stderr


def own_options(command: Any) -> Iterator[Any]:
    for one in command.params:
        if one.param_type_name == "option" and not one.hidden:
            yield one


def example(parameter: Any) -> str:
    """A value that a parameter might have; none is looked at before the line is whole."""
    choices = parameter.type_descriptor.choices
    if choices:
        return str(getattr(choices[0], "value", choices[0]))
    return "1"


@pytest.mark.parametrize("path", COMMANDS)
def test_an_option_that_no_command_has_is_refused_with_the_page_that_has_all(path: str) -> None:
    text = refused(path, ["--qqqxyzzy=1"])
    assert f"`{path}` has no option --qqqxyzzy" in text
    assert f"`{path} --help`" in text


@pytest.mark.parametrize("path", COMMANDS)
def test_a_misspelt_option_is_refused_with_its_name(path: str) -> None:
    known = {name for one in own_options(command_called(path)) for name in one.opts}
    for name in sorted(one for one in known if len(one) > len("--all")):
        # The last two letters have changed places.
        wrong = name[:-2] + name[-1] + name[-2]
        if wrong not in known and wrong != name:
            assert f"write {name}, " in refused(path, [wrong]), (path, wrong)


@pytest.mark.parametrize("path", COMMANDS)
def test_an_option_that_lacks_its_value_says_what_to_write_behind_it(path: str) -> None:
    for one in own_options(command_called(path)):
        name = max(one.opts, key=len)
        if not one.is_flag:
            assert f"write `{name} " in refused(path, [name])
        elif name != "--version":
            assert f"{name} takes no value" in refused(path, [f"{name}=perhaps"])


@pytest.mark.parametrize("path", COMMANDS)
def test_a_word_too_many_is_refused_and_databases_are_said_where_they_can_be(path: str) -> None:
    command = command_called(path)
    places = [one for one in command.params if one.param_type_name == "argument"]
    if any(one.nargs == -1 for one in places):
        return
    text = refused(path, [*map(example, places), "acme"])
    assert "'acme' is surplus" in text
    selects = any("--select" in one.opts for one in own_options(command))
    assert ("`-s id=acme`" in text) == selects


@pytest.mark.parametrize("path", COMMANDS)
def test_a_word_that_is_missing_is_named_with_what_it_means(path: str) -> None:
    needed = [one for one in command_called(path).params if one.required]
    if not needed:
        return
    # With something on the line, or some commands show their page.
    text = refused(path, ["--quiet"] if path.startswith("ledger ") else [])
    assert f"`{path}` lacks " in text
    assert f"`{path} --help`" in text


def groups() -> Iterator[str]:
    yield from APPS
    for path in COMMANDS:
        for end in range(2, len(path.split())):
            yield " ".join(path.split()[:end])


@pytest.mark.parametrize("path", sorted({*groups()}))
def test_a_misspelt_command_is_refused_with_its_name(path: str) -> None:
    group = command_called(path)
    ctx = group.make_context(path, ["a word"])
    names = group.list_commands(ctx)
    for name in names:
        wrong = f"{name}{name[-1]}"
        with pytest.raises(WrongLine, match=f"write `{path} {name}`, or see `{path} --help`"):
            group.resolve_command(ctx, [wrong])
    with pytest.raises(WrongLine, match=f"no command 'qqqxyzzy'; see `{path} --help`"):
        group.resolve_command(ctx, ["qqqxyzzy"])


@pytest.mark.parametrize(
    ("path", "words", "told"),
    [
        ("ledger", ["rollback"], "write `ledger rollout rollback`"),
        ("ledger", ["migrate"], "write `ledger up`"),
        ("ledger", ["-q"], "no command is there"),
        ("ledger", ["-s", "id=x", "fleet", "list"], "write it behind `ledger fleet list`"),
        ("ledger fleet", ["--limit", "3", "list"], "write it behind `ledger fleet list`"),
        ("ledger status", ["--database-url", "x"], "before the command, behind `ledger`"),
        ("ledger plan", ["-in-flight", "3"], "write --in-flight, with two dashes"),
        ("ledger up", ["--when-spent", "rolback"], "write rollback"),
        ("ledger up", ["--when-spent", "cry"], "write one of these"),
        ("ledger status", ["a", "b"], "`-s 'id in (a,b)'`"),
        ("ledger status", ["a b;c"], "leave it out, or see"),
        ("ledger fleet show", ["-q"], "for example, `ledger fleet show acme`"),
        ("ledger status", ["--limit", "x"], "'x' is no whole number; see `ledger status --help`"),
        ("ledger status", ["--\x1b[2Jx"], r"no option --\x1b[2Jx"),
    ],
)
def test_the_next_step_is_the_nearest(path: str, words: list[str], told: str) -> None:
    assert told in typed(path, words)


@pytest.mark.parametrize(
    "words",
    [["status", "--nosuch"], ["status", "acme"], ["stats"], ["fleet", "show"], ["plan", "--all=1"],
     ["up", "--when-spent", "cry"], ["down", "many"]],
)  # fmt: skip
def test_programs_read_the_same_sentence_as_one_object(words: list[str]) -> None:
    people = CliRunner().invoke(ledger_app, [*words, "--output", "table"])
    answer = CliRunner().invoke(ledger_app, [*words, "-o", "json"])
    told = json.loads(answer.stderr)
    assert (answer.exit_code, told["kind"], told["exit_code"]) == (2, "error", 2)
    assert people.stderr == f"ledger: {told['error']}\n"
    assert answer.stdout == ""


def test_a_command_that_shows_its_page_without_words_still_ends_as_wrong_usage() -> None:
    answer = CliRunner().invoke(ledger_app, ["fleet"])
    assert (answer.exit_code, "Commands" in answer.output) == (2, True)


def test_a_program_can_be_called_by_another_which_hears_what_is_wrong() -> None:
    program: Any = typer.main.get_command(ledger_app)
    with pytest.raises(typer.BadParameter, match="has no option --nosuch"):
        program.main(["status", "--nosuch"], standalone_mode=False)
