"""The SDK's side of sampling, and of ids that follow from the log; loaded where spans go out."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from ledger import sampling, telemetry
from ledger.sampling import Sampling

LOOPS = (
    telemetry.PUBLISH_SPAN,
    telemetry.INTAKE_SPAN,
    telemetry.PROJECTION_SPAN,
    *(
        name.partition("{")[0]
        for name in (telemetry.SEND_SPAN, telemetry.POLL_SPAN, telemetry.COMMIT_SPAN)
    ),
)
"""What the spans of transport and of the leader's loops begin with: each is decided by itself."""


class TailSampler(SpanProcessor):
    """Hands on to `behind` what is to be exported, once that is known."""

    def __init__(self, behind: SpanProcessor, chosen: Sampling | None = None) -> None:
        self._behind = behind
        self._chosen = chosen

    @property
    def sampling(self) -> Sampling:
        """By what it decides: what this process was told, unless it was given something else."""
        return self._chosen or sampling.sampling()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell whoever is behind."""
        self._behind.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hold it, export it, or let go of it."""
        hold = sampling.hold()
        if hold is not None:
            hold.take(span, self)
        elif self._keeps(span):
            self.hand_on(span)

    def hand_on(self, span: ReadableSpan) -> None:
        """Export it."""
        self._behind.on_end(span)

    def shutdown(self) -> None:
        """End whoever is behind."""
        self._behind.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have whoever is behind export now."""
        return self._behind.force_flush(timeout_millis)

    def _keeps(self, span: ReadableSpan) -> bool:
        if not span.name.startswith(LOOPS):
            return True
        failed = sampling.has_failed(span)
        trace_id, seconds = span.context.trace_id, sampling.seconds_of(span)
        return self.sampling.keeps(trace_id, seconds, wanted=failed)


class GivenIds(IdGenerator):
    """Random ids, but for spans whose ids follow from the log (`ledger.telemetry.GIVEN_IDS`)."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        """The trace's id that was given, or a new one."""
        given = telemetry.GIVEN_IDS.get()
        return given[0] if given else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        """The span's id that was given, or a new one."""
        given = telemetry.GIVEN_IDS.get()
        return given[1] if given else self._random.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """Hashes are as good as random: samplers may rely on it."""
        return True
