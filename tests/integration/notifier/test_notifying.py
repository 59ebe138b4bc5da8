"""People are told what is in the log: at least once, also when what was down is back."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from ledger import instruments, meters
from ledger.contracts.envelope import Metadata, encode
from ledger.contracts.events import (
    DatabaseRegistered,
    LeadershipTaken,
    NotificationFailed,
    RolloutHalted,
)
from ledger.contracts.registry import Connection
from ledger.contracts.reports import AttemptFinished, Event
from ledger.domain.notices import NoticeSeverity
from ledger.domain.routes import Route
from ledger.instruments import Instrument
from ledger.notifier import notifier
from ledger.notifier.notifier import NotificationTarget, Notifier, Told
from ledger.notifier.webhook import Webhook
from ledger.store.connections import opened_pool
from ledger.store.log.log import EventLog
from ledger.store.notifications import NotificationTable
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.integration.service.conftest import LogIn
from tests.support.asked import pages
from tests.support.black_hole import before
from tests.support.house import House, found
from tests.support.manual_clock import ManualClock
from tests.support.receivers import HttpReceiver, Request, http_receiver

KEY = "the key that both know"
EVERYTHING = Route(("hook",), digest_s=0)


@pytest.fixture(autouse=True)
def around(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is where its reference leads, and no clock that a test moves ends a real call."""
    monkeypatch.setenv("HOOK_KEY", KEY)
    monkeypatch.setattr("ledger.notifier.thread.WITHIN_S", float("inf"))


def webhook(receiver: HttpReceiver, clock: Clock = SYSTEM_CLOCK) -> Webhook:
    return Webhook(receiver.url, "env:HOOK_KEY", clock)


@asynccontextmanager
async def notifying(
    house: House,
    targets: dict[str, NotificationTarget],
    routes: Sequence[Route] = (EVERYTHING,),
    *,
    clock: Clock = SYSTEM_CLOCK,
    name: str = "one",
    keep: timedelta = timedelta(hours=72),
) -> AsyncIterator[Notifier]:
    """Notify until the block ends."""
    told = Told(routes, targets, "prod", "https://board.example/{rollout}", keep)
    pool = house.stores.pool
    table = NotificationTable(pool)
    notifier = Notifier(name, told, table, EventLog(pool), clock, SYSTEM_CHANCE)
    task = asyncio.create_task(notifier.run(), name="notifier")
    try:

        async def begun() -> bool | None:
            assert not task.done(), task.exception()
            return (await table.holder()).position is not None or None

        await found(begun, "somebody notifies")
        yield notifier
    finally:
        task.cancel()
        await asyncio.wait([task])
        await notifier.release()


async def record(house: House, stream: str, *events: Event) -> None:
    """Have the leading process say these."""
    encoded = [encode(one, SYSTEM_CHANCE.ordered_uuid(), Metadata()) for one in events]
    await house.stores.log.append(stream, encoded)


def halted(rollout: str) -> RolloutHalted:
    return RolloutHalted(rollout=rollout, why="too many")


def failed(database: str, kind: FailureClass = FailureClass.SQL) -> AttemptFinished:
    failure = Failure(kind=kind, message="no", sqlstate="23514", file="1_a.sql", line=3)
    return AttemptFinished(
        database=database,
        command=SYSTEM_CHANCE.uuid(),
        attempt=1,
        mode=Mode.UP,
        verdict=Verdict.FAILED,
        changed=0,
        journal_head=None,
        failure=failure,
    )


async def came(
    receiver: HttpReceiver, number: int, clock: ManualClock | None = None
) -> list[Request]:
    """So many requests that were taken; a clock moves on meanwhile."""

    async def look() -> list[Request] | None:
        if clock is not None:
            clock.advance(5)
        return receiver.taken if len(receiver.taken) >= number else None

    return await found(look, f"{number} messages came")


async def test_a_webhook_is_told_under_the_notifiers_role_and_can_prove_who_told_it(
    house: House, log_in: LogIn
) -> None:
    async with (
        log_in("ledger_notifier") as theirs,
        http_receiver() as receiver,
        notifying(theirs, {"hook": webhook(receiver)}),
    ):
        await record(house, "rollout-r1", halted("r1"))
        (request,) = await came(receiver, 1)
    said = request.json
    assert said["event"] == "RolloutHalted"
    assert said["severity"] == "critical"
    assert said["rollout"] == "r1"
    assert said["ledger"] == "prod"
    assert said["next"] == "ledger rollout status r1"
    assert said["link"] == "https://board.example/r1"
    assert request.headers["idempotency-key"] == said["key"]
    signed = f"{request.headers['ledger-timestamp']}.".encode() + request.body
    expected = hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["ledger-signature"] == f"v1={expected}"


