"""The log itself: `ledger events`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.help_page import WHICH_EVENTS
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.record.options import LogOptions
from ledger.cli.record.rows import event_row, refuse_unknown_stream, refuse_unknown_types

if TYPE_CHECKING:
    from ledger.contracts.envelope import Recorded

COLUMNS = ("position", "recorded_at", "stream", "event", "what", "by", "hash")
HASH_SHOWN = 12
"""Hexadecimal digits of an event's own hash that people see."""


def register(app: typer.Typer, panel: str) -> None:
    """Add the command of this module."""
    command(
        app,
        "events",
        panel=panel,
        examples=(
            "ledger events",
            "ledger events --after 1200",
            "ledger events --stream fleet -o ndjson",
            "ledger events --type MigrationFailed --since 2h",
            "ledger events --follow",
        ),
    )(events)


async def events(
    ctx: typer.Context,
    chosen: LogOptions,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Go on with what comes, until Ctrl-C.", rich_help_panel=WHICH_EVENTS
        ),
    ] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show the log itself, in its order: the last events, or those behind a position.

    Each is there as it was recorded, with its own hash; JSON has `leaf` and `chain` whole.
    """
    form = Output(output)
    refuse_unknown_types(chosen.kind or ())
    refuse_unknown_stream(chosen.stream or "")
    _refuse_endless(form, follow)
    most, search = chosen.at_most(form), chosen.search()
    forward = chosen.after is not None
    what: Any = {"stream_prefix": chosen.stream, "types": chosen.kind}
    async with opened(ctx) as session:
        service = session.ledger.history
        end = await service.end()
        found = await service.events(search, most, forward=forward, **what)
        empty = "" if follow else "No event matches."
        form.rows("events", [_row(one) for one in found], COLUMNS, empty=empty)
        if follow:
            place = found[-1].position if len(found) == most and forward else end
            coming = service.follow(replace(search, after=place, until=None), **what)
            await _show(form, coming)
    if len(found) == most and not follow:
        first, last = found[0].position, found[-1].position
        if forward:
            say(f"There may be more: --after {last}")
        else:
            say(f"There may be earlier ones: --before {first}" if first > 1 else "That is all.")


async def _show(form: Output, coming: AsyncIterator[Recorded]) -> None:
    async with aclosing(coming) as rows:  # type: ignore[type-var]
        async for one in rows:
            form.rows("events", [_row(one)], COLUMNS, empty="", heading=False)


def _refuse_endless(form: Output, follow: bool) -> None:
    """Raises `WrongArgument` for one document that would never end."""
    from ledger.errors import WrongArgument

    if follow and form.format is OutputFormat.JSON:
        raise WrongArgument("--follow never ends, and JSON is one document; say -o ndjson")


def _row(recorded: Recorded) -> dict[str, Any]:
    row = event_row(recorded)
    return row | {"hash": (row["leaf"] or "")[:HASH_SHOWN]}
