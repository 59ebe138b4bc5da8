"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger.cli.output import Output, say
from ledger.cli.running import Session

COLUMNS = ("database", "pool", "status", "newest", "missing", "last_contact_at", "rollout")
LACKS_SHOWN = 3
"""How many missing migrations people see per database; the JSON forms have all."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What `ledger status` shows."""

    name: str
    leader: str | None
    bundle: str | None
    unfinished: tuple[str, ...]
    databases: tuple[dict[str, Any], ...]


async def look(session: Session, select: str) -> Overview:
    """Ask the read models about the selected databases, against the bundle registered last."""
    from ledger.service.freshness import brought_up
    from migrations.baselines import set_aside

    ledger = session.ledger
    await brought_up(ledger.reads, ledger.log)
    chosen = [record.database for record in await ledger.fleet.list(select)]
    bundle = await ledger.reads.latest_bundle()
    versions = [ref.version for ref in bundle.migrations] if bundle else []
    seen = await ledger.reads.database_versions(versions, chosen)
    known = {one.database: one for one in seen}
    covered = {
        one.database: set_aside(bundle.migrations, one.applied) if bundle and one.applied else {}
        for one in seen
    }
    busy = await ledger.reads.busy(chosen)
    rows = [
        {
            "database": row.record.database,
            "pool": row.record.pool,
            "status": row.record.status,
            "newest": known[row.record.database].latest if row.record.database in known else None,
            "missing": [
                version
                for version in known[row.record.database].missing
                if version not in covered[row.record.database]
            ]
            if row.record.database in known
            else versions,
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
        databases=tuple(rows),
    )


def show_overview(overview: Overview, output: Output) -> None:
    """Write the databases as data; who leads and what is under way stand beside them."""
    leader = overview.leader or "nobody"
    say(f"ledger {overview.name}, {leader} leads")
    for rollout in overview.unfinished:
        say(f"rollout {rollout} is unfinished; see `ledger rollout status {rollout}`")
    if overview.bundle is None:
        say("no bundle is registered; `ledger up` or `ledger migration register` does that")
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
        leader=overview.leader,
        bundle=overview.bundle,
        unfinished=list(overview.unfinished),
    )


def _shortened(missing: list[str]) -> str:
    if len(missing) <= LACKS_SHOWN:
        return ", ".join(missing)
    return f"{len(missing)} of them"
