"""An append with its premise, in every log: refused for what changes the decision, and else not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ledger.domain.premises import Premise
from ledger.errors import Overtaken, StaleTerm, VersionConflict
from ledger.store.port import Log
from tests.support.ledger_places import LedgerPlace
from tests.support.log_events import about, an_event, some_events, verdict
from tests.support.raw_event import NewEvent

STREAM = "rollout-1"
REPORTS = "rollout-1/reports"
PAUSED = "RolloutPaused"
ORDERED = "MigrationOrdered"


@pytest.fixture
def log(ledger_place: LedgerPlace) -> Log:
    """The log of a fresh ledger."""
    return ledger_place.stores.log


async def known(log: Log) -> int:
    """Where the log ends."""
    return (await log.head()).position


async def append(log: Log, premise: Premise, count: int = 1) -> None:
    """Append a decision that rests on this."""
    await log.append(STREAM, some_events(count, ORDERED), premise=premise)


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
    log: Log, stream: str, event: NewEvent, premise: dict[str, object]
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
    "a text that looks like a name": (REPORTS, about("c", more=r',"note":"\"database\":\"a\""')),
    "a name that begins alike": (REPORTS, about("ab")),
    "a name that ends alike": (REPORTS, about("ba")),
    "a body that is no JSON": (REPORTS, an_event(b'\xff\xfe{"database":')),
    "a body that ends in a name": (REPORTS, an_event(b'{"database":"a')),
    "an empty body": (REPORTS, an_event(b"")),
}


@pytest.mark.parametrize(("stream", "event"), HARMLESS.values(), ids=HARMLESS.keys())
async def test_what_changes_nothing_refuses_nothing(log: Log, stream: str, event: NewEvent) -> None:
    before = await known(log)
    await log.append(stream, [event])
    await append(log, Premise(before, turns=(PAUSED,), failures=0, databases=("a",)))
    assert await known(log) == before + 2


async def test_so_many_failures_are_borne_and_not_one_more(log: Log) -> None:
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
    log: Log, count: int
) -> None:
    before = await known(log)
    events = [an_event(type_=PAUSED) for _ in range(count)]
    premise = Premise(before, turns=(PAUSED,))
    first = await log.append(STREAM, events, premise=premise)
    await log.append(STREAM, [an_event(type_=PAUSED)])
    again = await log.append(STREAM, events, premise=premise)
    assert again[:3] == first[:3]
    assert [place.known for place in again.recorded] == [True] * count


async def test_a_premise_stands_beside_version_and_term(log: Log) -> None:
    await log.append(STREAM, some_events(2, ORDERED))
    premise = Premise(await known(log))
    with pytest.raises(VersionConflict):
        await log.append(STREAM, some_events(1, ORDERED), expected_version=1, premise=premise)
    with pytest.raises(StaleTerm):
        await log.append(
            STREAM, some_events(1, ORDERED), expected_version=2, term=7, premise=premise
        )
    await log.append(STREAM, some_events(1, ORDERED), expected_version=2, premise=premise)


async def _types(log: Log, databases: Sequence[str] | None) -> list[str]:
    found = await log.concerned(STREAM, await known(log), databases)
    return [one.type for one in found]


async def test_of_a_large_rollout_only_what_concerns_some_databases_is_read(log: Log) -> None:
    await log.append(STREAM, [an_event(type_="RolloutPlanned"), an_event(type_="WavePlanned")])
    await log.append(STREAM, [about(name, "MigrationOrdered") for name in ("a", "b", "c")])
    await log.append(REPORTS, [verdict("a", "done"), verdict("b", "failed")])
    await log.append(STREAM, [about("c", "AttemptTimedOut")])
    plan = ["RolloutPlanned", "WavePlanned"]
    assert await _types(log, ["a"]) == [*plan, "MigrationOrdered", "AttemptFinished"]
    assert await _types(log, []) == plan
    in_trouble = ["MigrationOrdered", "MigrationOrdered", "AttemptFinished", "AttemptTimedOut"]
    assert await _types(log, None) == [*plan, *in_trouble]
