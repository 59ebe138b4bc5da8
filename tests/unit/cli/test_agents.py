"""What people see of agents."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from ledger.cli.app.output import Output, OutputFormat
from ledger.cli.fleet.agents import show_agents
from ledger.contracts.heartbeat import Heartbeat
from ledger.domain.surroundings import LeadingProcess, Seen
from ledger.service.fleet_overview import AgentsOverview

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LEADER = LeadingProcess("ledger-1", "h", NOW)


def seen(agent: str, pool: str = "eu", age_s: float = 1.0, **more: Any) -> Seen:
    """An agent as it was heard of."""
    said = {"agent": agent, "pool": pool, "host": "h1", "version": "1.2", "at": NOW}
    return Seen(Heartbeat.model_validate({**said, "started_at": NOW, **more}), age_s)


def busy(*databases: str) -> list[dict[str, Any]]:
    """What it has in hand."""
    return [
        {"database": one, "command": uuid4(), "phase": "running", "since": NOW} for one in databases
    ]


def show(overview: AgentsOverview, form: OutputFormat = OutputFormat.TABLE) -> None:
    """As the command does."""
    show_agents("shop", overview, Output(form))


def test_an_agent_is_shown_with_pool_version_last_sign_of_life_and_work_in_hand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    agents = (seen("a1", busy=busy("t1", "t2", "t3", "t4")), seen("a2", "us", 3600.0))
    show(AgentsOverview(LEADER, True, agents, {"eu": 4, "us": 1}))
    shown = capsys.readouterr()
    first, second = shown.out.splitlines()[1:]
    for part in ("a1", "eu", "h1", "1.2", "1 s ago", "alive", "4", "t1 running", "1 more"):
        assert part in first
    for part in ("a2", "us", "60 min ago", "silent"):
        assert part in second
    assert "ledger shop, ledger-1 leads" in shown.err
    assert "1 database of pool us has no agent; `ledger-agent run --pool us`" in shown.err


def test_the_nearest_cause_is_what_an_agent_is_said_to_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    apart = Seen(seen("slow").heartbeat, 1.0, 120.0)
    gone = Seen(seen("gone", refuses="unsigned").heartbeat, 60.0, 120.0)
    show(AgentsOverview(LEADER, True, (gone, seen("no", refuses="unsigned"), apart), {}))
    first, second, third = capsys.readouterr().out.splitlines()[1:]
    assert "silent" in first
    assert "puts orders aside: unsigned" in second
    assert "the clock of agent slow on h1 is" in third


def test_without_broker_or_leader_no_pool_is_said_to_have_no_agent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(AgentsOverview(LEADER, False, (), {"eu": 1}))
    show(AgentsOverview(None, True, (), {"eu": 1}))
    show(AgentsOverview(LEADER, None, (), {"eu": 1}))
    said = capsys.readouterr().err
    assert "the broker cannot be reached" in said
    assert "nobody leads" in said
    assert "agents live in the process that leads" in said
    assert "has no agent" not in said


@pytest.mark.parametrize(
    ("leader", "broker", "state"),
    [
        (None, None, "ended"),
        (LeadingProcess("ledger-2", "h", NOW, led_s=5.0), None, "ended"),
        (LeadingProcess("ledger-2", "h", NOW, led_s=60.0), None, "alive"),
        (None, True, "alive"),
    ],
)
def test_an_agent_that_lived_in_a_process_that_led_before_has_ended_and_has_nothing_in_hand(
    capsys: pytest.CaptureFixture[str],
    leader: LeadingProcess | None,
    broker: bool | None,
    state: str,
) -> None:
    agents = (seen("a1", age_s=20.0, busy=busy("t1")),)
    show(AgentsOverview(leader, broker, agents, {"eu": 4}), OutputFormat.JSON)
    (told,) = json.loads(capsys.readouterr().out)["items"]
    assert (told["state"], told["at_work"]) == (state, int(state == "alive"))


def test_programs_get_all_that_an_agent_told(capsys: pytest.CaptureFixture[str]) -> None:
    agents = (seen("a1", busy=busy("t1", "t2", "t3", "t4")),)
    show(AgentsOverview(LEADER, True, agents, {"eu": 4, "us": 1}), OutputFormat.JSON)
    document = json.loads(capsys.readouterr().out)
    assert document["pools_without_agent"] == ["us"]
    (row,) = document["items"]
    assert [one["database"] for one in row["in_hand"]] == ["t1", "t2", "t3", "t4"]
    assert (row["last_sign_s"], row["at_work"]) == (1.0, 4)


def test_of_very_many_agents_those_that_need_somebody_come_first_and_all_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    alive = [seen(f"a{at:03}") for at in range(300)]
    wrong = [Seen(seen("z1").heartbeat, 1.0, 120.0), seen("z2", refuses="unsigned"),
             seen("z3", age_s=60.0)]  # fmt: skip
    pools = {f"p{at}": 1 for at in range(40)}
    show(AgentsOverview(LEADER, True, (*alive, *wrong), pools))
    shown = capsys.readouterr()
    first, _, *rows = shown.out.splitlines()
    assert first == ("303 agents: 1 silent, 1 puts orders aside, 300 alive, 1 with a wrong clock")
    assert [row.split()[0] for row in rows[:3]] == ["z1", "z2", "z3"]
    assert len(rows) == 100
    assert "100 of 303 are shown; `-o json` has all of them" in shown.err
    assert "30 more pools without an agent" in shown.err
    assert len(shown.err.splitlines()) < 20
    show(AgentsOverview(LEADER, True, (*alive, *wrong), pools), OutputFormat.JSON)
    assert len(json.loads(capsys.readouterr().out)["items"]) == 303


@pytest.mark.parametrize("broker", [True, False, None])
def test_an_agent_of_a_command_that_has_ended_has_ended_also_when_a_broker_came_since(
    capsys: pytest.CaptureFixture[str], broker: bool | None
) -> None:
    alone = seen("alone", age_s=20.0, busy=busy("t1"), lives_in_leader=True)
    leader = replace(LEADER, led_s=10.0)
    overview = AgentsOverview(leader, broker, (alone,), {"eu": 4})
    show(overview)
    (_, row) = capsys.readouterr().out.splitlines()
    assert "ended" in row
    assert "t1" not in row
    assert overview.lonely() == {"eu": 4}
    # One of a process of its own is only silent, and has what it had.
    other = seen("other", age_s=60.0, busy=busy("t1"))
    show(AgentsOverview(leader, True, (other,), {}))
    assert "silent" in capsys.readouterr().out
