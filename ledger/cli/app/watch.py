"""Shows the same again and again: on a terminal in its place, elsewhere one below the other.

With `-o json` and `-o ndjson` each look is one object, or one for each row, on lines of their own.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

import typer

from ledger.cli.app.help_page import OUTPUT
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.output import Output, say
from ledger.outlet import reader_is_gone
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK

ANEW = "\x1b[H\x1b[2J"
"""To the upper left, and away with what is there: the terminal's own words for that."""
EVERY_S = 2.0

Shown = TypeVar("Shown")


@dataclass(frozen=True, slots=True)
class WatchOptions(OptionGroup):
    """Whether a command shows what it shows once, or again and again."""

    HEADING: ClassVar = OUTPUT

    watch: Annotated[
        bool,
        typer.Option(
            "--watch", "-w", help="Look again and again, until Ctrl-C; with -o json a line each."
        ),
    ] = False
    interval_s: Annotated[
        float,
        typer.Option(
            "--every",
            metavar="SECONDS",
            min=0.1,
            help="How long between two looks of --watch.",
        ),
    ] = EVERY_S


async def shown_again(
    look: Callable[[], Awaitable[Shown]],
    show: Callable[[Shown], Awaitable[None]],
    watching: WatchOptions,
    output: Output,
    *,
    is_last: Callable[[Shown], bool] = lambda _: False,
) -> Shown:
    """Look and show, once or until `is_last`; the last look.

    A ledger whose database is away for a moment is waited for. Nobody who reads ends it, too.
    """
    if not watching.watch:
        found = await look()
        await show(found)
        return found
    from ledger.service.absence import looked_through

    async def looks() -> AsyncIterator[Shown]:
        while True:
            yield await look()
            await SYSTEM_CLOCK.sleep(watching.interval_s)

    async for found in looked_through(looks, say, SYSTEM_CLOCK, SYSTEM_CHANCE):
        if output.for_people and sys.stdout.isatty():
            typer.echo(ANEW, nl=False)
        await show(found)
        if is_last(found) or reader_is_gone():
            break
    return found