async def test_a_notifier_may_say_nothing_but_that_it_could_not(
    house: House, log_in: LogIn
) -> None:
    from ledger.errors import NotPermitted

    async with log_in("ledger_notifier") as theirs:
        for event in (halted("r1"), LeadershipTaken(term=9, leader="x", host="x")):
            with pytest.raises(NotPermitted):
                await record(theirs, "rollout-r1", event)
        with pytest.raises(Exception, match="permission denied"):
            await theirs.stores.pool.execute("DELETE FROM ledger.fleet_database")


async def test_a_failed_rollout_is_told_with_database_class_of_error_and_place(
    house: House,
) -> None:
    async with (
        http_receiver() as receiver,
        notifying(house, {"hook": webhook(receiver)}),
        house.leading(),
        house.actor() as actor,
    ):
        rollout = await house.start(select="id=acme")
        await actor.fails(await actor.ordered("acme"))
        await house.becomes(rollout, "halted")

        async def told() -> dict[str, dict[str, object]] | None:
            by_event = {one.json["event"]: one.json for one in receiver.taken}
            return by_event if {"AttemptFinished", "RolloutHalted"} <= by_event.keys() else None

        said = await found(told, "failure and halt are told")
    failure = said["AttemptFinished"]
    assert failure["databases"] == ["acme"]
    assert failure["errors"] == ["sql SQLSTATE 23514"]
    assert failure["rollout"] == said["RolloutHalted"]["rollout"] == rollout
    assert f"ledger rollout status {rollout}" in str(failure["text"])


async def test_a_receiver_that_is_down_for_an_hour_gets_each_message_once_when_it_is_back(
    house: House,
) -> None:
    clock = ManualClock()
    async with http_receiver() as receiver, http_receiver() as other:
        targets: dict[str, NotificationTarget] = {
            "hook": webhook(receiver, clock),
            "other": webhook(other, clock),
        }
        routes = (Route(("hook", "other"), digest_s=0),)
        async with notifying(house, targets, routes, clock=clock):
            await receiver.down()
            while clock.passed_s < 3600:
                if clock.passed_s % 600 == 0:
                    number = int(clock.passed_s / 600)
                    await record(house, f"rollout-r{number}", halted(f"r{number}"))
                clock.advance(10)
                await asyncio.sleep(0.01)
            # Nothing of this kept another target waiting.
            told = {f"r{number}" for number in range(6)}

            async def others() -> bool | None:
                clock.advance(1)
                return told <= {one.json["rollout"] for one in other.taken} or None

            await found(others, "the other target is told everything")
            assert receiver.taken == []

            async def is_said() -> bool | None:
                clock.advance(1)
                return bool(await house.events(NotificationFailed)) or None

            await found(is_said, "the log says that the target takes nothing")
            said = await house.events(NotificationFailed)
            assert len(said) <= 2
            event = said[0].event
            assert isinstance(event, NotificationFailed)
            assert (event.target, event.why) == ("hook", "the connection was refused")
            await receiver.up()
            await record(house, "rollout-last", halted("last"))

            async def each() -> bool | None:
                clock.advance(5)
                rollouts = {one.json["rollout"] for one in receiver.taken}
                return rollouts >= told | {"last"} or None

            await found(each, "everything that waited came")
    keys = Counter(one.headers["idempotency-key"] for one in receiver.taken)
    assert set(keys.values()) == {1}
    assert {one.json["rollout"] for one in receiver.taken} == told | {"last"}
    # It is told to others that this target takes nothing, and never to itself.
    assert "NotificationFailed" in {one.json["event"] for one in other.taken}
    assert "NotificationFailed" not in {one.json["event"] for one in receiver.taken}


async def test_who_goes_on_after_another_ended_tells_what_that_one_did_not(house: House) -> None:
    async with http_receiver(lambda _: (503, "")) as receiver:
        async with notifying(house, {"hook": webhook(receiver)}):
            await record(house, "rollout-r1", halted("r1"))

            async def tried() -> bool | None:
                return bool(receiver.refused) or None

            await found(tried, "it was tried")
        await record(house, "rollout-r2", halted("r2"))
        receiver.answers = lambda _: (200, "")
        async with notifying(house, {"hook": webhook(receiver)}, name="two"):
            requests = await came(receiver, 2)
        assert {one.json["rollout"] for one in requests} == {"r1", "r2"}
        # The same message, whoever sends it.
        (refused, *_) = receiver.refused
        assert refused.headers["idempotency-key"] in {
            one.headers["idempotency-key"] for one in requests
        }


