"""What was recorded: `ledger history`, `events` and `replay`."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import Session, command, opened, tell_behind
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.bundle.commands import DIGEST_SHOWN
from ledger.cli.record import audit
from ledger.domain.wording import failure_text

if TYPE_CHECKING:
    from ledger.contracts.envelope import Recorded
    from ledger.contracts.reports import Event
    from migrations.model.attempt import Failure

PANEL = "Record"
PAGE = 1000
"""Events shown at once unless said otherwise."""
TOLD = (
    "rollout", "database", "bundle", "version", "direction", "mode", "wave", "attempt",
    "verdict", "changed", "recovered", "duration_ms", "databases", "waves", "applied", "skipped",
    "failed", "undoes", "by", "term", "leader", "position", "why",
)  # fmt: skip
"""Fields of events that make up their line for people, in this order; JSON has the whole body."""

UNNAMED = ("rollout", "database", "version", "why")
"""Fields that need no name beside their value."""

AfterOption = Annotated[int, typer.Option("--after", min=0, help="Only above this position.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="At most this many.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    audit.register(app, PANEL)
    command(
        app,
        "history",
        panel=PANEL,
        examples=("ledger history", "ledger history acme", "ledger history 7c1e -o ndjson"),
    )(history)
    command(
        app,
        "events",
        panel=PANEL,
        examples=("ledger events --after 1200", "ledger events --stream fleet -o ndjson"),
    )(events)
    command(app, "replay", panel=PANEL, examples=("ledger replay",))(replay)


async def history(
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATABASE|ROLLOUT]",
            help="Default: what people asked of this ledger.",
            autocompletion=completion.databases_and_rollouts,
        ),
    ] = None,
    after: AfterOption = 0,
    limit: LimitOption = PAGE,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show what happened to a database, in a rollout, or at people's requests; oldest first."""
    async with opened(ctx) as session:
        found = await _timeline(session, what, after, limit)
    Output(output).rows(
        "history",
        [_row(recorded) for recorded in found],
        ("position", "recorded_at", "event", "what", "who", "by", "reason", "ticket"),
        empty="Nothing is recorded about that.",
    )
    _more(found, limit)


async def events(
    ctx: typer.Context,
    after: AfterOption = 0,
    limit: LimitOption = PAGE,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Only streams that begin so.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Only this type of event; may be repeated.",
            autocompletion=completion.event_types,
        ),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show the log itself, in its order: every event as it was recorded."""
    _refuse_unknown(kind or ())
    async with opened(ctx) as session:
        found = await session.ledger.history.events(after, limit, stream_prefix=stream, types=kind)
    Output(output).rows(
        "events",
        [_row(recorded) for recorded in found],
        ("position", "recorded_at", "stream", "event", "what", "by"),
        empty="No event matches.",
    )
    _more(found, limit)


async def replay(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> ExitCode:
    """Build every table of the read models again beside the live ones, and show what differs.

    Nothing is changed and the ledger keeps working. Ends with 7 when something differs.
    """
    async with opened(ctx) as session:
        found = await session.ledger.audit.replay()
    Output(output).rows(
        "replay",
        [
            {"table": one.table, "key": one.key, "difference": one.kind, "columns": one.columns}
            for one in found.differences
        ],
        ("table", "key", "difference", "columns"),
        empty=f"No difference: {sum(found.rows.values())} rows of {len(found.rows)} tables are "
        f"what the log says up to position {found.position}.",
        agrees=found.agrees,
        position=found.position,
        head=found.head,
        tables=dict(found.rows),
        more=found.more,
    )
    return ExitCode.OK if found.agrees else ExitCode.DIFFERENT


async def _timeline(
    session: Session, what: str | None, after: int, limit: int
) -> Sequence[Recorded]:
    from ledger.errors import NoSuchThing

    if what is None:
        return await session.ledger.history.requests(after, limit)
    try:
        found = await session.ledger.history.about(what, after, limit)
    except NoSuchThing:
        # It may be in the log, and not shown yet.
        await tell_behind(session)
        raise
    await tell_behind(session)
    return found


def _refuse_unknown(kinds: Sequence[str]) -> None:
    """Raise `WrongArgument` for a type that no event has: nothing would ever match it."""
    from ledger.contracts.events import EVENTS
    from ledger.errors import WrongArgument

    for kind in kinds:
        if kind not in EVENTS:
            near = get_close_matches(kind, EVENTS, n=1, cutoff=0.0)[0]
            raise WrongArgument(f"no event is of the type {kind!r}; the nearest is {near}")


def _row(recorded: Recorded) -> dict[str, Any]:
    body = recorded.event.model_dump(mode="json")
    return {
        "position": recorded.position,
        "stream": recorded.stream,
        "stream_version": recorded.stream_version,
        "event_id": recorded.event_id,
        "event": type(recorded.event).__name__,
        "what": told(recorded.event),
        "recorded_at": recorded.recorded_at,
        "who": _who(recorded),
        "by": recorded.recorded_by,
        # Of what was done outside of the ledger, the reason stands in the database's journal.
        "reason": recorded.metadata.reason or body.get("reason"),
        "ticket": recorded.metadata.ticket,
        "body": body,
        "metadata": recorded.metadata.model_dump(mode="json", exclude_none=True),
    }


def _who(recorded: Recorded) -> str:
    """Whoever asked, by name; with a mark where that is no more than a program was told."""
    from ledger.contracts.actor import Knowledge, known_by

    actor = recorded.metadata.actor
    if actor is None:
        return recorded.metadata.agent or ""
    told_only = known_by(actor, recorded.recorded_by) is Knowledge.TOLD
    return f"{actor.name} ({Knowledge.TOLD.value})" if told_only else actor.name


def told(event: Event) -> str:
    """An event's fields that people look for, in one line."""
    body = event.model_dump(mode="json")
    if "database" in body:
        body.pop("rollout", None)
    parts = [_part(name, body[name]) for name in TOLD if body.get(name) not in (None, "", [])]
    failure: Failure | None = getattr(event, "failure", None)
    if failure is not None:
        parts.append(failure_text(failure))
    return " ".join(parts)


def _part(name: str, value: Any) -> str:
    if name == "wave":
        return f"wave={value + 1}"
    if name == "bundle":
        return f"bundle={value[:DIGEST_SHOWN]}"
    if isinstance(value, list):
        return f"{name}={','.join(value)}" if len(value) == 1 else f"{name}={len(value)}"
    return str(value) if name in UNNAMED else f"{name}={value}"


def _more(found: Sequence[Recorded], limit: int) -> None:
    if len(found) == limit:
        say(f"There may be more: --after {found[-1].position}")
