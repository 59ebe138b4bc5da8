"""Which traces are exported: what failed, what was slow, canaries, and of the rest a share."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags

from ledger import sampling, telemetry
from ledger.sampling import HELD_MOST, Sampling
from ledger.tail_sampler import GivenIds, TailSampler

NONE_BY_LUCK = Sampling(0.0, slow_s=10.0)
SECOND = 1_000_000_000


class Sampled:
    """A provider that samples, and what it exported."""

    def __init__(self, chosen: Sampling) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(id_generator=GivenIds(), shutdown_on_exit=False)
        provider.add_span_processor(TailSampler(SimpleSpanProcessor(self._exporter), chosen))
        self.tracer = provider.get_tracer("test")

    @property
    def names(self) -> list[str]:
        """What was exported, in that order."""
        return [span.name for span in self._exporter.get_finished_spans()]

    def order(self, *, wanted: bool = False, error: str = "", seconds: int = 1) -> None:
        """What an agent makes of one order: a process, and a statement in it."""
        with sampling.held() as hold:
            hold.wanted = wanted
            process = self.tracer.start_span("process t", start_time=0)
            with trace.use_span(process, end_on_exit=False):
                statement = self.tracer.start_span("UPDATE users", start_time=0)
                if error:
                    statement.set_status(Status(StatusCode.ERROR))
                statement.end(1)
            process.end(seconds * SECOND)


@pytest.mark.parametrize(
    ("how", "exported"),
    [
        ({}, []),
        ({"wanted": True}, ["UPDATE users", "process t"]),
        ({"error": "55P03"}, ["UPDATE users", "process t"]),
        ({"seconds": 10}, ["UPDATE users", "process t"]),
        ({"seconds": 9}, []),
    ],
)
def test_of_an_order_all_is_exported_that_failed_or_was_slow_or_wanted_and_else_nothing(
    how: dict[str, object], exported: list[str]
) -> None:
    sampled = Sampled(NONE_BY_LUCK)
    sampled.order(**how)  # type: ignore[arg-type]
    assert sampled.names == exported


def test_where_everything_is_exported_nothing_waits_for_the_end_of_the_order() -> None:
    sampled = Sampled(Sampling(1.0))
    with sampling.held():
        sampled.tracer.start_span("UPDATE users").end()
        assert sampled.names == ["UPDATE users"]
    assert sampled.names == ["UPDATE users"]


def test_the_share_is_decided_by_the_trace_alone_so_all_programs_come_to_the_same() -> None:
    half = Sampling(0.5)
    assert half.has_luck(2**127 + 2**63 - 1)
    assert not half.has_luck(2**63)
    ids = [trace_id * 0x9E3779B97F4A7C15 for trace_id in range(1, 1001)]
    assert 400 < sum(map(half.has_luck, ids)) < 600
    assert sum(map(Sampling(0.0).has_luck, ids)) == 0
    assert sum(map(Sampling(1.0).has_luck, ids)) == 1000


def test_an_order_of_very_many_spans_is_not_held_whole() -> None:
    sampled = Sampled(NONE_BY_LUCK)
    with sampling.held() as hold:
        hold.wanted = True
        for number in range(HELD_MOST + 5):
            sampled.tracer.start_span(f"batch {number}").end()
    assert len(sampled.names) == HELD_MOST
    assert sampled.names[0] == "batch 0"
    assert sampled.names[-1] == f"batch {HELD_MOST + 4}"


@pytest.mark.parametrize(
    ("name", "exported"),
    [
        ("send ledger.commands.main", False),
        ("poll t", False),
        ("commit t", False),
        ("publish", False),
        ("intake", False),
        ("projection", False),
        ("ledger up", True),
        ("plan", True),
        ("wave", True),
        ("rollout", True),
        ("order database", True),
    ],
)
def test_loops_are_sampled_and_what_people_ask_for_is_not(name: str, exported: bool) -> None:
    sampled = Sampled(NONE_BY_LUCK)
    sampled.tracer.start_span(name).end()
    assert sampled.names == ([name] if exported else [])


def test_a_loop_that_failed_or_took_long_is_exported() -> None:
    sampled = Sampled(NONE_BY_LUCK)
    failed = sampled.tracer.start_span("send t")
    failed.set_status(Status(StatusCode.ERROR))
    failed.end()
    sampled.tracer.start_span("intake", start_time=0).end(11 * SECOND)
    assert sampled.names == ["send t", "intake"]


@pytest.mark.parametrize(
    ("name", "argument", "ratio"),
    [
        ("", "", 1.0),
        ("always_on", "0.1", 1.0),
        ("traceidratio", "0.1", 0.1),
        ("parentbased_traceidratio", " 0.25 ", 0.25),
        ("traceidratio", "much", 1.0),
        ("traceidratio", "2", 1.0),
        ("traceidratio", "nan", 1.0),
        ("jaeger_remote", "0.1", 1.0),
    ],
)
def test_the_variables_of_opentelemetry_say_how_large_the_share_is(
    name: str, argument: str, ratio: float
) -> None:
    told = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    found = sampling.sampling_of(told)
    assert found == Sampling(ratio)


@pytest.mark.parametrize("name", ["always_off", "parentbased_always_off", "ALWAYS_OFF"])
def test_they_may_say_that_there_are_no_traces(name: str) -> None:
    assert sampling.sampling_of({"OTEL_TRACES_SAMPLER": name}) is None


def test_a_sampler_that_nobody_has_is_told(caplog: pytest.LogCaptureFixture) -> None:
    sampling.sampling_of({"OTEL_TRACES_SAMPLER": "xray"})
    assert "write traceidratio" in caplog.text


def test_an_id_that_follows_from_the_log_is_the_spans_own() -> None:
    sampled = Sampled(Sampling())
    given = telemetry.GIVEN_IDS.set((7, 9))
    span = sampled.tracer.start_span("order database", context=Context())
    telemetry.GIVEN_IDS.reset(given)
    found = span.get_span_context()
    assert (found.trace_id, found.span_id) == (7, 9)
    below = trace.set_span_in_context(
        NonRecordingSpan(SpanContext(7, 9, True, TraceFlags(TraceFlags.SAMPLED)))
    )
    child = sampled.tracer.start_span("x", context=below).get_span_context()
    assert child.trace_id == 7
    assert child.span_id != 9