async def test_two_notifiers_do_not_tell_twice(house: House) -> None:
    async with (
        http_receiver() as receiver,
        notifying(house, {"hook": webhook(receiver)}),
        notifying(house, {"hook": webhook(receiver)}, name="two") as second,
    ):

        async def waits() -> bool | None:
            return second.silence() == "another process notifies" or None

        await found(waits, "the second waits")
        for number in range(5):
            await record(house, f"rollout-r{number}", halted(f"r{number}"))
        await came(receiver, 5)
        await record(house, "rollout-last", halted("last"))
        requests = await came(receiver, 6)
    assert len(requests) == 6


async def test_many_failures_of_a_rollout_are_one_message_with_a_number_and_examples(
    house: House,
) -> None:
    clock = ManualClock()
    async with (
        http_receiver() as receiver,
        notifying(house, {"hook": webhook(receiver, clock)}, (Route(("hook",)),), clock=clock),
    ):
        for one in range(3):
            some = [failed(f"t{one}{number:03}") for number in range(50)]
            await record(house, "rollout-r1/reports", *some)
        await record(house, "rollout-r2/reports", failed("other"))

        async def kept() -> bool | None:
            clock.advance(0.5)
            found_ = await house.stores.pool.fetchval(
                "SELECT sum((document ->> 'count')::int) FROM ledger.notification"
            )
            return found_ == 151 or None

        await found(kept, "all are collected")
        assert receiver.taken == []
        requests = await came(receiver, 2, clock)
    by_rollout = {one.json["rollout"]: one.json for one in requests}
    assert by_rollout["r1"]["count"] == 150
    assert by_rollout["r1"]["databases"] == [f"t0{number:03}" for number in range(5)]
    assert "and 145 more" in by_rollout["r1"]["text"]
    assert by_rollout["r2"]["count"] == 1


async def test_a_digest_goes_on_where_a_notifier_before_left_it(house: House) -> None:
    clock = ManualClock()
    routes = (Route(("hook",)),)
    async with http_receiver() as receiver:

        async def collected(number: int) -> bool | None:
            clock.advance(0.5)
            count = await house.stores.pool.fetchval(
                "SELECT sum((document ->> 'count')::int) FROM ledger.notification"
            )
            return count == number or None

        for number, name in ((1, "one"), (2, "two")):
            hook = {"hook": webhook(receiver, clock)}
            async with notifying(house, dict(hook), routes, clock=clock, name=name):
                await record(house, "rollout-r1/reports", failed(f"t{number}"))
                await found(lambda number=number: collected(number), "it is collected")  # type: ignore[misc]
                if number == 2:
                    (request,) = await came(receiver, 1, clock)
    assert request.json["count"] == 2
    assert request.json["databases"] == ["t1", "t2"]


async def test_routes_choose_by_label_of_a_database_and_of_any_in_a_rollout(house: House) -> None:
    connection = Connection.at(host="db.internal", database="gold", user="app")
    from ledger.service.request_context import RequestContext

    await house.ledger.fleet.add("gold", "main", connection, {"tier": "gold"}, RequestContext())
    async with (
        http_receiver() as gold,
        http_receiver() as rest,
        notifying(
            house,
            {"gold": webhook(gold), "rest": webhook(rest)},
            (
                Route(("gold",), labels={"tier": "gold"}, digest_s=0),
                Route(("rest",), digest_s=0),
            ),
        ),
        house.leading(),
        house.actor() as actor,
    ):
        plain = await house.start(select="id=acme")
        await actor.fails(await actor.ordered("acme"))
        await house.becomes(plain, "halted")
        golden = await house.start(select="id=gold")
        await actor.fails(await actor.ordered("gold"))
        await house.becomes(golden, "halted")

        def events(receiver: HttpReceiver, rollout: str) -> set[str]:
            return {one.json["event"] for one in receiver.taken if one.json["rollout"] == rollout}

        wanted = {"RolloutStarted", "AttemptFinished", "RolloutHalted"}

        async def told() -> bool | None:
            return (
                events(gold, golden) == events(rest, golden) == events(rest, plain) == wanted
            ) or None

        await found(told, "both are told")
        assert events(gold, plain) == set()


