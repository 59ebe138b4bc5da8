"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from ledger.cli.app.command import command, opened, tell_behind
from ledger.cli.app.options import PageOption, SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.watching import WatchOptions, shown_again
from ledger.cli.record.audit import aside_row, aside_text
from ledger.domain.wording import number_of
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.domain.surroundings import LeadingProcess
    from ledger.service.fleet_status import FleetOverview

COLUMNS = ("database", "pool", "status", "newest", "missing", "last_contact_at", "rollout")
LACKS_SHOWN = 3
"""How many missing migrations people see per database; the JSON forms have all."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    examples = ("ledger status", "ledger status -o json", "ledger status --watch")
    command(app, "status", panel="Every day", examples=examples)(status)


async def status(
    ctx: typer.Context,
    watching: WatchOptions,
    select: SelectOption = "",
    limit: PageOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show the fleet: who leads, which rollouts are unfinished, and what each database has."""
    async with opened(ctx) as session:
        form, fleet = Output(output), session.ledger.status

        async def show(overview: FleetOverview) -> None:
            await tell_behind(session)
            show_overview(session.ledger.name, overview, form)

        await shown_again(
            lambda: fleet.overview(select, limit=form.at_most(limit)), show, watching, form
        )


def show_overview(name: str, overview: FleetOverview, output: Output) -> None:
    """Write the databases as data; who leads and what is under way stand beside them."""
    say(f"ledger {name}, {leading(overview.leader)}")
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
            "nothing followed from them; `ledger audit unreadable` shows them and what to do"
        )
    for row in overview.set_aside[:LACKS_SHOWN]:
        say(escaped(aside_text(row)))
    if len(overview.set_aside) > LACKS_SHOWN:
        more = number_of(len(overview.set_aside) - LACKS_SHOWN, "event")
        say(f"{more} more were set aside; `ledger audit unreadable` shows them")
    say_unsigned(overview.unsigned)
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
        set_aside=[aside_row(row) for row in overview.set_aside],
        unsigned={agent: list(what) for agent, what in overview.unsigned.items()},
    )
    output.tell_left_out(len(overview.databases), overview.total)


def say_unsigned(agents: Mapping[str, Sequence[str]]) -> None:
    """Name what is not signed, and the agents where it is not."""
    by_what: dict[str, list[str]] = {}
    for agent, what in agents.items():
        by_what.setdefault(" and ".join(what), []).append(agent)
    for unsigned, names in by_what.items():
        shown = ", ".join(names[:LACKS_SHOWN])
        more = f" and {len(names) - LACKS_SHOWN} more" if len(names) > LACKS_SHOWN else ""
        say(
            f"INSECURE: {unsigned}, for trying things only, at {shown}{more}; "
            "see `ledger keys --help`"
        )


def leading(leader: LeadingProcess | None) -> str:
    """Who leads, and what to do if nobody does in fact."""
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
