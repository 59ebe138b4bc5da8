"""An append to two streams, in every log: both or neither, once, whoever asks."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import RolloutPaused
from ledger.domain.premises import Premise
from ledger.errors import Overtaken, StaleTerm, VersionConflict
from ledger.store.port import Batch, Log
from tests.support.ledger_places import LedgerPlace
from tests.support.log_events import an_event, some_events

ONE, OTHER = "rollout-1", "rollout-undo-1"
ORDERED = "MigrationOrdered"


@pytest.fixture
def log(ledger_place: LedgerPlace) -> Log:
    """The log of a fresh ledger."""
    return ledger_place.stores.log


def both(first: int = 0, second: int = 0, known: int | None = None) -> tuple[Batch, Batch]:
    """Two batches, at these versions of their streams."""
    premise = None if known is None else Premise(known, turns=("RolloutPaused",))
    return Batch(ONE, some_events(2, ORDERED), first, premise), Batch(
        OTHER, some_events(3, ORDERED), second
    )


async def streams(log: Log) -> list[tuple[str, int]]:
    """Where each event stands that was not there from the beginning."""
    return [(one.stream, one.stream_version) for one in await log.tail(0, 100)][1:]


async def test_both_stand_in_the_log_one_after_the_other(log: Log) -> None:
    one, other = await log.append_both(*both())
    assert (one.last_position + 1, one.stream_version) == (other.first_position, 2)
    assert (other.last_position, other.stream_version) == ((await log.head()).position, 3)
    assert await streams(log) == [(ONE, 1), (ONE, 2), (OTHER, 1), (OTHER, 2), (OTHER, 3)]


@pytest.mark.parametrize("missed", [ONE, OTHER])
async def test_a_conflict_in_one_of_them_keeps_both_out(log: Log, missed: str) -> None:
    await log.append(missed, [an_event(type_=ORDERED)])
    before = (await log.head()).position
    with pytest.raises(VersionConflict) as conflict:
        await log.append_both(*both())
    assert conflict.value.stream == missed
    assert (await log.head()).position == before


@pytest.mark.parametrize("term", [None, 0])
async def test_what_changes_the_first_keeps_both_out(log: Log, term: int | None) -> None:
    term = (await log.head()).term if term is not None else None
    known = (await log.head()).position
    await log.append(ONE, [encode(RolloutPaused(rollout="1"), uuid4(), Metadata())])
    with pytest.raises(Overtaken):
        await log.append_both(*both(1, 0, known), term=term)
    assert len(await streams(log)) == 1


async def test_a_leader_whose_term_has_ended_appends_neither(log: Log) -> None:
    with pytest.raises(StaleTerm):
        await log.append_both(*both(), term=(await log.head()).term + 1)
    assert await streams(log) == []


@pytest.mark.parametrize("fenced", [False, True])
async def test_the_same_call_again_gives_the_first_answer(log: Log, fenced: bool) -> None:
    term = (await log.head()).term if fenced else None
    batches = both(known=(await log.head()).position)
    first = await log.append_both(*batches, term=term)
    again = await log.append_both(*batches, term=term)
    assert [one.last_position for one in again] == [one.last_position for one in first]
    assert all(place.known for one in again for place in one.recorded)
    assert len(await streams(log)) == 5
