"""An append with its premise: refused for what changes the decision, and for nothing else."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import EVENTS
from ledger.contracts.reports import AttemptFinished
from ledger.domain.premises import TURNS, Premise
from ledger.errors import NotPermitted
from ledger.store.connections import Pool
from ledger.store.log.log import EventLog
from ledger.store.queries import QUERIES
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.integration.store.conftest import MemberPool
from tests.support.log_events import about, an_event, some_events, verdict
from tests.support.raw_event import NewEvent

STREAM = "rollout-1"
REPORTS = "rollout-1/reports"
PAUSED = "RolloutPaused"


async def known(log: EventLog) -> int:
    """Where the log ends."""
    return (await log.head()).position


async def append(log: EventLog, premise: Premise, count: int = 1) -> None:
    """Append a decision that rests on this."""
    await log.append(STREAM, some_events(count), premise=premise)


async def test_a_premise_gives_no_leave_that_the_role_has_not(member_pool: MemberPool) -> None:
    _, operators = await member_pool("ledger_operator")
    _, viewers = await member_pool("ledger_viewer")
    _, services = await member_pool("ledger_service")
    planned = NewEvent(uuid4(), "RolloutPlanned", 1, b"{}", b"{}")
    first = await EventLog(services).append(STREAM, [planned], expected_version=0)
    premise = Premise(first.last_position)
    paused = NewEvent(uuid4(), PAUSED, 1, b'{"rollout":"1"}', b"{}")
    await EventLog(operators).append(STREAM, [paused], premise=premise)
    with pytest.raises(NotPermitted):
        await EventLog(operators).append(STREAM, some_events(1), premise=premise)
    with pytest.raises(NotPermitted):
        await EventLog(viewers).append(STREAM, [paused], premise=premise)


async def test_turns_are_found_without_walking_the_orders(pool: Pool, log: EventLog) -> None:
    await log.append(STREAM, [an_event(type_="RolloutPlanned"), an_event(type_="WavePlanned")])
    for _ in range(20):
        await log.append(STREAM, [about(f"d{n}", "MigrationOrdered") for n in range(500)])
    await log.append(STREAM, [an_event(type_=PAUSED)])
    found = await log.turns(STREAM, await known(log))
    assert [one.type for one in found] == ["RolloutPlanned", PAUSED]
    plan = await pool.fetch(f"EXPLAIN {QUERIES['read_turns']}", STREAM, 1_000_000)
    assert any("log_turns" in row[0] for row in plan)


READ = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'log'"


async def test_a_premise_is_held_against_what_came_since_and_not_against_the_whole_stream(
    owner: asyncpg.Connection[asyncpg.Record], log: EventLog
) -> None:
    async def read_for(known: int) -> int:
        one = an_event(type_="RolloutResumed")
        call = (known, [PAUSED], 0, ["b"], STREAM, None, [one.event_id], [one.type], [1],
                [one.body], [one.metadata], None)  # fmt: skip
        async with owner.transaction():
            before = await owner.fetchval(READ) or 0
            await owner.fetchval(QUERIES["append_on_premise"], *call)
            after: int = await owner.fetchval(READ)
            return after - before

    # The session keeps the plan that it makes while the log is empty.
    await read_for(await known(log))
    for _ in range(20):
        await log.append(REPORTS, [verdict(f"d{n}", "done") for n in range(500)])
    before = await known(log)
    await log.append(REPORTS, [verdict("a", "done")])
    assert await read_for(before) < 20


async def test_the_index_the_queries_and_the_domain_name_the_same_turns(
    owner: asyncpg.Connection[asyncpg.Record],
) -> None:
    indexed = await owner.fetchval("SELECT pg_get_indexdef('ledger.log_turns'::regclass)")
    turns = {turn.__name__ for turn in TURNS}
    frame = turns | {"WavePlanned", "WaveOpened", "WaveCompleted", "ReportContradicted"}
    assert _quoted(indexed) == _quoted(QUERIES["read_frame"]) == frame
    assert _quoted(QUERIES["read_turns"]) == turns
    assert _quoted(QUERIES["turned_since"]) == turns


def _quoted(text: str) -> set[str]:
    return {part for part in text.split("'")[1::2] if part[:1].isupper()}


@pytest.mark.parametrize("word", Verdict)
async def test_the_database_knows_which_verdicts_a_budget_pays_for(
    owner: asyncpg.Connection[asyncpg.Record], word: Verdict
) -> None:
    last = AttemptFinished(
        database="acme", command=uuid4(), attempt=1, mode=Mode.UP, verdict=word, changed=0,
        journal_head=None, failure=Failure(kind=FailureClass.SQL, message='"verdict":"done"'),
    )  # fmt: skip
    body = encode(last, uuid4(), Metadata()).body
    may_fail = await owner.fetchval("SELECT ledger.may_fail('AttemptFinished', $1)", body)
    assert may_fail is (word in (Verdict.FAILED, Verdict.REFUSED))


async def test_the_database_finds_the_name_in_every_event_that_has_one(
    owner: asyncpg.Connection[asyncpg.Record],
) -> None:
    named = [type_ for type_ in EVENTS.values() if "database" in type_.model_fields]
    assert len(named) > 20
    for type_ in named:
        before = list(type_.model_fields)[: list(type_.model_fields).index("database")]
        given: dict[str, Any] = dict.fromkeys(before, "x")
        given["database"] = "acme-1"
        event = type_.model_construct(None, **given)
        body = event.model_dump_json(include={*before, "database"}, warnings=False).encode()
        assert {type_.model_fields[name].annotation for name in before} <= {str}
        assert await owner.fetchval("SELECT ledger.database_in($1)", body) == b"acme-1"
