"""Sends spans once more, from what the log says of them, after a collector was away.

Orders and attempts get the ids that their spans had, if they were recorded in a trace. Those of
migrations are not in the log and are derived, so that sending again gives the same spans again.
Statements are not in the log: their spans are gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from importlib import metadata
from uuid import UUID

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ledger import telemetry
from ledger.contracts.envelope import Metadata
from ledger.contracts.topics import commands_topic
from ledger.domain.stretches import Stretch, StretchKind
from ledger.errors import LedgerError
from migrations.running.telemetry import DIRECTION, STEP_SPAN, VERSION

BATCH = 500
"""Spans that are sent at once."""
AT_AGENTS = (StretchKind.ATTEMPT, StretchKind.MIGRATION)
"""What agents make spans of."""
_SCOPE = InstrumentationScope(telemetry.SCOPE)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class CollectorRefused(LedgerError):
    """Nobody took the spans that were sent once more."""


class Emitter:
    """Makes spans of a ledger's stretches and hands them to an exporter."""

    def __init__(self, ledger: UUID, exporter: SpanExporter) -> None:
        self._ledger = ledger
        self._exporter = exporter
        version = metadata.version("migration-ledger")
        self._own, self._agents = (
            Resource.create({"service.name": name, "service.version": version})
            for name in (telemetry.SERVICE, telemetry.AGENT_SERVICE)
        )

    async def emit(self, stretches: AsyncIterator[Stretch]) -> int:
        """Send everything that has ended; how many spans there were. Raises `CollectorRefused`."""
        waiting: list[ReadableSpan] = []
        sent = 0
        async for stretch in stretches:
            waiting += self.spans(stretch, None)
            if len(waiting) >= BATCH:
                sent += self._send(waiting)
                waiting = []
        return sent + self._send(waiting)

    def spans(self, stretch: Stretch, parent: SpanContext | None) -> Iterator[ReadableSpan]:
        """The span of a stretch that has ended, and those of everything inside of it."""
        own = self._context(stretch, parent)
        if stretch.kind is StretchKind.ROLLOUT:
            # It begins in the trace of the command that asked for it, and was no span there.
            parent = _recorded(stretch.context)
            own = self._derived(stretch, parent)
        if stretch.ended is not None:
            yield self._span(stretch, own, parent, stretch.ended)
        for inside in stretch.inside:
            yield from self.spans(inside, own)

    def _span(
        self, stretch: Stretch, own: SpanContext, parent: SpanContext | None, ended: datetime
    ) -> ReadableSpan:
        cause = _recorded(stretch.cause)
        status = Status(StatusCode.ERROR) if stretch.error else Status()
        return ReadableSpan(
            name=_name(stretch),
            context=own,
            parent=parent,
            resource=self._agents if stretch.kind in AT_AGENTS else self._own,
            attributes=_attributes(stretch),
            links=[Link(cause)] if cause else [],
            kind=SpanKind.CONSUMER if stretch.kind is StretchKind.ATTEMPT else SpanKind.INTERNAL,
            status=status,
            start_time=_nanoseconds(min(stretch.began, ended)),
            end_time=_nanoseconds(ended),
            instrumentation_scope=_SCOPE,
        )

    def _context(self, stretch: Stretch, parent: SpanContext | None) -> SpanContext:
        recorded = _recorded(stretch.context)
        if recorded is None or (parent is not None and recorded.span_id == parent.span_id):
            return self._derived(stretch, parent)
        return recorded

    def _derived(self, stretch: Stretch, parent: SpanContext | None) -> SpanContext:
        digest = hashlib.sha256(f"{self._ledger}/{stretch.kind}/{stretch.key}".encode()).digest()
        trace_id = parent.trace_id if parent else int.from_bytes(digest[:16], "big")
        return SpanContext(trace_id, int.from_bytes(digest[16:24], "big"), False, _SAMPLED)

    def _send(self, spans: Sequence[ReadableSpan]) -> int:
        if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise CollectorRefused(
                "the collector did not take the spans; start it, look at its log, and emit again: "
                "the same spans are sent once more"
            )
        return len(spans)


def _recorded(traceparent: str | None) -> SpanContext | None:
    """The span in which something was recorded, if that was in a trace."""
    if traceparent is None:
        return None
    context = telemetry.context_of(Metadata(traceparent=traceparent))
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def _name(stretch: Stretch) -> str:
    match stretch.kind:
        case StretchKind.ORDER:
            return telemetry.ORDER_SPAN
        case StretchKind.ATTEMPT:
            return telemetry.PROCESS_SPAN.format(topic=commands_topic(stretch.told["pool"]))
        case StretchKind.MIGRATION:
            return STEP_SPAN.format(**stretch.told)
        case StretchKind.ROLLOUT:
            return telemetry.ROLLOUT_SPAN
        case StretchKind.WAVE:
            return telemetry.WAVE_SPAN


def _attributes(stretch: Stretch) -> dict[str, str]:
    told = {_ATTRIBUTES[name]: value for name, value in stretch.told.items() if name in _ATTRIBUTES}
    if stretch.kind is StretchKind.ORDER:
        told |= {telemetry.PIPELINE: telemetry.ROLLOUT, telemetry.DATABASE: stretch.name}
    if stretch.kind is StretchKind.ROLLOUT:
        told |= {telemetry.PIPELINE: telemetry.ROLLOUT, telemetry.PIPELINE_RUN: stretch.name}
    return told | ({telemetry.ERROR_TYPE: stretch.error} if stretch.error else {})


_ATTRIBUTES = {
    "rollout": telemetry.PIPELINE_RUN,
    "pool": telemetry.POOL,
    "version": VERSION,
    "direction": DIRECTION,
}


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1_000
