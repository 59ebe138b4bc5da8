"""A plan's migrations, traced in a scratch database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.scratch import ScratchOptions
from ledger.cli.app.trace import Traced, fleet_schema, run_trace, say_where_from, with_sizes

if TYPE_CHECKING:
    from ledger.cli.app.command import Session
    from ledger.service.plans import Plan


async def traced_plan(
    ctx: typer.Context, session: Session, plan: Plan, options: ScratchOptions, why: ReasonOptions
) -> Traced | None:
    """What each statement of the plan does, as its first database gets it; `None` without one."""
    from ledger.service.plan_texts import migrations_of

    place, asked = options.place(ctx), why.asked()
    found = await migrations_of(plan, session.ledger.bundles.text)
    if not found.pending:
        return None
    (record,) = await session.ledger.fleet.list(f"id={found.database}")
    target = record.connection.target.schema
    schema = await fleet_schema(session, options, found.database, target, asked)
    trace = await run_trace(place, schema, found.pending, applied=found.applied, target=target)
    say_where_from(trace, options)
    return await with_sizes(session, trace, plan.request.select, asked, target)
