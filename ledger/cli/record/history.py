"""What was asked for and what happened, found by what people know: `ledger history`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import Session, command, opened, tell_behind
from ledger.cli.app.moments import is_moment
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.record import audit, events, replay, traces
from ledger.cli.record.options import SubjectOptions
from ledger.cli.record.rows import event_row, told

if TYPE_CHECKING:
    from ledger.contracts.envelope import Recorded
    from ledger.service.history import Line, Search

PANEL = "Record"
COLUMNS = (
    "position", "recorded_at", "event", "what", "who", "from", "by", "reason", "ticket",
)  # fmt: skip
NOTHING_YET = (
    "Nothing was asked of this ledger yet; `ledger fleet add` or `ledger up` is the beginning."
)
_WORD = re.compile(r"[A-Z][a-z]*")


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
    traces.register(app, PANEL)


async def history(
    ctx: typer.Context,
    chosen: SubjectOptions,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHAT]",
            help="A database, rollout, migration, bundle, ticket, person or role. Default: "
            "everything that people asked of this ledger.",
            autocompletion=completion.databases_and_rollouts,
        ),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show what happened, newest first, by whatever you know of it.

    What people asked is one line per request, however many databases it names. Who asked for a
    rollout, why, and for which ticket stands beside everything that followed from it.
    """
    from ledger.service.history import Search

    form = Output(output)
    most, search = chosen.at_most(form), chosen.search()
    nothing_said = what is None and search == Search()
    async with opened(ctx) as session:
        found = await _found(session, what, search, most, oldest_first=chosen.oldest_first)
    form.rows(
        "history",
        [_row(line) for line in found],
        COLUMNS,
        empty=NOTHING_YET if nothing_said else "Nothing that is recorded is like this.",
    )
    if len(found) == most:
        last = found[-1]
        way = (
            f"--after {last.last}" if chosen.oldest_first else f"--before {last.recorded.position}"
        )
        say(f"There may be more: {way}")


async def _found(
    session: Session, what: str | None, search: Search, limit: int, *, oldest_first: bool
) -> Sequence[Line]:
    from ledger.domain.refusals import UnknownDatabase
    from ledger.errors import NoSuchThing, NothingOfThatName

    service = session.ledger.history
    try:
        if what is not None:
            search = await service.meant(what, search)
        found = await service.lines(search, limit, oldest_first=oldest_first)
    except (NoSuchThing, UnknownDatabase) as error:
        # It may be in the log, and not shown yet.
        await tell_behind(session)
        if what is not None and isinstance(error, NothingOfThatName) and is_moment(what):
            since = f"`ledger history --since {quote(what)}`"
            raise NothingOfThatName(what, way=f"{since} shows what was recorded since") from error
        raise
    if not search.is_for_requests:
        await tell_behind(session)
    return found


def _row(line: Line) -> dict[str, Any]:
    row = event_row(line.recorded, line.asked, line.asked_by)
    what = row["what"]
    of_databases = [(one, number) for one, number in line.kinds if hasattr(one.event, "database")]
    if len(of_databases) > 1:
        what = ", ".join(_counted(one, number) for one, number in of_databases)
    elif of_databases and (number := of_databases[0][1]) > 1:
        what = f"{told(of_databases[0][0].event)} and {number - 1:,} more"
    elif not line.kinds and line.events > 1:
        what = f"{what}; the same until position {line.last}, {line.events:,} times".lstrip("; ")
    more = {"events": line.events, "last_position": line.last, "databases": line.databases}
    kinds = {type(one.event).__name__: number for one, number in line.kinds}
    return row | {"what": what} | more | {"kinds": kinds}


def _counted(first: Recorded, number: int) -> str:
    """`59 relabelled`, and of one `t58 retired`; each type is called by what it says."""
    words = _WORD.findall(type(first.event).__name__.removeprefix("Database"))
    who = getattr(first.event, "database", "") if number == 1 else f"{number:,}"
    return f"{who} {' '.join(words).lower()}"
