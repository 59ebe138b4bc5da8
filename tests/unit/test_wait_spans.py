"""What a wait was for follows from its words; each kind has a span and a duration of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ledger import exporters, telemetry
from ledger.wait_spans import WaitCause, WaitSpans, cause_of
from tests.support.manual_clock import ManualClock

NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)
LOCK = "AccessExclusiveLock on public.users, held by pid 7 (shop)"


class Waiting:
    """Waits on a clock that is moved, with what came of them."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.over: list[tuple[str, float]] = []
        self.spans = WaitSpans(
            self.clock, lambda cause, seconds: self.over.append((cause, seconds))
        )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What keeps the spans that are made from now on."""
    exporter = InMemorySpanExporter()
    provider = exporters.provider_of("t", "1", exporter, at_once=True)
    monkeypatch.setattr(telemetry, "tracer", lambda: provider.get_tracer("test"))
    monkeypatch.setattr(telemetry, "traced", lambda: True)
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize(
    ("what", "cause"),
    [
        ("the target's lock, held by ledger-1", WaitCause.LOCK),
        (LOCK, WaitCause.LOCK),
        ("another session that builds by_id", WaitCause.LOCK),
        ("to try again after SQLSTATE 40001", WaitCause.RETRY),
        ("to try again after SQLSTATE 55P03, held by pid 7 (shop)", WaitCause.RETRY),
        ("to connect again", WaitCause.CONNECTION),
        ("to connect again, after too many clients, held by nobody", WaitCause.CONNECTION),
        ("replica east, 12 s behind", WaitCause.THROTTLE),
        ("", WaitCause.THROTTLE),
    ],
)
def test_the_words_of_a_wait_say_of_which_kind_it_is(what: str, cause: WaitCause) -> None:
    assert cause_of(what) is cause


def test_a_lock_that_did_not_come_and_the_pause_behind_it_are_two_kinds_of_one_wait(
    made: InMemorySpanExporter,
) -> None:
    work = Waiting()
    work.spans.begin(LOCK, 1.0)
    work.clock.advance(2)
    assert work.spans.begin(LOCK, 3.0) == work.spans.begin("to try again after 55P03", 3.0)
    work.clock.advance(4)
    work.spans.end()
    work.spans.end()
    assert work.over == [("lock", 3.0), ("retry", 4.0)]
    lock, retry = made.get_finished_spans()
    assert (lock.name, dict(lock.attributes or {})) == (
        "lock wait",
        {telemetry.WAITED_FOR: "AccessExclusiveLock on public.users"},
    )
    assert (retry.name, dict(retry.attributes or {})) == ("retry wait", {})
    assert lock.start_time == telemetry.nanoseconds(NOW) - 1_000_000_000
    assert lock.end_time == retry.start_time
    assert retry.end_time == telemetry.nanoseconds(work.clock.now())


def test_each_lock_and_each_pause_before_a_next_try_is_as_long_as_it_was(
    made: InMemorySpanExporter,
) -> None:
    work = Waiting()
    began_s = work.clock.monotonic()
    for pause_s in (0.5, 2.0, 5.0):
        # A lock is told when it has been waited for for a second, the next try since the first one.
        work.clock.advance(1)
        work.spans.begin(LOCK, 1.0)
        work.clock.advance(2)
        work.spans.begin(LOCK, 3.0)
        passed_s = work.clock.monotonic() - began_s
        since = work.spans.begin("to try again after 55P03", passed_s)
        assert since == NOW
        work.clock.advance(pause_s)
    work.spans.end()
    assert work.over == [
        ("lock", 3.0), ("retry", 0.5), ("lock", 3.0), ("retry", 2.0), ("lock", 3.0), ("retry", 5.0),
    ]  # fmt: skip
    spans = made.get_finished_spans()
    assert all(one.end_time == then.start_time for one, then in pairwise(spans))


def test_another_wait_ends_the_one_before_with_its_own_kind() -> None:
    work = Waiting()
    work.spans.begin("to connect again", 5.0)
    work.spans.begin(LOCK, 0.0)
    work.clock.advance(2)
    work.spans.end()
    assert work.over == [("connection", 5.0), ("lock", 2.0)]


def test_waits_stand_below_the_span_that_was_open_when_their_work_began(
    made: InMemorySpanExporter,
) -> None:
    work = Waiting()
    with telemetry.tracer().start_as_current_span("migrate 1 up") as step:
        work.spans.belong_to_this()
    with telemetry.tracer().start_as_current_span("statement"):
        work.spans.begin(LOCK, 0.0)
        work.spans.end()
        work.spans.cut_short(3.0)
    spans = {span.name: span for span in made.get_finished_spans()}
    for name in ("lock wait", "watchdog"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == step.get_span_context().span_id
    assert spans["watchdog"].start_time == telemetry.nanoseconds(NOW) - 3_000_000_000


@pytest.mark.parametrize("error", ["lock_timeout", ""])
def test_a_watchdog_that_gave_a_statement_up_has_failed_and_one_that_helped_it_has_not(
    made: InMemorySpanExporter, error: str
) -> None:
    work = Waiting()
    work.spans.begin(LOCK, 3.0)
    work.spans.cut_short(3.0, error)
    (watchdog,) = made.get_finished_spans()
    wanted = {telemetry.WAITED_FOR: "AccessExclusiveLock on public.users"}
    failed = {telemetry.ERROR_TYPE: error} if error else {}
    assert dict(watchdog.attributes or {}) == wanted | failed
    assert watchdog.status.is_unset is not bool(error)


def test_the_page_of_names_has_every_kind() -> None:
    import inspect  # Its docstring stands below the name, and only the source has it.

    source = inspect.getsource(telemetry)
    said = source.partition("WAIT_CAUSE: Final")[2].splitlines()[1]
    assert all(f"`{cause}`" in said for cause in WaitCause)
