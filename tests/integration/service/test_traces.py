"""Where time went, from the log alone, and the same spans sent once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ledger import exporters, telemetry
from ledger.contracts.topics import commands_topic
from ledger.domain.stretches import Stretch, StretchKind
from ledger.errors import NothingOfThatName, WrongArgument
from ledger.service.emission import CollectorRefused, Emitter
from ledger.service.request_context import RequestContext
from migrations.clock import SYSTEM_CLOCK
from migrations.model.attempt import Mode
from tests.support.house import POOL, House, found

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


async def a_rollout(house: House) -> str:
    """One database done, one failed, one without an answer."""
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(budget="5")
        await actor.applies(await actor.ordered("acme"))
        await actor.fails(await actor.ordered("bolt"))
        await actor.ordered("crane")

        async def told() -> bool | None:
            tally = (await house.ledger.rollouts.status(rollout)).tally
            return (tally.of("applied"), tally.of("failed")) == (1, 1) or None

        await found(told, "both have answered")
        return rollout


async def test_failures_come_first_and_what_has_not_ended_is_told_as_such(house: House) -> None:
    rollout = await a_rollout(house)
    shown = await house.ledger.traces.show(rollout, 10)
    assert (shown.what, shown.orders, shown.failed, dict(shown.errors)) == (
        rollout,
        3,
        1,
        {"sql": 1},
    )
    assert shown.frame is not None
    assert [wave.name for wave in shown.frame.inside] == ["wave 1"]
    assert shown.frame.ended is None
    first, *others = shown.chosen
    assert (first.name, first.error) == ("bolt", "sql")
    (attempt,) = first.inside
    (step,) = attempt.inside
    assert (step.name, step.error) == ("1 up", "23514")
    there = {order.name: order for order in others}
    assert there["crane"].ended is None
    assert there["crane"].inside == ()
    (attempt,) = there["acme"].inside
    assert [one.name for one in attempt.inside] == ["1 up", "2 up"]
    assert [one.seconds(shown.now) for one in attempt.inside] == [0.005, 0.005]


async def test_only_so_many_are_shown_and_all_are_counted(house: House) -> None:
    rollout = await a_rollout(house)
    shown = await house.ledger.traces.show(rollout, 1)
    assert [order.name for order in shown.chosen] == ["bolt"]
    assert shown.orders == 3
    failed = await house.ledger.traces.show(rollout, 10, failed_only=True)
    assert [order.name for order in failed.chosen] == ["bolt"]


async def test_of_a_database_every_order_is_drawn_with_its_rollout(house: House) -> None:
    rollout = await a_rollout(house)
    shown = await house.ledger.traces.show("acme", 10)
    assert shown.frame is None
    (order,) = shown.chosen
    assert order.told["rollout"] == rollout
    assert order.told["mode"] == Mode.UP


async def test_what_nobody_knows_is_said(house: House) -> None:
    with pytest.raises(NothingOfThatName):
        await house.ledger.traces.show("nobody", 10)


async def test_without_a_collector_nothing_is_sent_and_the_variable_is_named(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = await a_rollout(house)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(WrongArgument, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        await house.ledger.traces.emit(rollout)


class Sent(InMemorySpanExporter):
    """Remembers what it was given; with `refuses`, takes nothing."""

    refuses = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self.refuses else super().export(spans)


async def emitted(
    house: House, rollout: str, exporter: Sent, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[ReadableSpan]]:
    monkeypatch.setattr(exporters, "span_exporter", lambda: exporter)
    number = await house.ledger.traces.emit(rollout)
    spans = exporter.get_finished_spans()
    assert number == len(spans)
    found: dict[str, list[ReadableSpan]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return found


async def test_the_spans_are_a_tree_with_their_own_times_and_the_same_each_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = await a_rollout(house)
    spans = await emitted(house, rollout, Sent(), monkeypatch)
    orders = {span.attributes[telemetry.DATABASE]: span for span in spans["order database"]}  # type: ignore[index]
    # What has not ended is no span yet.
    assert set(orders) == {"acme", "bolt"}
    assert orders["bolt"].status.status_code is StatusCode.ERROR
    assert orders["acme"].status.status_code is StatusCode.UNSET
    topic = telemetry.PROCESS_SPAN.format(topic=commands_topic(POOL))
    processes = {span.parent.span_id: span for span in spans[topic] if span.parent}
    for order in orders.values():
        process = processes[order.context.span_id]
        assert process.context.trace_id == order.context.trace_id
        assert order.start_time <= process.start_time  # type: ignore[operator]
    (second,) = spans["migrate 2 up"]
    assert second.end_time - second.start_time == 5_000_000  # type: ignore[operator]
    again = await emitted(house, rollout, Sent(), monkeypatch)
    ids = {(one.context.trace_id, one.context.span_id) for some in spans.values() for one in some}
    assert ids == {
        (one.context.trace_id, one.context.span_id) for some in again.values() for one in some
    }
    assert len(ids) == sum(map(len, spans.values()))


async def test_a_collector_that_takes_nothing_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = await a_rollout(house)
    exporter = Sent()
    exporter.refuses = True
    with pytest.raises(CollectorRefused, match="emit again"):
        await emitted(house, rollout, exporter, monkeypatch)


def test_spans_have_the_ids_that_they_had(house: House) -> None:
    emitter = Emitter(house.ledger.id, Sent())
    at = SYSTEM_CLOCK.now()
    order = Stretch(StretchKind.ORDER, "k", "acme", at, at, told={"pool": "main"}, context=PARENT)
    attempt = replace(order, kind=StretchKind.ATTEMPT, key="a", context=PARENT.replace("b", "c"))
    told = {"pool": "main", "rollout": "r", "wave": "0", "attempt": "1", "database": "acme"}
    (own, inside) = emitter.spans(replace(order, inside=(replace(attempt, told=told),), told=told))
    assert f"{own.context.trace_id:032x}" == "a" * 32
    assert f"{own.context.span_id:016x}" == "b" * 16
    assert f"{inside.context.span_id:016x}" == "c" * 16
    assert inside.parent == own.context


def tracing(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Have spans of the ledger made here, and kept."""
    exporter = Sent()
    provider = exporters.provider_of("migration-ledger", "1", exporter, at_once=True)
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("test"))
    monkeypatch.setattr(telemetry, "traced", lambda: True)
    return exporter


