"""An append with its premise: refused for what changes the decision, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import EVENTS
from ledger.contracts.reports import AttemptFinished
from ledger.domain.premises import TURNS, Premise
from ledger.errors import NotPermitted, Overtaken, StaleTerm, VersionConflict
from ledger.store.connections import Pool
from ledger.store.log.log import EventLog
from ledger.store.queries import QUERIES
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.integration.store.conftest import MemberPool, an_event, some_events
from tests.support.raw_event import NewEvent

STREAM = "rollout-1"
REPORTS = "rollout-1/reports"
PAUSED = "RolloutPaused"


def about(database: str, type_: str = "MigrationApplied", more: str = "") -> NewEvent:
    """An event about a database, as a contract renders it."""
    return an_event(b'{"database":"%s"%s}' % (database.encode(), more.encode()), type_)


def verdict(database: str, word: str) -> NewEvent:
    """The last word on an attempt."""
    return about(database, "AttemptFinished", f',"verdict":"{word}"')


async def known(log: EventLog) -> int:
    """Where the log ends."""
    return (await log.head()).position


async def append(log: EventLog, premise: Premise, count: int = 1) -> None:
    """Append a decision that rests on this."""
    await log.append(STREAM, some_events(count), premise=premise)


CHANGES: dict[str, tuple[str, NewEvent, dict[str, object]]] = {
    "a turn": (STREAM, an_event(type_=PAUSED), {"turns": (PAUSED,)}),
    "a failure": (REPORTS, about("a", "MigrationFailed"), {"failures": 0}),
    "a refusal": (REPORTS, about("a", "CommandRefused"), {"failures": 0}),
    "a failed attempt": (REPORTS, verdict("a", "failed"), {"failures": 0}),
    "a refused attempt": (REPORTS, verdict("a", "refused"), {"failures": 0}),
    "a verdict of a later version": (REPORTS, verdict("a", "odd"), {"failures": 0}),
    "an answer that was owed": (REPORTS, about("a"), {"databases": ("b", "a")}),
    "a decision about one": (STREAM, about("a", "AttemptTimedOut"), {"databases": ("a",)}),
    "a name with a space": (REPORTS, about("a b"), {"databases": ("a b",)}),
}


@pytest.mark.parametrize(("stream", "event", "premise"), CHANGES.values(), ids=CHANGES.keys())
async def test_what_changes_a_decision_refuses_it(
    log: EventLog, stream: str, event: NewEvent, premise: dict[str, object]
) -> None:
    before = await known(log)
    await log.append(stream, [event])
    with pytest.raises(Overtaken) as overtaken:
        await append(log, Premise(before, **premise))  # type: ignore[arg-type]
    assert (overtaken.value.stream, overtaken.value.known) == (STREAM, before)
    assert await known(log) == before + 1
    await append(log, Premise(before + 1, **premise))  # type: ignore[arg-type]
    assert await known(log) == before + 2


HARMLESS: dict[str, tuple[str, NewEvent]] = {
    "an order": (STREAM, about("c", "MigrationOrdered")),
    "a success": (REPORTS, verdict("c", "done")),
    "an expired attempt": (REPORTS, verdict("c", "expired")),
    "a cancelled attempt": (REPORTS, verdict("c", "cancelled")),
    "a turn of another rollout": ("rollout-2", an_event(type_=PAUSED)),
    "a rollout whose name begins alike": ("rollout-10", an_event(type_=PAUSED)),
    "a failure in another rollout": ("rollout-2/reports", verdict("a", "failed")),
    "a failure that a check reports": ("check-1/reports", about("a", "MigrationFailed")),
    "a text that looks like a name": (REPORTS, about("c", more=r',"note":"\"database\":\"a\""')),
    "a name that begins alike": (REPORTS, about("ab")),
    "a name that ends alike": (REPORTS, about("ba")),
    "a body that is no JSON": (REPORTS, an_event(b'\xff\xfe{"database":')),
    "a body that ends in a name": (REPORTS, an_event(b'{"database":"a')),
    "an empty body": (REPORTS, an_event(b"")),
}


@pytest.mark.parametrize(("stream", "event"), HARMLESS.values(), ids=HARMLESS.keys())
async def test_what_changes_nothing_refuses_nothing(
    log: EventLog, stream: str, event: NewEvent
) -> None:
    before = await known(log)
    await log.append(stream, [event])
    await append(log, Premise(before, turns=(PAUSED,), failures=0, databases=("a",)))
    assert await known(log) == before + 2


async def test_so_many_failures_are_borne_and_not_one_more(log: EventLog) -> None:
    before = await known(log)
    for database in ("a", "b", "b", "a"):
        await log.append(REPORTS, [about(database, "MigrationFailed")])
        await log.append(REPORTS, [verdict(database, "failed")])
    await append(log, Premise(before, failures=2))
    await append(log, Premise(before, failures=None))
    with pytest.raises(Overtaken):
        await append(log, Premise(before, failures=1))


@pytest.mark.parametrize("count", [1, 3])
async def test_a_call_that_comes_again_returns_its_first_result_whatever_came_since(
    log: EventLog, count: int
) -> None:
    before = await known(log)
    events = [an_event(type_=PAUSED) for _ in range(count)]
    premise = Premise(before, turns=(PAUSED,))
    first = await log.append(STREAM, events, premise=premise)
    await log.append(STREAM, [an_event(type_=PAUSED)])
    again = await log.append(STREAM, events, premise=premise)
    assert again[:3] == first[:3]
    assert [place.known for place in again.recorded] == [True] * count


async def test_a_premise_stands_beside_version_and_term(log: EventLog) -> None:
    await log.append(STREAM, some_events(2))
    premise = Premise(await known(log))
    with pytest.raises(VersionConflict):
        await log.append(STREAM, some_events(1), expected_version=1, premise=premise)
    with pytest.raises(StaleTerm):
        await log.append(STREAM, some_events(1), expected_version=2, term=7, premise=premise)
    await log.append(STREAM, some_events(1), expected_version=2, premise=premise)


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
        (one,) = some_events(1)
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
    assert _quoted(indexed) == turns | {"WavePlanned"}
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


async def _types(log: EventLog, databases: Sequence[str] | None) -> list[str]:
    found = await log.concerned(STREAM, await known(log), databases)
    return [one.type for one in found]


async def test_of_a_large_rollout_only_what_concerns_some_databases_is_read(log: EventLog) -> None:
    await log.append(STREAM, [an_event(type_="RolloutPlanned"), an_event(type_="WavePlanned")])
    await log.append(STREAM, [about(name, "MigrationOrdered") for name in ("a", "b", "c")])
    await log.append(REPORTS, [verdict("a", "done"), verdict("b", "failed")])
    await log.append(STREAM, [about("c", "AttemptTimedOut")])
    plan = ["RolloutPlanned", "WavePlanned"]
    assert await _types(log, ["a"]) == [*plan, "MigrationOrdered", "AttemptFinished"]
    assert await _types(log, []) == plan
    in_trouble = ["MigrationOrdered", "MigrationOrdered", "AttemptFinished", "AttemptTimedOut"]
    assert await _types(log, None) == [*plan, *in_trouble]
