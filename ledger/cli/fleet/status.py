"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ledger.cli.app.command import command, opened, tell_behind
from ledger.cli.app.options import PageOption, SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say

if TYPE_CHECKING:
    from ledger.domain.waiting import LeadingProcess
    from ledger.service.fleet_status import FleetOverview

COLUMNS = ("database", "pool", "status", "newest", "missing", "last_contact_at", "rollout")
LACKS_SHOWN = 3
"""How many missing migrations people see per database; the JSON forms have all."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    examples = ("ledger status", "ledger status -o json")
    command(app, "status", panel="Every day", examples=examples)(status)


async def status(
    ctx: typer.Context,
    select: SelectOption = "",
    limit: PageOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show the fleet: who leads, which rollouts are unfinished, and what each database has."""
    async with opened(ctx) as session:
        form = Output(output)
        overview = await session.ledger.status.overview(select, limit=form.at_most(limit))
        await tell_behind(session)
    show_overview(session.ledger.name, overview, form)


def show_overview(name: str, overview: FleetOverview, output: Output) -> None:
    """Write the databases as data; who leads and what is under way stand beside them."""
    say(f"ledger {name}, {_leading(overview.leader)}")
    for rollout in overview.unfinished:
        say(f"rollout {rollout} is unfinished; see `ledger rollout status {rollout}`")
    if overview.bundle is None:
        say("no bundle is registered; `ledger up` or `ledger bundle register` does that")
    for database in (one.database for one in overview.databases if one.unread):
        say(
            f"{database}: its journal was not read yet since it was reinstated, so what it lost is "
            "not known; an agent reads it as soon as it can be reached"
        )
    if overview.unreadable:
        shown = ", ".join(map(str, overview.unreadable[:LACKS_SHOWN]))
        say(
            f"events that cannot be read: {len(overview.unreadable)}, the latest at {shown}; "
            "nothing followed from them; `ledger events` shows who wrote them"
        )
    rows = [
        {
            "database": one.database,
            "pool": one.pool,
            "status": one.status,
            "newest": one.newest,
            "missing": _shortened(one.missing) if output.for_people else list(one.missing),
            "unread": one.unread,
            "last_contact_at": one.last_contact_at,
            "rollout": one.rollout,
        }
        for one in overview.databases
    ]
    output.rows(
        "status",
        rows,
        COLUMNS,
        empty="No database matches; `ledger fleet add` registers one.",
        ledger=name,
        leader=overview.leader.name if overview.leader else None,
        leader_heard_at=overview.leader.heard_at if overview.leader else None,
        leader_is_silent=overview.leader.is_silent if overview.leader else None,
        bundle=overview.bundle,
        unfinished=list(overview.unfinished),
        unreadable=list(overview.unreadable),
    )
    output.tell_left_out(len(overview.databases), overview.total)


def _leading(leader: LeadingProcess | None) -> str:
    from ledger.domain.waiting import TAKE_OVER

    if leader is None:
        return "nobody leads"
    if not leader.is_silent:
        return f"{leader.name} leads"
    return f"{leader.name} leads and {leader.silence}; `{TAKE_OVER}` leads in its place"


def _shortened(missing: Sequence[str]) -> str:
    if len(missing) <= LACKS_SHOWN:
        return ", ".join(missing)
    return f"{len(missing)} of them"
