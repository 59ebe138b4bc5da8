"""A folder's migrations, traced in a scratch database, for `ledger lint --trace`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ledger.cli.app.command import flags_of, opened
from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.output import say
from ledger.cli.app.scratch import ScratchOptions
from ledger.cli.app.trace import Traced, fleet_schema, run_trace, say_where_from, with_sizes
from ledger.cli.lint.scope import NamedFiles, Scope, shown_path
from ledger.domain.refusals import RequestRefusal
from ledger.errors import LedgerError, WrongArgument
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.cli.app.command import Session
    from ledger.cli.lint.evidence import TraceEvidence
    from migrations.model.migration import Migration

UNTRACED_TOLD = 5
"""Statements that people are told of; `ledger plan --trace` shows all."""


async def told_trace(
    ctx: typer.Context,
    options: ScratchOptions,
    place: NamedFiles,
    migrations: Sequence[Migration],
    scope: Scope,
) -> TraceEvidence | None:
    """What the judged migrations do, and on stderr what of it could not be seen; `None` of none."""
    if not scope.versions:
        return None
    evidence = await _traced_folder(ctx, options, migrations, scope)
    say(f"Traced: on PostgreSQL {evidence.traced.trace.server}, in a scratch database")
    for remark in _untraced(evidence.traced, place.folder):
        say(remark)
    say_where_from(evidence.traced.trace, options)
    return evidence


async def _traced_folder(
    ctx: typer.Context, options: ScratchOptions, migrations: Sequence[Migration], scope: Scope
) -> TraceEvidence:
    """What the judged migrations do; with a ledger, also how large the tables are that they meet.

    What stands before the first of them is there, of those between them too.
    """
    from ledger.cli.lint.evidence import TraceEvidence

    judged = [at for at, one in enumerate(migrations) if one.version in scope.versions]
    first = min(judged, default=len(migrations))
    # Phases that were held back stand there, too; a baseline is for databases without a history.
    applied = [one for one in migrations[:first] if one.replaces is None]
    pending = migrations[first : max(judged, default=-1) + 1]
    away = ""
    if flags_of(ctx).load().settings.database_url is not None:
        try:
            async with opened(ctx) as session:
                found = await _of_fleet(ctx, session, options, applied, pending, scope)
                return TraceEvidence(found)
        except (LedgerError, RequestRefusal) as why:
            away = str(why)
    if options.fleet_database is not None:
        raise WrongArgument(
            f"no ledger says what the catalog of this database is{': ' if away else ''}{away}; "
            "write its address, --schema-from database:env:NAME"
        )
    schema = await options.schema()
    trace = await run_trace(
        options.place(ctx), schema, pending, applied=applied, together=scope.together
    )
    return TraceEvidence(Traced(trace, unsized=away))


async def _of_fleet(
    ctx: typer.Context,
    session: Session,
    options: ScratchOptions,
    applied: Sequence[Migration],
    pending: Sequence[Migration],
    scope: Scope,
) -> Traced:
    asked = ReasonOptions().asked()
    some = (await session.ledger.fleet.page("", limit=1)).databases
    first = some[0].database if some else ""
    target = some[0].connection.target.schema if some else ""
    schema = await fleet_schema(session, options, first, target, asked)
    trace = await run_trace(
        options.place(ctx), schema, pending, applied=applied, target=target,
        together=scope.together,
    )  # fmt: skip
    return await with_sizes(session, trace, "", asked, target)


def _untraced(traced: Traced, folder: Path) -> Iterator[str]:
    """What the trace could not see, and what it lacked, in a few lines."""
    # Of what runs outside of transactions enough is known, unless it fails.
    told = [
        one for one in traced.trace.statements if one.untraced and (one.fails or one.transactional)
    ]
    for one in told[:UNTRACED_TOLD]:
        place = f"{escaped(shown_path(folder, one.file))}:{one.line}"
        yield f"{place}: {escaped(one.statement)} is not traced: {one.untraced}"
    if (more := len(told) - UNTRACED_TOLD) > 0:
        yield f"and {more:,} more statements are not traced"
    for what, why in traced.trace.lacks[:UNTRACED_TOLD]:
        yield f"Not in the scratch database: {what}: {why}"
    if traced.unsized:
        yield f"How large the tables are is not known: {traced.unsized}"