def told(span: ReadableSpan) -> tuple[object, ...]:
    """All of a span but who made it."""
    return (
        span.name,
        span.kind,
        span.context.trace_id,
        span.context.span_id,
        span.parent.span_id if span.parent else None,
        span.status.status_code,
        sorted((span.attributes or {}).items()),
        sorted(link.context.span_id for link in span.links),
        span.start_time,
        span.end_time,
    )


FRAME = (telemetry.ROLLOUT_SPAN, telemetry.WAVE_SPAN, telemetry.ORDER_SPAN)


async def test_what_the_leader_traced_is_sent_once_more_word_for_word(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = tracing(monkeypatch)
    async with house.leading(), house.actor() as actor:
        with telemetry.command_span("ledger up"):
            rollout = await house.start(budget="5", waves="1,rest")
        await actor.applies(await actor.ordered("acme"))
        await actor.fails(await actor.ordered("bolt"))
        await actor.applies(await actor.ordered("crane"))
        await house.becomes(rollout, "completed")
        await found(lambda: ended_in(live, telemetry.ROLLOUT_SPAN), "the leader has heard the end")
    spans = live.get_finished_spans()
    frame = [span for span in spans if span.name in FRAME]
    assert [span.name for span in frame].count(telemetry.ORDER_SPAN) == 3
    assert [span.name for span in frame].count(telemetry.WAVE_SPAN) == 2
    (request,) = [span for span in spans if span.name == "ledger up"]
    (whole,) = [span for span in frame if span.name == telemetry.ROLLOUT_SPAN]
    assert whole.parent is not None
    assert whole.parent.span_id == request.context.span_id
    for span in frame:
        if span.name == telemetry.WAVE_SPAN:
            assert span.parent is not None
            assert span.parent.span_id == whole.context.span_id
        if span.name == telemetry.ORDER_SPAN:
            assert span.parent is None
            linked = {link.context.span_id for link in span.links}
            assert linked == {request.context.span_id, whole.context.span_id}
    again = await emitted(house, rollout, Sent(), monkeypatch)
    sent = [span for name in FRAME for span in again[name]]
    assert sorted(map(told, sent), key=repr) == sorted(map(told, frame), key=repr)


@pytest.mark.parametrize(("undoes", "error"), [(False, "aborted"), (True, "undone")])
async def test_a_wave_under_way_ends_with_the_rollout_that_is_aborted_or_undone(
    house: House, monkeypatch: pytest.MonkeyPatch, undoes: bool, error: str
) -> None:
    live = tracing(monkeypatch)
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(budget="0", waves="1,rest")
        await actor.applies(await actor.ordered("acme"))
        await actor.fails(await actor.ordered("bolt"))
        await actor.applies(await actor.ordered("crane"))
        await house.becomes(rollout, "halted")
        shown = await house.ledger.traces.show(rollout, 10)
        assert shown.frame is not None
        assert [wave.ended is None for wave in shown.frame.inside] == [False, True]
        if undoes:
            await house.roll_back(rollout)
        else:
            await house.ledger.rollouts.abort(rollout, RequestContext("no more"))
        await found(lambda: ended_in(live, telemetry.ROLLOUT_SPAN), "the leader has heard the end")
    frame = (await house.ledger.traces.show(rollout, 10)).frame
    assert frame is not None
    first, second = frame.inside
    assert (first.error, second.error, frame.error) == ("", error, error)
    assert second.ended == frame.ended
    waves = [span for span in live.get_finished_spans() if span.name == telemetry.WAVE_SPAN]
    again = await emitted(house, rollout, Sent(), monkeypatch)
    assert set(map(repr, map(told, again[telemetry.WAVE_SPAN]))) <= set(map(repr, map(told, waves)))
    assert len(again[telemetry.WAVE_SPAN]) == 2


async def test_a_rollout_that_was_complete_and_is_undone_took_no_longer_for_it(
    house: House,
) -> None:
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        await actor.applies(await actor.ordered("acme"))
        await house.becomes(rollout, "completed")
        before = (await house.ledger.traces.show(rollout, 10)).frame
        await house.roll_back(rollout)
    after = (await house.ledger.traces.show(rollout, 10)).frame
    assert before is not None
    assert before.ended is not None
    assert after == before


async def ended_in(exporter: Sent, name: str) -> bool | None:
    """Whether such a span was exported."""
    return any(span.name == name for span in exporter.get_finished_spans()) or None


async def test_what_the_leader_does_on_the_way_is_traced_and_linked_to_orders(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = tracing(monkeypatch)
    async with house.leading(), house.actor() as actor:
        await house.start(select="id=acme")
        await actor.applies(await actor.ordered("acme"))
        await found(lambda: ended_in(live, telemetry.ORDER_SPAN), "the order is answered")
        await found(lambda: ended_in(live, telemetry.PROJECTION_SPAN), "it is projected")
    spans = live.get_finished_spans()
    (order,) = [span for span in spans if span.name == telemetry.ORDER_SPAN]
    published = [span for span in spans if span.name == telemetry.PUBLISH_SPAN]
    linked = {link.context.span_id for span in published for link in span.links}
    assert order.context.span_id in linked
    assert any(span.name == telemetry.INTAKE_SPAN for span in spans)
    (plan,) = [span for span in spans if span.name == telemetry.PLAN_SPAN]
    assert plan.attributes == {telemetry.TASK_NAME: "up"}


async def test_a_leader_that_takes_over_traces_what_began_before_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing(monkeypatch)
    async with house.leading(), house.actor() as actor:
        rollout = await house.start(select="id=acme")
        ordered = await actor.ordered("acme")
    live = tracing(monkeypatch)
    async with house.leading(), house.actor() as actor:
        await actor.applies(ordered)
        await house.becomes(rollout, "completed")
        await found(lambda: ended_in(live, telemetry.ROLLOUT_SPAN), "the leader has heard the end")
    names = [span.name for span in live.get_finished_spans() if span.name in FRAME]
    assert sorted(names) == sorted(FRAME)
