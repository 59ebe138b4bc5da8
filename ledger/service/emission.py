"""Sends spans once more, from what the log says of them, after a collector was away.

Orders and attempts, and what agents noted inside of attempts, get the ids that their spans had, if
they were recorded in a trace. The others are derived from the log, so that sending again gives the
same spans again; those of rollouts and waves are derived when they are made first, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from typing import assert_never
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
from ledger.exporters import resource_of
from migrations.running.telemetry import DB_STATUS, DB_SUMMARY, DIRECTION, STEP_SPAN, VERSION

BATCH = 500
"""Spans that are sent at once."""
AT_AGENTS = (StretchKind.ATTEMPT, StretchKind.MIGRATION, StretchKind.PART)
"""What agents make spans of."""
_SCOPE = InstrumentationScope(telemetry.SCOPE)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class CollectorRefused(LedgerError):
    """Nobody took the spans that were sent once more."""


@dataclass(frozen=True, slots=True)
class SpanDraft:
    """A span as the log says it was; its ids follow from the log, or stand in it."""

    name: str
    kind: SpanKind
    context: SpanContext
    parent: SpanContext | None
    links: tuple[Link, ...]
    attributes: Mapping[str, str | int]
    failed: bool
    began: datetime
    ended: datetime
    at_agent: bool


class Emitter:
    """Makes spans of a ledger's stretches and hands them to an exporter."""

    def __init__(self, ledger: UUID, exporter: SpanExporter) -> None:
        self._ledger = ledger
        self._exporter = exporter
        version = metadata.version("migration-ledger")
        self._own = resource_of(telemetry.SERVICE, version)
        # What agents are called elsewhere is not known here.
        self._agents = Resource.create(
            {"service.name": telemetry.AGENT_SERVICE, "service.version": version}
        )

    async def emit(self, stretches: AsyncIterator[Stretch]) -> int:
        """Send everything that has ended; how many spans there were. Raises `CollectorRefused`."""
        waiting: list[ReadableSpan] = []
        sent = 0
        async for stretch in stretches:
            waiting += self.spans(stretch)
            if len(waiting) >= BATCH:
                sent += self._send(waiting)
                waiting = []
        return sent + self._send(waiting)

    def spans(self, stretch: Stretch) -> Iterator[ReadableSpan]:
        """The span of a stretch that has ended, and those of everything inside of it."""
        for one in drafts(self._ledger, stretch, None):
            yield ReadableSpan(
                name=one.name,
                context=one.context,
                parent=one.parent,
                resource=self._agents if one.at_agent else self._own,
                attributes=one.attributes,
                links=one.links,
                kind=one.kind,
                status=Status(StatusCode.ERROR) if one.failed else Status(),
                start_time=telemetry.nanoseconds(one.began),
                end_time=telemetry.nanoseconds(one.ended),
                instrumentation_scope=_SCOPE,
            )

    def _send(self, spans: Sequence[ReadableSpan]) -> int:
        if spans and self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise CollectorRefused(
                "the collector did not take the spans; start it, look at its log, and emit again: "
                "the same spans are sent once more"
            )
        return len(spans)


def drafts(
    ledger: UUID, stretch: Stretch, parent: SpanContext | None, *, local: bool = False
) -> Iterator[SpanDraft]:
    """The span of a stretch, if it has ended, and then those of everything inside of it.

    With `local` its agent was in the ledger's process.
    """
    own, parent = _context(ledger, stretch, parent)
    local = local or "local" in stretch.told
    if stretch.ended is not None:
        yield SpanDraft(
            name=_name(stretch),
            kind=_kind(stretch),
            context=own,
            parent=parent,
            links=_links(ledger, stretch, parent),
            attributes=_attributes(stretch),
            failed=bool(stretch.error),
            began=min(stretch.began, stretch.ended),
            ended=stretch.ended,
            at_agent=stretch.kind in AT_AGENTS and not local,
        )
    for inside in stretch.inside:
        yield from drafts(ledger, inside, own, local=local)


def rollout_context(ledger: UUID, rollout: str, asked: str | None) -> SpanContext:
    """The span of a rollout that was `asked` for in this context, if that was in a trace."""
    return _derived(ledger, StretchKind.ROLLOUT, f"rollout-{rollout}", _recorded(asked))


