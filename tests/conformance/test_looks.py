"""Answers of looks are kept for whoever asked, and the last of each database for longer."""

from __future__ import annotations

from uuid import uuid4

from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import CheckFinished, CheckRequested, Purpose
from ledger.store.port import FoundLook, LedgerStores
from tests.support.ledger_places import LedgerPlace


def found(check: str, database: str, body: bytes = b"{}", *, is_read: bool = True) -> FoundLook:
    return FoundLook(f"check-{check}", database, 1, is_read, 1, body)


async def ask(stores: LedgerStores, check: str, *, over: bool) -> None:
    asked = CheckRequested(check=check, purpose=Purpose.CHECK, databases=("a", "b"))
    await stores.log.append(f"check-{check}", [encode(asked, uuid4(), Metadata())])
    if over:
        ended = CheckFinished(
            check=check, asked_by="x", databases=2, read=2, unread=0, silent=(), changed=0,
            lost=0, duration_ms=1,
        )  # fmt: skip
        await stores.log.append(f"check-{check}", [encode(ended, uuid4(), Metadata())])
    await stores.reads.caught_up()


async def test_answers_of_a_check_come_in_pages_by_database(ledger_place: LedgerPlace) -> None:
    looks = ledger_place.stores.looks
    await looks.put([found("one", name) for name in ("b", "a", "C", "ä")] + [found("two", "a")])
    assert [one.database for one in await looks.of_check("one")] == sorted("abCä")
    assert [one.database for one in await looks.of_check("one", "a", 1)] == ["b"]
    assert await looks.of_check("none") == []
    assert [await looks.number_of(one) for one in ("one", "two", "none")] == [4, 1, 0]
    await looks.put([])


async def test_a_later_answer_of_a_check_takes_the_place_of_the_one_before(
    ledger_place: LedgerPlace,
) -> None:
    stores = ledger_place.stores
    await stores.looks.put([found("one", "a", b"first", is_read=False)])
    (before,) = await stores.looks.of_check("one")
    await ask(stores, "one", over=False)
    await stores.looks.put([found("one", "a", b"second")._replace(attempt=2)])
    (after,) = await stores.looks.of_check("one")
    assert (before.body, before.attempt, before.is_read) == (b"first", 1, False)
    assert (after.body, after.attempt, after.is_read) == (b"second", 2, True)
    assert after.position == before.position + 1
    assert after.answered_at > before.answered_at


async def test_the_last_answer_of_a_database_is_found_whoever_asked(
    ledger_place: LedgerPlace,
) -> None:
    looks = ledger_place.stores.looks
    await looks.put([found("one", "a"), found("one", "b")])
    await looks.put([found("two", "a", b"later", is_read=False)])
    latest = await looks.latest(["a", "b", "never"])
    assert {name: one.stream for name, one in latest.items()} == {
        "a": "check-two",
        "b": "check-one",
    }
    read = await looks.read_at(["a", "b", "never"])
    assert read.keys() == {"a", "b"}
    assert read["a"] < latest["a"].answered_at


async def test_what_nobody_waits_for_goes_but_the_last_answer_of_each_database(
    ledger_place: LedgerPlace,
) -> None:
    stores = ledger_place.stores
    for check, over in (("done", True), ("open", False), ("last", True)):
        await ask(stores, check, over=over)
    await stores.looks.put([found("done", "a"), found("done", "b"), found("open", "a")])
    await stores.looks.put([found("last", "a")])
    await stores.looks.trim(3600.0)
    assert len(await stores.looks.of_check("done")) == 2
    await stores.looks.trim(0.0)
    kept = {
        check: [one.database for one in await stores.looks.of_check(check)]
        for check in ("done", "open", "last")
    }
    assert kept == {"done": ["b"], "open": ["a"], "last": ["a"]}


async def test_a_snapshot_is_kept_no_longer_than_whoever_asked_waits_for_it(
    ledger_place: LedgerPlace,
) -> None:
    looks = ledger_place.stores.looks
    shown = [found("one", name)._replace(snapshot=f"schema of {name}") for name in ("a", "b")]
    await looks.put([*shown, found("one", "c"), found("two", "a")])
    asked = ["a", "c", "never"]
    await looks.trim(3600.0)
    assert await looks.snapshots("one", asked) == {"a": "schema of a"}
    assert await looks.snapshots("two", asked) == {}
    await looks.put([found("one", "a")._replace(attempt=2)])
    assert await looks.snapshots("one", ["a", "b"]) == {"b": "schema of b"}
    await looks.trim(0.0)
    assert await looks.snapshots("one", ["a", "b"]) == {}
    assert [one.database for one in await looks.of_check("one")] == ["a", "b", "c"]
