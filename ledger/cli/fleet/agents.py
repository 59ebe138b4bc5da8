"""`ledger agents`: who works, who has gone silent, and which pools have nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.fleet.status import leading
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.contracts.heartbeat import Busy
    from ledger.domain.surroundings import Seen
    from ledger.service.fleet_overview import AgentsOverview

COLUMNS = ("agent", "pool", "host", "version", "last_sign", "state", "at_work", "in_hand")
POOLS_SHOWN = 10
"""Pools without an agent that are named."""
SCREENFUL = 20
"""Of more agents those that need somebody come first; fewer are in the order of their names."""
_SHORT = ("silent", "puts orders aside", "alive", "ended")
"""States in a few words; what is none of them is about clocks."""
_WELL = {"alive": 1, "ended": 2}
"""Agents that need nobody, behind those that do."""
IN_HAND_SHOWN = 3
"""Databases of one agent that people see; the JSON forms have all that it told."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    examples = ("ledger agents", "ledger agents -o json")
    command(app, "agents", panel="Fleet and rollouts", examples=examples)(agents)


async def agents(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List agents: pool, version, last sign of life, and what each has in hand.

    Agents give a sign of life every two seconds, and whoever leads takes it in. Those of the last
    day are listed; one that was not heard of for 30 seconds is silent.
    """
    async with opened(ctx) as session:
        overview = await session.ledger.status.agents()
    show_agents(session.ledger.name, overview, Output(output))


def show_agents(name: str, overview: AgentsOverview, output: Output) -> None:
    """Write the agents as data; what explains them stands beside it."""
    say(f"ledger {name}, {leading(overview.leader)}")
    if overview.leader is None:
        say("without a leader nobody takes signs of life in: these are as old as they say")
    if overview.broker is False:
        say("the broker cannot be reached, so nothing is heard of agents; `ledger-agent check`")
    lonely = overview.lonely()
    if overview.broker is None:
        say("there is no broker: agents live in the process that leads, while it works")
    elif overview.broker and overview.leader is not None:
        for pool, databases in list(lonely.items())[:POOLS_SHOWN]:
            have = "has" if databases == 1 else "have"
            say(
                f"{number_of(databases, 'database')} of pool {pool} {have} no agent; "
                f"`ledger-agent run --pool {pool}` starts one"
            )
        if (more := len(lonely) - POOLS_SHOWN) > 0:
            say(f"{number_of(more, 'more pool')} without an agent; `-o json` names all")
    rows = [_row(one, overview, people=output.for_people) for one in overview.agents]
    if output.for_people and len(rows) > SCREENFUL:
        # Those first that need somebody, and how many there are of each.
        rows.sort(key=lambda row: _WELL.get(row["state"], 0))
        output.tell(_counted(rows))
    shown = rows[: output.at_most(None)]
    output.rows(
        "agents",
        shown,
        COLUMNS,
        empty="No agent gave a sign of life since yesterday.",
        ledger=name,
        leader=overview.leader.name if overview.leader else None,
        broker=overview.broker,
        pools=dict(overview.pools),
        pools_without_agent=list(lonely),
    )
    output.tell_left_out(len(shown), len(rows))


def _counted(rows: Sequence[Mapping[str, Any]]) -> str:
    """`240 agents: 3 silent, 237 alive`."""
    states = Counter(str(row["state"]).partition(":")[0] for row in rows)
    apart = sum(number for state, number in states.items() if state not in _SHORT)
    parts = [f"{states[state]:,} {state}" for state in _SHORT if states[state]]
    parts += [f"{apart:,} with a wrong clock"] if apart else []
    return f"{number_of(len(rows), 'agent')}: {', '.join(parts)}"


def _row(seen: Seen, overview: AgentsOverview, *, people: bool) -> dict[str, Any]:
    said, ended = seen.heartbeat, overview.has_ended(seen)
    busy = () if ended else said.busy
    row: dict[str, Any] = {
        "agent": said.agent,
        "pool": said.pool,
        "host": said.host,
        "version": said.version,
        "started_at": said.started_at,
        "last_sign_s": round(seen.age_s, 1),
        "state": "ended" if ended else _state(seen),
        "at_work": len(busy),
        "insecure": list(said.insecure),
    }
    if people:
        from migrations.model.clocks import span

        row["last_sign"] = f"{span(seen.age_s)} ago"
        row["in_hand"] = _in_hand(busy)
    else:
        row["in_hand"] = [one.model_dump(mode="json") for one in busy]
    return row


def _state(seen: Seen) -> str:
    """The nearest cause first: who is not there says nothing true of anything else."""
    if not seen.is_alive:
        return "silent"
    if seen.is_apart:
        return seen.clock
    if seen.heartbeat.refuses:
        return f"puts orders aside: {seen.heartbeat.refuses}"
    return "alive"


def _in_hand(busy: Sequence[Busy]) -> list[str]:
    shown = [f"{one.database} {one.waits_for or one.phase}" for one in busy[:IN_HAND_SHOWN]]
    return shown + ([f"{len(busy) - IN_HAND_SHOWN:,} more"] if len(busy) > IN_HAND_SHOWN else [])