async def test_what_no_target_takes_for_too_long_is_given_up_and_counted(house: House) -> None:
    clock = ManualClock()
    async with http_receiver(lambda _: (500, "")) as receiver:
        targets: dict[str, NotificationTarget] = {"hook": webhook(receiver, clock)}
        async with notifying(house, targets, clock=clock, keep=timedelta(hours=5)):
            await record(house, "rollout-r1", halted("r1"))

            async def given_up() -> bool | None:
                clock.advance(300)
                said = [one.event for one in await house.events(NotificationFailed)]
                return any(isinstance(e, NotificationFailed) and e.given_up for e in said) or None

            await found(given_up, "it is given up")
        (state,) = await NotificationTable(house.stores.pool).targets()
        assert (state.waiting, state.given_up) == (0, 1)


async def test_no_message_holds_a_secret_a_value_of_a_row_or_markup(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    value, secret = "planted-row-value", "planted-secret"
    hostile = f"<!channel> @everyone [x](http://evil) `a` *b*\x1b[31m\u202e {secret}"
    failure = Failure(
        kind=FailureClass.SQL,
        message=f"duplicate key {value}",
        sqlstate="23505",
        statement=f"INSERT INTO t VALUES ('{value}')",
        file=f"1_{hostile[:60]}.sql",
        line=2,
        blocker=value,
        batch=value,
    )
    attempt = failed("acme").model_copy(update={"failure": failure})
    planted = Metadata(reason=hostile, ticket=secret)
    connection = Connection.at(host=secret, database="x", user="app", password=f"env:{secret}")
    async with (
        http_receiver() as receiver,
        notifying(
            house,
            {"hook": webhook(receiver)},
            (Route(("hook",), events=("*", "DatabaseRegistered"), digest_s=0),),
        ),
    ):
        halt = RolloutHalted(rollout="r1", why=f"because of {value} {hostile}")
        registered = DatabaseRegistered(database="new", pool="main", connection=connection)
        for stream, event in (
            ("rollout-r1/reports", attempt),
            ("rollout-r1", halt),
            ("fleet", registered),
        ):
            encoded = encode(event, SYSTEM_CHANCE.ordered_uuid(), planted)
            await house.stores.log.append(stream, [encoded])
        requests = await came(receiver, 3)
    shown = "".join(one.body.decode() for one in requests)
    for never in (value, secret, "<!", "@everyone", "](", "http://evil", "\\u001b[", "`"):
        assert never not in shown
    assert value not in caplog.text
    assert secret not in caplog.text
    assert KEY not in caplog.text
    assert json.loads(requests[0].body)["errors"] == ["sql SQLSTATE 23505"]


async def test_a_database_with_the_least_severity_wanted_is_told_and_others_are_not(
    house: House,
) -> None:
    route = Route(("hook",), severity=NoticeSeverity.CRITICAL, digest_s=0)
    async with http_receiver() as receiver, notifying(house, {"hook": webhook(receiver)}, (route,)):
        await record(house, "ledger", LeadershipTaken(term=9, leader="x", host="x"))
        await record(house, "rollout-r1/reports", failed("acme"))
        await record(house, "rollout-r1", halted("r1"))
        (request,) = await came(receiver, 1)
    assert request.json["event"] == "RolloutHalted"


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    """Take the measurements of this test, without touching the process's provider."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    ours = provider.get_meter("test")
    monkeypatch.setattr(meters, "_meter", lambda: ours)
    monkeypatch.setattr(notifier, "_outcomes", instruments.counter(instruments.NOTIFICATIONS))
    yield reader
    provider.shutdown()


def measured(reader: InMemoryMetricReader, one: Instrument) -> dict[tuple[str, ...], float]:
    """The values of an instrument, by their attributes in its order."""
    data = reader.get_metrics_data()
    return {
        tuple(str((point.attributes or {})[name]) for name in one.attributes): point.value  # type: ignore[union-attr]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == one.name
        for point in metric.data.data_points
    }


async def test_what_was_taken_what_waits_and_for_how_long_is_measured(
    house: House, measurements: InMemoryMetricReader
) -> None:
    clock = ManualClock()
    async with http_receiver() as receiver, http_receiver(lambda _: (503, "")) as dead:
        targets: dict[str, NotificationTarget] = {
            "hook": webhook(receiver, clock),
            "dead": webhook(dead, clock),
        }
        routes = (Route(("hook", "dead"), events=("RolloutHalted",), digest_s=0),)
        async with notifying(house, targets, routes, clock=clock) as notifies:
            notifies.observe()
            assert measured(measurements, instruments.NOTIFICATIONS_WAITING) == {
                ("hook",): 0,
                ("dead",): 0,
            }
            await record(house, "rollout-r1", halted("r1"), halted("r1"), halted("r1"))

            async def told() -> bool | None:
                waiting = measured(measurements, instruments.NOTIFICATIONS_WAITING)
                tried = (len(receiver.taken), len(dead.refused)) == (3, 1)
                if not dead.refused:
                    # And no further, or it would be tried again before the other took all.
                    clock.advance(0.2)
                return (tried and waiting == {("hook",): 0, ("dead",): 3}) or None

            await found(told, "one takes all, the other was tried once")
            since = notifies._senders["dead"].failing_since
            assert since is not None
            failing_s = (clock.now() - since).total_seconds()
            assert measured(measurements, instruments.NOTIFICATIONS) == {
                ("hook", "delivered"): 3,
                ("dead", "failed"): 1,
            }
            clock.passed_s += 100
            assert measured(measurements, instruments.NOTIFICATIONS_FAILING) == {
                ("hook",): 0,
                ("dead",): failing_s + 100,
            }
            assert measured(measurements, instruments.NOTIFICATIONS_LAG) == {(): 0}


async def test_what_was_sent_and_not_noted_is_sent_again_under_the_same_key(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, crashes = NotificationTable.delivered, ["the process ends here"]

    async def crash(self: NotificationTable, target: str, key: str, now: datetime) -> None:
        if crashes:
            raise asyncpg.PostgresConnectionError(crashes.pop())
        await note(self, target, key, now)

    monkeypatch.setattr(NotificationTable, "delivered", crash)
    async with http_receiver() as receiver, notifying(house, {"hook": webhook(receiver)}):
        await record(house, "rollout-r1", halted("r1"))
        first, second = await came(receiver, 2)
        await record(house, "rollout-r2", halted("r2"))
        await came(receiver, 3)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert [one.json["rollout"] for one in receiver.taken] == ["r1", "r1", "r2"]


async def test_a_notifier_outlasts_the_loss_of_its_connections(house: House, log_in: LogIn) -> None:
    async with (
        log_in("ledger_notifier") as theirs,
        http_receiver() as receiver,
        notifying(theirs, {"hook": webhook(receiver)}),
    ):
        await record(house, "rollout-r1", halted("r1"))
        await came(receiver, 1)
        ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1"
        role = await theirs.stores.pool.fetchval("SELECT current_user")
        assert await house.stores.pool.fetchval(ended, role) > 0
        await record(house, "rollout-r2", halted("r2"))

        async def told() -> bool | None:
            # What was taken and not yet noted when the connection went comes again.
            return list({one.json["rollout"]: 0 for one in receiver.taken}) == ["r1", "r2"] or None

        await found(told, "what is recorded behind the loss is told, too")


async def test_a_notifier_whose_database_is_away_lives_says_so_and_is_ready_again(
    house: House,
) -> None:
    async with (
        before(house.url) as hole,
        opened_pool(hole.instead_of(house.url)) as pool,
        http_receiver() as receiver,
    ):
        told = Told((EVERYTHING,), {"hook": webhook(receiver)}, "prod", "", timedelta(hours=72))
        notifies = Notifier(
            "one", told, NotificationTable(pool), EventLog(pool), SYSTEM_CLOCK, SYSTEM_CHANCE
        )
        task = asyncio.create_task(notifies.run(), name="notifier")
        try:
            async with pages({"notifying": notifies.silence}) as asked:

                async def is_held() -> bool | None:
                    holder = await NotificationTable(house.stores.pool).holder()
                    return holder.position is not None or None

                await found(is_held, "it notifies")
                assert await asked.unready() == {}
                hole.go_away()

                async def is_unready() -> dict[str, str] | None:
                    return await asked.unready() or None

                why = await found(is_unready, "it is not ready")
                assert why == {"notifying": "the ledger's database does not answer"}
                assert await asked.status("/healthz") == 200
                hole.come_back()

                async def is_ready() -> bool | None:
                    return not await asked.unready() or None

                await found(is_ready, "it is ready again")
                await record(house, "rollout-r1", halted("r1"))
                await came(receiver, 1)
        finally:
            task.cancel()
            await asyncio.wait([task])
