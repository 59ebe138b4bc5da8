"""What was asked for and what happened, found by what people know: `ledger history`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import Session, command, opened, tell_behind
from ledger.cli.app.help_page import WHICH_EVENTS
from ledger.cli.app.moments import SinceOption, UntilOption, moment_in
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.record import audit, events, replay
from ledger.cli.record.options import PROGRAMS_AT_MOST, AfterOption, BeforeOption, LimitOption
from ledger.cli.record.rows import event_row, told

if TYPE_CHECKING:
    from ledger.service.history import Line, Search

PANEL = "Record"
COLUMNS = (
    "position", "recorded_at", "event", "what", "who", "from", "by", "reason", "ticket",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    audit.register(app, PANEL)
    command(
        app,
        "history",
        panel=PANEL,
        examples=(
            "ledger history --since 2h",
            "ledger history acme",
            "ledger history 20260403120000 --database acme",
            "ledger history CHG-78",
            "ledger history --by ada --since 30d -o csv",
        ),
    )(history)
    events.register(app, PANEL)
    replay.register(app, PANEL)


async def history(
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHAT]",
            help="A database, rollout, migration, bundle, ticket, person or role. Default: "
            "everything that people asked of this ledger.",
            autocompletion=completion.databases_and_rollouts,
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database", "-d", help="Only of this database.", rich_help_panel=WHICH_EVENTS
        ),
    ] = None,
    rollout: Annotated[
        str | None,
        typer.Option(
            "--rollout",
            help="Only of this rollout, named by a beginning.",
            rich_help_panel=WHICH_EVENTS,
        ),
    ] = None,
    migration: Annotated[
        str | None,
        typer.Option(
            "--migration", help="Only of this version, or name.", rich_help_panel=WHICH_EVENTS
        ),
    ] = None,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle", help="Only of this bundle's rollouts.", rich_help_panel=WHICH_EVENTS
        ),
    ] = None,
    ticket: Annotated[
        str | None,
        typer.Option(
            "--ticket", help="Only what was asked for with it.", rich_help_panel=WHICH_EVENTS
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="WHO",
            help="Only what this person, or role, asked for.",
            rich_help_panel=WHICH_EVENTS,
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    before: BeforeOption = None,
    after: AfterOption = None,
    oldest_first: Annotated[
        bool,
        typer.Option(
            "--oldest-first", help="In the order of the log.", rich_help_panel=WHICH_EVENTS
        ),
    ] = False,
    limit: LimitOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show what happened, newest first, by whatever you know of it.

    What people asked is one line per request, however many databases it names. Who asked for a
    rollout, why, and for which ticket stands beside everything that followed from it.
    """
    from ledger.service.history import Search

    form = Output(output)
    most = limit or form.at_most(None) or PROGRAMS_AT_MOST
    search = Search(
        database=database,
        rollout=rollout,
        migration=migration,
        bundle=bundle,
        ticket=ticket,
        by=by,
        since=moment_in("--since", since),
        until=moment_in("--until", until),
        after=after or 0,
        before=before,
    )
    async with opened(ctx) as session:
        found = await _found(session, what, search, most, oldest_first)
    form.rows(
        "history",
        [_row(line) for line in found],
        COLUMNS,
        empty="Nothing is recorded about that.",
    )
    if len(found) == most:
        last = found[-1]
        way = f"--after {last.last}" if oldest_first else f"--before {last.recorded.position}"
        say(f"There may be more: {way}")


async def _found(
    session: Session, what: str | None, search: Search, limit: int, oldest_first: bool
) -> Sequence[Line]:
    from ledger.errors import NoSuchThing

    service = session.ledger.history
    try:
        if what is not None:
            search = await service.meant(what, search)
        found = await service.lines(search, limit, oldest_first=oldest_first)
    except NoSuchThing:
        # It may be in the log, and not shown yet.
        await tell_behind(session)
        raise
    if not search.is_for_requests:
        await tell_behind(session)
    return found


def _row(line: Line) -> dict[str, Any]:
    row = event_row(line.recorded, line.asked, line.asked_by)
    several = line.databases is not None and line.databases == line.events > 1
    what = f"{told(line.recorded.event)} and {line.events - 1:,} more" if several else row["what"]
    more = {"events": line.events, "last_position": line.last, "databases": line.databases}
    return row | {"what": what} | more