def _context(
    ledger: UUID, stretch: Stretch, parent: SpanContext | None
) -> tuple[SpanContext, SpanContext | None]:
    """The context of its span and that of its parent: as recorded, if a span was recorded.

    What was recorded where nothing made spans is the context of whoever asked.
    """
    recorded = _recorded(stretch.context)
    match stretch.kind:
        case StretchKind.ROLLOUT:
            return _derived(ledger, stretch.kind, stretch.key, recorded), recorded
        case StretchKind.WAVE:
            return _derived(ledger, stretch.kind, stretch.key, parent), parent
        case StretchKind.ORDER:
            asked = _recorded(stretch.cause)
            if recorded is None or (asked is not None and recorded.trace_id == asked.trace_id):
                return _derived(ledger, stretch.kind, stretch.key, recorded), recorded
            return recorded, None
        case StretchKind.ATTEMPT | StretchKind.MIGRATION | StretchKind.PART:
            if recorded is None or (parent is not None and recorded.span_id == parent.span_id):
                return _derived(ledger, stretch.kind, stretch.key, parent), parent
            return recorded, parent
        case _:
            assert_never(stretch.kind)


def _derived(ledger: UUID, kind: StretchKind, key: str, parent: SpanContext | None) -> SpanContext:
    digest = hashlib.sha256(f"{ledger}/{kind}/{key}".encode()).digest()
    trace_id = parent.trace_id if parent else int.from_bytes(digest[:16], "big")
    return SpanContext(trace_id, int.from_bytes(digest[16:24], "big"), False, _SAMPLED)


def _links(ledger: UUID, stretch: Stretch, parent: SpanContext | None) -> tuple[Link, ...]:
    """What led to it: to an order the request and the rollout, to an attempt its order."""
    if stretch.kind is StretchKind.ATTEMPT and parent is not None:
        return (Link(parent),)
    if stretch.kind is not StretchKind.ORDER:
        return ()
    asked = _recorded(stretch.cause)
    rollout = rollout_context(ledger, stretch.told["rollout"], stretch.cause)
    return (*((Link(asked),) if asked else ()), Link(rollout))


def _kind(stretch: Stretch) -> SpanKind:
    if stretch.kind is StretchKind.ATTEMPT:
        return SpanKind.INTERNAL if "local" in stretch.told else SpanKind.CONSUMER
    return SpanKind.CLIENT if "client" in stretch.told else SpanKind.INTERNAL


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
        case StretchKind.PART:
            return stretch.name
        case _:
            assert_never(stretch.kind)


def _attributes(stretch: Stretch) -> dict[str, str | int]:
    told: dict[str, str | int] = {
        _ATTRIBUTES[name]: value for name, value in stretch.told.items() if name in _ATTRIBUTES
    }
    match stretch.kind:
        case StretchKind.ORDER:
            told |= {telemetry.PIPELINE: telemetry.ROLLOUT}
            told |= {telemetry.ATTEMPT: int(stretch.told["attempt"])}
            told |= {telemetry.WAVE: int(stretch.told["wave"]) + 1}
        case StretchKind.ATTEMPT:
            told |= {telemetry.PIPELINE: telemetry.ROLLOUT}
            told |= {telemetry.ATTEMPT: int(stretch.told["attempt"])}
        case StretchKind.ROLLOUT:
            told |= {telemetry.PIPELINE: telemetry.ROLLOUT, telemetry.PIPELINE_RUN: stretch.name}
        case StretchKind.PART if "client" in stretch.told:
            told |= {telemetry.DB_SYSTEM: "postgresql", DB_SUMMARY: stretch.name}
            if SQLSTATE.fullmatch(stretch.error):
                told |= {DB_STATUS: stretch.error}
        case _:
            pass
    return told | ({telemetry.ERROR_TYPE: stretch.error} if stretch.error else {})


SQLSTATE = re.compile("[0-9A-Z]{5}")
_ATTRIBUTES = {
    "rollout": telemetry.PIPELINE_RUN,
    "database": telemetry.DATABASE,
    "pool": telemetry.POOL,
    "version": VERSION,
    "direction": DIRECTION,
}
