"""Every command of both programs with its options, and the exit codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from textwrap import dedent
from typing import Any

import typer

from agents.cli import app as agent_app
from ledger.cli.app.exits import MEANINGS
from ledger.cli.app.main import app as ledger_app
from ops.reference.markdown import code, table

OPTIONS = "Options"
"""The heading of options that have none of their own."""


def at_a_glance() -> str:
    """Tables of all commands by the headings of the help, each with its first sentence."""
    by_heading: dict[str, list[tuple[str, str]]] = {}
    for heading, path, command in _all():
        row = (f"[`{path}`](#{path.replace(' ', '-')})", _first_sentence(command.help))
        by_heading.setdefault(heading, []).append(row)
    return "\n\n".join(table((heading, ""), rows) for heading, rows in by_heading.items())


def every_command() -> str:
    """A section for each command, after one for the options before the command."""
    ledger = typer.main.get_command(ledger_app)
    before = _options([one for one in ledger.params if one.opts[0] not in _OF_TYPER])
    parts = ["## Before the command", _block(["ledger [OPTIONS] COMMAND ..."]), *before]
    for _, path, command in _all():
        parts += [f"## {path}", _text(command.help), _block([_usage(path, command)])]
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        if arguments:
            parts.append(table(("argument", ""), [_argument(one) for one in arguments]))
        parts += _options(
            [one for one in command.params if one not in arguments and not one.hidden]
        )
        if command.epilog and command.epilog.startswith("Examples:"):
            parts += _examples(command.epilog)
    return "\n\n".join(parts)


def exit_codes() -> str:
    """The exit codes of `ledger`."""
    rows = [(str(int(each)), meaning) for each, meaning in MEANINGS.items()]
    return table(("code", "meaning"), rows)


_OF_TYPER = ("--install-completion", "--show-completion")


def _all() -> Iterator[tuple[str, str, Any]]:
    """Every command of both programs: the heading of its kind, its name in full, itself."""
    for app, name in ((ledger_app, "ledger"), (agent_app, "ledger-agent")):
        program: Any = typer.main.get_command(app)
        for first in program.list_commands(None):
            command = program.get_command(None, first)
            heading = command.rich_help_panel or "Agents"
            if not hasattr(command, "commands"):
                yield heading, f"{name} {first}", command
                continue
            for second in command.list_commands(None):
                each = command.get_command(None, second)
                yield f"`{name} {first}`", f"{name} {first} {second}", each


def _first_sentence(text: str) -> str:
    return _text(text).split("\n\n")[0].partition(". ")[0].removesuffix(".")


def _text(text: str) -> str:
    """A help text without the marks that rich reads."""
    return text.replace(r"\[", "[")


def _usage(path: str, command: Any) -> str:
    words = [path, "[OPTIONS]"]
    for one in command.params:
        if one.param_type_name == "argument":
            name = one.metavar if one.required else f"[{one.metavar}]"
            words.append(f"{name}..." if one.nargs != 1 else name)
    return " ".join(words)


def _examples(epilog: str) -> Iterator[str]:
    """The examples of a help text: commands, and below them what else it shows."""
    text = dedent("\n".join(epilog.replace(r"\[", "[").splitlines()[1:]))
    lines = [line.rstrip() for line in text.splitlines()]
    commands = [line for line in lines if line.startswith("ledger")]
    yield _block(commands, "sh")
    if len(commands) < len(lines):
        yield _block([line for line in lines[len(commands) :] if line])


def _block(lines: Sequence[str], language: str = "") -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _argument(one: Any) -> tuple[str, str]:
    return code(one.metavar), f"{one.help}{_default(one)}"


def _options(options: list[Any]) -> Iterator[str]:
    """A table for each heading, in the order of the help."""
    by_heading: dict[str, list[tuple[str, str]]] = {}
    for one in options:
        row = (_names(one), f"{_text(one.help)}{_default(one)}")
        by_heading.setdefault(one.rich_help_panel or OPTIONS, []).append(row)
    for heading, rows in by_heading.items():
        yield table((heading, ""), rows)


def _names(option: Any) -> str:
    names = ", ".join(code(name) for name in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    choices = option.type_descriptor.choices if option.type_descriptor.is_choice else None
    value = "|".join(str(getattr(one, "value", one)) for one in choices) if choices else None
    metavar = value or option.metavar or max(option.opts, key=len).strip("-").upper()
    return f"{names} {metavar}"


def _default(one: Any) -> str:
    value = one.default.value if isinstance(one.default, Enum) else one.default
    if value in (None, "", False, True, ()) or callable(value):
        return ""
    return f" Default: {code(str(value))}."
