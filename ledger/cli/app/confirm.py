"""Asks before something is changed: on a terminal by question, elsewhere only with `--yes`.

What reaches databases or the ledger's own schema, registers many databases at once, or makes the
ledger forget what it knew of one (repoint, reinstate, retire) asks. What describes one database
(add, label, suspend), stores texts (`bundle register`) or holds work back (`rollout pause`)
does not ask, but says the ledger's name and what it does before it does it. `ledger db` works on
one database in development and asks before what takes something back, and always when that database
belongs to a ledger's fleet. Every command that changes something takes `--yes`, so a script may
always give it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from ledger.cli.app.help_page import OUTPUT
from ledger.cli.app.output import say
from ledger.errors import NotConfirmed, QuestionWithoutTerminal
from migrations.printable import escaped

YesOption = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Do not ask. Required where there is no terminal.",
        rich_help_panel=OUTPUT,
    ),
]


UnaskedYesOption = Annotated[
    bool,
    typer.Option(
        "--yes", "-y", help="Accepted for scripts; this command never asks.", rich_help_panel=OUTPUT
    ),
]


def announce(name: str, facts: Sequence[str], *, what: str = "Ledger", asks: bool = False) -> None:
    """Print what will be changed in which ledger (or other `what`), without a question.

    Where a question follows (`asks`), it is said however quiet the command is to be.
    """
    say(escaped(f"{what} {name}"), always=asks)
    for fact in facts:
        say(f"  {escaped(fact)}", always=asks)


def confirm(
    name: str, facts: Sequence[str], *, yes: bool, typed: str = "", what: str = "Ledger"
) -> None:
    """Print what will be changed in which ledger (or other `what`), and ask.

    `typed` is the name that has to be typed, for what takes changes back: of the very thing that is
    at stake, and none that fingers type by themselves. Raises
    `NotConfirmed` when the answer is no, `QuestionWithoutTerminal` when nobody can be asked.
    """
    announce(name, facts, what=what, asks=not yes)
    if yes:
        return
    if not sys.stdin.isatty():
        raise QuestionWithoutTerminal()
    with _interruptible():
        agreed = _typed(typed) if typed else typer.confirm("Go ahead?", err=True)
    if not agreed:
        raise NotConfirmed()


def _typed(name: str) -> bool:
    answer: str = typer.prompt(f"Type its name ({escaped(name)}) to go ahead", err=True)
    return answer.strip() == name


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the question: the event loop's own handler would only note it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
