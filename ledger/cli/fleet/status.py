"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.app.command import Session, command, opened, tell_behind
from ledger.cli.app.options import SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef
    from ledger.domain.waiting import LeadingProcess
    from ledger.store.views.rows import DatabaseVersions

COLUMNS = ("database", "pool", "status", "newest", "missing", "last_contact_at", "rollout")
LACKS_SHOWN = 3
"""How many missing migrations people see per database; the JSON forms have all."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What `ledger status` shows."""

    name: str
    leader: LeadingProcess | None
    bundle: str | None
    unfinished: tuple[str, ...]
    unread: tuple[str, ...]
    """Databases that were reinstated or repointed and whose journal was not read since."""
    unreadable: tuple[int, ...]
    """Positions of events that cannot be read."""
    databases: tuple[dict[str, Any], ...]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    examples = ("ledger status", "ledger status -o json")
    command(app, "status", panel="Every day", examples=examples)(status)


async def status(
    ctx: typer.Context, select: SelectOption = "", output: OutputOption = OutputFormat.TABLE
) -> None:
    """Show the fleet: who leads, which rollouts are unfinished, and what each database has."""
    async with opened(ctx) as session:
        overview = await look(session, select)
    show_overview(overview, Output(output))


async def look(session: Session, select: str) -> Overview:
    """Ask the read models about the selected databases, against the bundle registered last."""
    from ledger.service.catch_up import as_near_as_may_be

    ledger = session.ledger
    await as_near_as_may_be(ledger.reads, ledger.log)
    await tell_behind(session)
    listed = await ledger.fleet.list(select)
    chosen = [record.database for record in listed if select or not record.retired]
    bundle = await ledger.reads.latest_bundle()
    migrations = bundle.migrations if bundle else ()
    seen = await ledger.reads.database_versions([ref.version for ref in migrations], chosen)
    known = {one.database: one for one in seen}
    busy = await ledger.reads.busy(chosen)
    unread = await ledger.reads.unread(chosen)
    rows = [
        {
            "database": row.record.database,
            "pool": row.record.pool,
            "status": row.record.status,
            **_standing(known.get(row.record.database), migrations),
            "unread": row.record.database in unread,
            "last_contact_at": row.last_contact_at,
            "rollout": busy.get(row.record.database),
        }
        for row in await ledger.reads.fleet(chosen)
    ]
    return Overview(
        name=ledger.name,
        leader=await ledger.leader(),
        bundle=bundle.bundle if bundle else None,
        unfinished=tuple(await ledger.reads.unfinished_rollouts()),
        unread=tuple(sorted(unread)),
        unreadable=tuple(await ledger.reads.unreadable()),
        databases=tuple(rows),
    )


def _standing(known: DatabaseVersions | None, migrations: Sequence[MigrationRef]) -> dict[str, Any]:
    """What a database has and lacks; one that left the fleet lacks nothing."""
    from migrations.model.baselines import set_aside

    if known is None:
        return {"newest": None, "missing": []}
    covered = set_aside(migrations, known.applied) if known.applied else {}
    missing = [version for version in known.missing if version not in covered]
    return {"newest": known.latest, "missing": missing}


def show_overview(overview: Overview, output: Output) -> None:
    """Write the databases as data; who leads and what is under way stand beside them."""
    say(f"ledger {overview.name}, {_leading(overview.leader)}")
    for rollout in overview.unfinished:
        say(f"rollout {rollout} is unfinished; see `ledger rollout status {rollout}`")
    if overview.bundle is None:
        say("no bundle is registered; `ledger up` or `ledger bundle register` does that")
    for database in overview.unread:
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
        one | {"missing": _shortened(one["missing"]) if output.for_people else one["missing"]}
        for one in overview.databases
    ]
    output.rows(
        "status",
        rows,
        COLUMNS,
        empty="No database matches; `ledger fleet add` registers one.",
        ledger=overview.name,
        leader=overview.leader.name if overview.leader else None,
        leader_heard_at=overview.leader.heard_at if overview.leader else None,
        leader_is_silent=overview.leader.is_silent if overview.leader else None,
        bundle=overview.bundle,
        unfinished=list(overview.unfinished),
        unreadable=list(overview.unreadable),
    )


def _leading(leader: LeadingProcess | None) -> str:
    from ledger.domain.waiting import TAKE_OVER

    if leader is None:
        return "nobody leads"
    if not leader.is_silent:
        return f"{leader.name} leads"
    return f"{leader.name} leads and {leader.silence}; `{TAKE_OVER}` leads in its place"


def _shortened(missing: list[str]) -> str:
    if len(missing) <= LACKS_SHOWN:
        return ", ".join(missing)
    return f"{len(missing)} of them"
