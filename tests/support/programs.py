"""The command lines of our programs: what there is, and which words make sense. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import typer

from agents.cli import app as agent_app
from ledger.cli.app.main import app as ledger_app

LEDGER, AGENT = "ledger", "ledger-agent"
HELP = ("--help", "-h")
ELLIPSIS = "…"
PROGRAMS: dict[str, Any] = {
    LEDGER: typer.main.get_command(ledger_app),
    "migration-ledger": typer.main.get_command(ledger_app),
    AGENT: typer.main.get_command(agent_app),
}


def every_command() -> list[str]:
    """Each command of both programs, in full: `ledger fleet add`."""
    return [path for name in (LEDGER, AGENT) for path in _below(PROGRAMS[name], name)]


def command_called(path: str) -> Any:
    """The command of this full name: `ledger fleet add`."""
    program, *names = path.split()
    found = PROGRAMS[program]
    for name in names:
        found = _commands(found)[name]
    return found


def misunderstood(words: Sequence[str]) -> str | None:
    """What is wrong with these words, `None` when there is such a command with such options.

    Values are not looked at, and what is required may be missing: documents name commands without
    their arguments, and options without a value. What follows an ellipsis is anything.
    """
    command, rest = PROGRAMS[words[0]], list(words[1:])
    if ELLIPSIS in rest:
        rest = rest[: rest.index(ELLIPSIS)]
    while True:
        arguments, unknown = _take_options(command, rest)
        if unknown:
            return f"there is no option {unknown}"
        if not hasattr(command, "commands"):
            return _too_many(command, arguments)
        if not rest:
            return None
        known = _commands(command)
        if rest[0] not in known:
            return f"there is no command {rest[0]!r}"
        command = known[rest.pop(0)]


def _take_options(command: Any, rest: list[str]) -> tuple[int, str | None]:
    """Take what belongs to `command` off `rest`: the number of arguments, an unknown option."""
    options = {name: one for one in command.params for name in (*one.opts, *one.secondary_opts)}
    arguments = 0
    while rest and (rest[0].startswith("-") or not hasattr(command, "commands")):
        word = rest.pop(0)
        if not word.startswith("-"):
            arguments += 1
            continue
        name, equals, _ = word.partition("=")
        for alternative in name.split("|"):
            if alternative not in options and alternative not in HELP:
                return arguments, alternative
        option = options.get(name)
        if option is not None and not option.is_flag and not equals and rest:
            rest.pop(0)
    return arguments, None


@cache
def _commands(group: Any) -> dict[str, Any]:
    """The commands of a group; some are only imported when they are asked for."""
    return {name: group.get_command(None, name) for name in group.list_commands(None)}


def _too_many(command: Any, arguments: int) -> str | None:
    places = [one.nargs for one in command.params if one.param_type_name == "argument"]
    fits = -1 in places or arguments <= sum(places)
    return None if fits else "there are too many arguments"


def _below(command: Any, path: str) -> Iterator[str]:
    if not hasattr(command, "commands"):
        yield path
        return
    for name, each in _commands(command).items():
        yield from _below(each, f"{path} {name}")
