"""Makes the spans of rollouts, waves and orders, each when the log says that it has ended.

No process lives as long as a rollout, and a leader may be killed while an order is under way. So
nothing is begun: whoever leads when the end is heard makes the span from what the log says, with
ids that follow from it, as `ledger traces emit` would. What is inside of an order, its agent makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context

from ledger import sampling, telemetry
from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.events import RolloutPlanned, WaveCompleted
from ledger.domain.report_check import decided_in
from ledger.domain.stretches import ENDS, Stretch, Weaver
from ledger.service.emission import SpanDraft, drafts, rollout_context


class SpanWriter:
    """Hears rollouts go on; where spans go nowhere it does nothing."""

    def __init__(self, ledger: UUID) -> None:
        self._ledger = ledger
        self._traced = telemetry.traced()
        self._weavers: dict[str, Weaver] = {}

    def remember(self, history: Iterable[Recorded]) -> None:
        """Learn what was under way before this process led; what ended then was traced then."""
        if self._traced:
            for one in history:
                self._hear(one)

    def saw(self, recorded: Sequence[Recorded]) -> None:
        """Make the spans of what these events end."""
        if not self._traced:
            return
        for one in recorded:
            order = self._hear(one)
            if order is not None and self._keeps(order):
                self._make(order, None)
            self._frame(one)

    def _hear(self, one: Recorded) -> Stretch | None:
        stream = decided_in(one.stream)
        if isinstance(one.event, RolloutPlanned):
            # What is inside of an attempt, its agent traces.
            self._weavers[stream] = Weaver(steps=False)
        weaver = self._weavers.get(stream)
        return weaver.hear(one) if weaver else None

    def _keeps(self, order: Stretch) -> bool:
        """As its agent decides on what is inside."""
        metadata = Metadata(traceparent=order.context, tracestate=order.state)
        context = telemetry.context_of(metadata)
        took_s = max((one.seconds(one.began) for one in order.inside), default=0.0)
        wanted = bool(order.error) or telemetry.is_canary(context)
        trace_id = trace.get_current_span(context).get_span_context().trace_id
        return sampling.sampling().keeps(trace_id, took_s, wanted=wanted)

    def _frame(self, one: Recorded) -> None:
        """The spans of a wave, or of the rollout and the waves in it, that this event ends."""
        stream = decided_in(one.stream)
        weaver = self._weavers.get(stream)
        if weaver is None:
            return
        frame = weaver.frame()
        if isinstance(one.event, WaveCompleted) and frame is not None:
            wave = weaver.wave(one.event.wave)
            if wave is not None:
                self._make(wave, frame)
        if type(one.event) in ENDS and frame is not None and frame.ended == one.recorded_at:
            self._make(frame, None)
            for cut_off in (wave for wave in frame.inside if wave.error):
                self._make(cut_off, frame)
        if weaver.is_idle:
            del self._weavers[stream]

    def _make(self, stretch: Stretch, frame: Stretch | None) -> None:
        above = rollout_context(self._ledger, frame.name, frame.context) if frame else None
        for draft in drafts(self._ledger, stretch, above):
            _make_span(draft)
            return


def _make_span(draft: SpanDraft) -> None:
    parent = Context()
    if draft.parent is not None:
        parent = trace.set_span_in_context(trace.NonRecordingSpan(draft.parent), parent)
    given = telemetry.GIVEN_IDS.set((draft.context.trace_id, draft.context.span_id))
    try:
        span = telemetry.tracer().start_span(
            draft.name,
            context=parent,
            kind=draft.kind,
            attributes=draft.attributes,
            links=draft.links,
            start_time=telemetry.nanoseconds(draft.began),
        )
    finally:
        telemetry.GIVEN_IDS.reset(given)
    if draft.failed:
        telemetry.failed(span, str(draft.attributes[telemetry.ERROR_TYPE]))
    span.end(telemetry.nanoseconds(draft.ended))
