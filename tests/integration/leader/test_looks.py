"""Looks at databases: one event that asks, one that ends it, and one for each that found news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from ledger.contracts.commands import InspectCommand
from ledger.contracts.envelope import Metadata, encode, inspection_id
from ledger.contracts.events import CheckFinished, CheckRequested, MessageParked
from ledger.contracts.reports import DatabaseInspected
from ledger.service.history import Search
from ledger.service.request_context import RequestContext
from migrations.model.attempt import Failure, FailureClass, HalfDone, Rights
from tests.support.house import Actor, House, found, identity_of, seen
from tests.support.patience import PATIENCE_S

FLEET = ("acme", "bolt", "crane")
WHY = RequestContext("because")
RIGHTS = Rights(create_schema=True, create_in_target=True, superuser=False)
Answer = Callable[[InspectCommand], DatabaseInspected]


async def looked(
    house: House, actor: Actor, answer: Answer = seen, select: str = ""
) -> CheckFinished:
    """Ask for looks, let each database answer so, and return what is said when all have."""
    actor.heard.clear()
    check = await house.ledger.fleet.check(select, WHY)
    for database in [select.removeprefix("id=")] if select else FLEET:
        look = await actor.looked_at(database)
        await actor.say(look.stream, answer(look))
    return await over(house, check)


async def over(house: House, check: str) -> CheckFinished:
    """What is said of this check when it is over."""

    async def said() -> CheckFinished | None:
        events = [one.event for one in await house.events(CheckFinished)]
        return next(
            (one for one in events if isinstance(one, CheckFinished) and one.check == check), None
        )

    return await found(said, "the check is over")


async def kinds(house: House, after: int) -> Counter[str]:
    """The events behind a position by their types."""
    return Counter(one.type for one in await house.stores.log.tail(after, 1000))


async def test_looks_that_find_what_is_known_leave_two_events_however_many_there_are(
    house: House,
) -> None:
    async with house.leading(), house.actor() as actor:
        first = await looked(house, actor)
        assert (first.databases, first.read, first.changed) == (3, 3, 3)
        before = await house.position()
        again = await looked(house, actor)
        assert (again.read, again.unread, again.silent, again.changed) == (3, 0, (), 0)
        assert await kinds(house, before) == {"CheckRequested": 1, "CheckFinished": 1}
        result = await house.ledger.checks.answers(again.check)
        assert [row.answer is not None for row in result.rows] == [True] * 3
    assert not (await house.ledger.audit.replay()).differences


NEWS: dict[str, dict[str, Any]] = {
    "who it is": {"identity": identity_of("another")},
    "its journal is gone": {"identity": None, "journal_head": None},
    "where its journal ends": {"journal_head": "elsewhere"},
    "what it may do": {"rights": RIGHTS},
    "another release": {"server_version": 180_001},
    "a standby": {"in_recovery": True},
    "without TLS": {"tls": False},
    "half done": {"half_done": (HalfDone("1", "up", "c", "r1"),)},
    "a warning": {"warnings": ("a trigger reaches our tables",)},
    "not reached": {
        "reachable": False,
        "failure": Failure(FailureClass.UNREACHABLE, "connection refused, port 5432"),
    },
}


@pytest.mark.parametrize("news", NEWS.values(), ids=NEWS.keys())
async def test_what_a_look_finds_otherwise_is_recorded_once_and_when_it_is_as_before_again(
    house: House, news: dict[str, Any]
) -> None:
    def plain(look: InspectCommand) -> DatabaseInspected:
        return seen(look).model_copy(update={"half_done": ()})

    def otherwise(look: InspectCommand) -> DatabaseInspected:
        return plain(look).model_copy(update=news)

    async with house.leading(), house.actor() as actor:
        await looked(house, actor, plain, select="id=acme")
        assert (await looked(house, actor, otherwise, select="id=acme")).changed == 1
        assert (await looked(house, actor, otherwise, select="id=acme")).changed == 0
        assert (await looked(house, actor, plain, select="id=acme")).changed == 1
    assert not (await house.ledger.audit.replay()).differences


@pytest.mark.parametrize(
    "schema",
    [
        {"fingerprint": "a" * 64},
        {"no_fingerprint": Failure(FailureClass.UNAVAILABLE, "it is locked")},
        {"fingerprint": "b" * 64, "snapshot": "eJwDAAAAAAE="},
    ],
    ids=lambda schema: " and ".join(schema),
)
async def test_what_a_schema_is_is_no_news_by_itself(house: House, schema: dict[str, Any]) -> None:
    def shown(look: InspectCommand) -> DatabaseInspected:
        return seen(look).model_copy(update=schema)

    async with house.leading(), house.actor() as actor:
        await looked(house, actor)
        assert (await looked(house, actor, shown)).changed == 0
        assert (await looked(house, actor)).changed == 0


async def test_a_snapshot_of_a_schema_is_kept_for_whoever_compares_and_is_in_no_log(
    house: House,
) -> None:
    snapshot = "c25hcHNob3Q" * 30_000

    def shown(look: InspectCommand) -> DatabaseInspected:
        return seen(look).model_copy(update={"fingerprint": "a" * 64, "snapshot": snapshot})

    async with house.leading(), house.actor() as actor:
        over = await looked(house, actor, shown)
        assert over.changed == len(FLEET)
        recorded = [one.event for one in await house.events(DatabaseInspected)]
        said = [one for one in recorded if isinstance(one, DatabaseInspected)]
        assert [(one.fingerprint, one.snapshot) for one in said] == [("a" * 64, "")] * len(FLEET)
        sent = await house.ledger.checks.snapshots(over.check, ["acme", "bolt", "never"])
        assert sent == {"acme": snapshot, "bolt": snapshot}
        kept = await house.stores.looks.latest(FLEET)
        assert max(len(one.body) for one in kept.values()) < len(snapshot)
    assert not (await house.ledger.audit.replay()).differences


async def test_numbers_in_the_words_of_a_failure_are_no_other_failure(house: House) -> None:
    said = iter((1, 2))

    def refused(look: InspectCommand) -> DatabaseInspected:
        message = f"too many connections, pid {next(said)}"
        failure = Failure(FailureClass.UNREACHABLE, message, sqlstate="53300")
        return DatabaseInspected(
            database=look.database, command=look.command, reachable=False, failure=failure
        )

    async with house.leading(), house.actor() as actor:
        assert (await looked(house, actor, refused, select="id=acme")).changed == 1
        again = await looked(house, actor, refused, select="id=acme")
        assert (again.changed, again.unread) == (0, 1)


async def test_what_a_rollout_did_is_no_news_to_a_look(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        command = await actor.ordered("acme")
        await actor.applies(command)
        await house.becomes(rollout, "completed")
        await house.stores.reads.caught_up()
        (row,) = await house.stores.reads.fleet(["acme"])

        def as_left(look: InspectCommand) -> DatabaseInspected:
            known = {"identity": row.belief.identity, "journal_head": row.belief.journal_head}
            return seen(look).model_copy(update=known)

        assert (await looked(house, actor, as_left, select="id=acme")).changed == 1
        again = await looked(house, actor, as_left, select="id=acme")
        assert again.changed == 0


async def test_a_history_has_what_looks_changed_and_who_did_not_answer(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        for _ in range(3):
            await looked(house, actor)
    search = await house.ledger.history.meant("acme", Search())
    lines = await house.ledger.history.lines(search)
    assert [type(one.recorded.event).__name__ for one in lines] == [
        "DatabaseInspected",
        "DatabaseRegistered",
    ]
    assert lines[0].asked.reason == "because"
    asked = await house.ledger.history.lines(Search())
    assert [type(one.recorded.event).__name__ for one in asked[:3]] == ["CheckRequested"] * 3


async def test_who_leads_next_asks_again_where_no_answer_was_kept_and_tells_of_all(
    house: House,
) -> None:
    async with house.leading() as leading, house.actor() as actor:
        check = await house.ledger.fleet.check("", WHY)
        first = await actor.looked_at("acme")
        await actor.looked_at("crane")
        await actor.say(first.stream, seen(first))
        await leading.leader.drain()
    async with house.leading(), house.actor() as actor:
        # What was sent before is answered now, and twice: an answer is one whoever asked.
        for database in ("bolt", "crane"):
            look = await actor.looked_at(database)
            await actor.say(look.stream, seen(look), seen(look))
        said = await over(house, check)
    assert (said.read, said.changed, said.silent) == (3, 3, ())
    assert not await house.events(MessageParked)


async def test_looks_that_nobody_began_in_an_hour_are_given_up_and_named(house: House) -> None:
    check = await house.ledger.fleet.check("", WHY)
    await house.register("later")
    await house.ledger.fleet.reinstate("later", WHY)
    aged = "UPDATE ledger.log SET recorded_at = recorded_at - interval '2 hours'"
    owner = await asyncpg.connect(house.url)
    try:
        await owner.execute("ALTER TABLE ledger.log DISABLE TRIGGER log_is_append_only")
        await owner.execute(f"{aged} WHERE type = '{CheckRequested.__name__}'")
    finally:
        await owner.close()
    await house.stores.reads.caught_up()
    async with house.leading(), house.actor() as actor:
        assert (await over(house, check)).silent == FLEET
        assert (await actor.looked_at("later")).order.purpose == "reinstate"
        assert {one.database for one in actor.heard} == {"later"}
    search = await house.ledger.history.meant("acme", Search())
    (line, *_) = await house.ledger.history.lines(search)
    assert isinstance(line.recorded.event, CheckFinished)


async def test_an_answer_that_comes_too_late_is_passed_over_and_one_that_nobody_asked_for_parked(
    house: House,
) -> None:
    async with house.leading() as leading, house.actor() as actor:
        await looked(house, actor)
        look = await actor.looked_at("acme")
        before = await house.position()
        late = seen(look).model_copy(update={"tls": False})
        await actor.say(look.stream, late, changed_command(late, look, 2))
        await leading.leader.drain()
        assert await house.position() == before
        for forged in (
            late.model_copy(update={"command": uuid4()}),
            late.model_copy(update={"database": "nobody"}),
        ):
            await actor.say(look.stream, forged)
        await actor.say("check-never", changed_command(late, look, 1, "check-never"))
        await leading.leader.drain()
        assert len(await house.at_least(3, MessageParked)) == 3
        assert not (await house.ledger.audit.replay()).differences


def changed_command(
    answer: DatabaseInspected, look: InspectCommand, attempt: int, stream: str = ""
) -> DatabaseInspected:
    command = inspection_id(stream or look.stream, look.database, attempt)
    return answer.model_copy(update={"command": command})


async def test_what_was_recorded_and_not_kept_before_a_crash_is_kept_by_who_leads_next(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = type(house.stores.looks).put

    async def dies(*_: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(type(house.stores.looks), "put", dies)
    check = await house.ledger.fleet.check("id=acme", WHY)
    async with house.leading() as leading, house.actor() as actor:
        look = await actor.looked_at("acme")
        await actor.say(look.stream, seen(look))
        await leading.task_ended()
    assert len(await house.events(DatabaseInspected)) == 1
    monkeypatch.setattr(type(house.stores.looks), "put", original)
    async with house.leading(), house.actor() as actor:
        look = await actor.looked_at("acme")
        await actor.say(look.stream, seen(look))
        said = await over(house, check)
    assert (said.read, said.changed) == (1, 1)
    result = await house.ledger.checks.answers(check, PATIENCE_S)
    assert result.rows[0].answer is not None


async def test_a_status_knows_of_looks_that_left_no_event(house: House) -> None:
    async with house.leading(), house.actor() as actor:
        await looked(house, actor)
        await house.stores.reads.caught_up()
        first = (await house.ledger.status.overview("id=acme")).databases[0].last_contact_at
        await looked(house, actor)
        again = (await house.ledger.status.overview("id=acme")).databases[0].last_contact_at
    assert first is not None
    assert again is not None
    assert again > first
    shown = await house.ledger.databases.report("acme")
    assert shown.look is not None
    assert shown.look.at == again


async def test_a_reinstated_database_is_unread_until_it_is_said_what_it_lost(house: House) -> None:
    reads, log = house.stores.reads, house.stores.log
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
    check = await house.ledger.fleet.reinstate("acme", WHY)
    await reads.caught_up()
    assert await reads.unmet(["acme"]) == await reads.unread(None) == {"acme"}

    # Its journal was read, and nobody has compared it yet with what was applied there.
    answer = DatabaseInspected(
        database="acme",
        command=uuid4(),
        reachable=True,
        identity=identity_of("acme"),
        journal_head="restored",
    )
    news = encode(answer, uuid4(), Metadata())
    await log.append(f"check-{check}/reports", [news], term=(await log.head()).term)
    await reads.caught_up()
    assert await reads.unmet(["acme"]) == await reads.unread(None) == {"acme"}

    async with house.leading(), house.actor() as actor:
        look = await actor.looked_at("acme")
        await actor.say(look.stream, answer.model_copy(update={"command": look.command}))
        assert (await over(house, check)).lost == 2
    await reads.caught_up()
    assert not await reads.unmet(["acme"])
    assert not await reads.unread(None)
    assert not (await house.ledger.audit.replay()).differences
