"""Traces and metrics: the one registry of names, and trace context on its way.

The context of `ledger rollout start` travels in the events' metadata, from there in the headers of
commands, through the agent to each SQL statement, and back in the reports' metadata. Conventions:
OpenTelemetry semantic conventions 1.44, messaging and CI/CD; names of our own start with
`migration_ledger.`. Those of one migration are in `migrations.running.telemetry`: that package
knows nothing of the ledger. What is left out on purpose stands in decision 0012, where spans go to
in `ledger.exporters`. Without a provider the API's own no-op spans still carry a context from
elsewhere.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final
from uuid import UUID

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Setter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from ledger.contracts.envelope import Metadata

Carrier = tuple[tuple[str, bytes], ...]

SCOPE: Final = "migration-ledger"
"""Name of our instrumentation scope."""
SERVICE: Final = "migration-ledger"
AGENT_SERVICE: Final = "migration-ledger-agent"
"""What `ledger` and its agents are called among services."""

OWN: Final = ("agents", "ledger", "migrations")
"""Whose loggers `--debug` opens."""
DRIVERS: Final = ("aiokafka", "asyncio", "asyncpg", "opentelemetry", "urllib3", "uvicorn")
"""What they log of an outage, for each request and with a traceback, we say once, in a sentence.
What they log at DEBUG holds passwords: aiokafka writes the bytes of a login."""


def set_log_levels(own: int) -> None:
    """`own` for our packages alone; no library logs below WARNING, whatever is asked for."""
    for name in OWN:
        logging.getLogger(name).setLevel(own)
    libraries = {name.partition(".")[0] for name in logging.root.manager.loggerDict} - {*OWN}
    for name in libraries:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in DRIVERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


# --- names ---------------------------------------------------------------------------------------

PLAN_SPAN: Final = "plan"
"""A plan is drawn; INTERNAL, below the command that asked for it."""
ROLLOUT_SPAN: Final = "rollout"
"""From its start to its end, INTERNAL, below the request; made by the leader that hears the end."""
WAVE_SPAN: Final = "wave"
"""One wave of a rollout, INTERNAL, below it; made when it is completed."""
ORDER_SPAN: Final = "order database"
"""From an order to its answer, INTERNAL, a root, linked to the request and to the rollout."""
PUBLISH_SPAN: Final = "publish"
"""The leader puts a batch of commands on the bus; INTERNAL, linked to their orders."""
INTAKE_SPAN: Final = "intake"
"""The leader appends reports of one partition; INTERNAL, linked to what the reports carry."""
PROJECTION_SPAN: Final = "projection"
"""The read models are brought to the end of the log; INTERNAL."""
WAIT_SPAN: Final = "{cause} wait"
"""`lock`, `retry`, `connection` or `throttle`: why a command did not go on; INTERNAL."""
WATCHDOG_SPAN: Final = "watchdog"
"""INTERNAL; from the beginning of a wait until what stood in the way was cancelled for it, or the
statement that waited was given up, which is a failure."""
POLL_SPAN: Final = "poll {topic}"
"""CLIENT; one per poll that delivered something, linked to what the messages carry."""
COMMIT_SPAN: Final = "commit {topic}"
"""CLIENT; one per commit of positions."""
SEND_SPAN: Final = "send {topic}"
"""PRODUCER; one per call and topic, linked to the messages' own contexts."""
PROCESS_SPAN: Final = "process {topic}"
"""CONSUMER, INTERNAL without a broker; one per command, child of and linked to its order."""

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_PARTITION: Final = "messaging.destination.partition.id"
MESSAGING_GROUP: Final = "messaging.consumer.group.name"
MESSAGING_CLIENT: Final = "messaging.client.id"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_CONVERSATION: Final = "messaging.message.conversation_id"
MESSAGING_BATCH: Final = "messaging.batch.message_count"
KAFKA_OFFSET: Final = "messaging.kafka.offset"
KAFKA_KEY: Final = "messaging.kafka.message.key"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
PIPELINE: Final = "cicd.pipeline.name"
"""`rollout` or `check`: what sort of work a database's turn belongs to."""
PIPELINE_RESULT: Final = "cicd.pipeline.result"
PIPELINE_STATE: Final = "cicd.pipeline.run.state"
PIPELINE_RUN: Final = "cicd.pipeline.run.id"
TASK_NAME: Final = "cicd.pipeline.task.name"
TASK_RUN: Final = "cicd.pipeline.task.run.id"
TASK_RESULT: Final = "cicd.pipeline.task.run.result"
DATABASE: Final = "migration_ledger.database"
POOL: Final = "migration_ledger.pool"
ROLLOUT_ID: Final = "migration_ledger.rollout.id"
ATTEMPT: Final = "migration_ledger.attempt"
"""Which attempt of its rollout on its database an order is, from 1."""
WAVE: Final = "migration_ledger.wave"
"""Which wave, from 1."""
WAITED_FOR: Final = "migration_ledger.lock"
"""The lock that was waited for, by its mode and the object's name; never who held it."""
WAIT_CAUSE: Final = "migration_ledger.wait.cause"
"""What kind of wait it was: `lock`, `retry`, `connection` or `throttle`."""
POSITION: Final = "migration_ledger.position"
"""The place in the log that the read models show."""
TARGET: Final = "migration_ledger.target"
STATE: Final = "migration_ledger.state"
"""How far a rollout is, or a database in it, or in the fleet; what an agent does there."""
VERSIONS_BEHIND: Final = "migration_ledger.versions_behind"
"""`0`, `1`, `2`, `3-5`, `6-10`, or `11+`."""

POOL_NAME: Final = "db.client.connection.pool.name"
CONNECTION_STATE: Final = "db.client.connection.state"
DB_SYSTEM: Final = "db.system.name"

ROLLOUT: Final = "rollout"
CHECK: Final = "check"

SENT_MESSAGES: Final = "messaging.client.sent.messages"
CONSUMED_MESSAGES: Final = "messaging.client.consumed.messages"
OPERATION_DURATION: Final = "messaging.client.operation.duration"
PROCESS_DURATION: Final = "messaging.process.duration"
RUN_DURATION: Final = "cicd.pipeline.run.duration"
RUNS_ACTIVE: Final = "cicd.pipeline.run.active"
RUN_ERRORS: Final = "cicd.pipeline.run.errors"
ATTEMPT_DURATION: Final = "migration_ledger.attempt.duration"
"""Seconds that one attempt on one database took, by its result."""

QUERY_BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
MESSAGING_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5, 10)
ATTEMPT_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 7200.0)
"""A migration takes milliseconds or hours; the conventions' buckets for queries end at 10 s."""

RUN_BUCKETS: Final = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14_400.0, 86_400.0, 604_800.0)
"""A rollout takes seconds on a few databases, and days on a fleet."""

CONTEXTS: Final = 4_096
"""Remembered at most: as many as there are orders under way, or nearly."""
FIELD_MOST: Final = 512
"""Characters of a trace's state, by its specification; its parent has 55."""
LINKS: Final = 128
"""Most links of one span: the SDK's own default limit."""
TRACE_STATE: Final = "migration-ledger"
"""Our key in the trace state of an order's trace."""
CANARY: Final = "canary"
"""What stands there when it belongs to the first wave of several."""
GIVEN_IDS: ContextVar[tuple[int, int] | None] = ContextVar("given_ids", default=None)
"""Trace and span id that the next span gets, where they follow from the log (`made_before`)."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PROPAGATOR = TraceContextTextMapPropagator()
_NOWHERE = Context()
_FIELDS = ("traceparent", "tracestate")


def traced() -> bool:
    """Whether spans go anywhere."""
    return _is_sdk(trace.get_tracer_provider())


def measured() -> bool:
    """Whether measurements go anywhere."""
    return _is_sdk(metrics.get_meter_provider())


def _is_sdk(provider: object) -> bool:
    """Whether somebody has set a provider; the API's own defaults live in its own package."""
    module = type(provider).__module__
    return not module.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


# --- context on its way --------------------------------------------------------------------------


class _HeaderSetter(Setter[dict[str, bytes]]):
    """Replaces: a message that is sent again must not carry two contexts."""

    def set(self, carrier: dict[str, bytes], key: str, value: str) -> None:
        carrier[key] = value.encode()


_SETTER = _HeaderSetter()


def current_context(context: Context | None = None) -> tuple[str | None, str | None]:
    """`traceparent` and `tracestate` of `context` (or the current one); `None` without a trace."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context)
    return carrier.get("traceparent"), carrier.get("tracestate")


def inject(headers: Carrier, context: Context | None = None) -> Carrier:
    """`headers` with the trace of `context`, in place of one that they may have carried."""
    carrier: dict[str, bytes] = {}
    _PROPAGATOR.inject(carrier, context, _SETTER)
    kept = tuple((name, value) for name, value in headers if name not in carrier)
    return kept + tuple(carrier.items())


def extract(headers: Carrier) -> Context:
    """The context that the sender of these headers was in; an empty one without a trace.

    Of a name that comes several times the last counts, as for `Received.header`.
    """
    found = {name: value for name, value in headers if name in _FIELDS}
    said = {name: value.decode("latin-1") for name, value in found.items()}
    return _read(said.get("traceparent", ""), said.get("tracestate", ""))


def context_of(metadata: Metadata) -> Context:
    """The context in which an event was recorded; an empty one without a trace."""
    return _read(metadata.traceparent or "", metadata.tracestate or "")


def _read(traceparent: str, tracestate: str) -> Context:
    """What is longer than any that may be counts as not said: strangers' bytes are remembered."""
    if not 0 < len(traceparent) <= FIELD_MOST:
        return _NOWHERE
    return _context(traceparent, tracestate if len(tracestate) <= FIELD_MOST else "")


@lru_cache(maxsize=CONTEXTS)
def _context(traceparent: str, tracestate: str) -> Context:
    """Remembered: all that is said of an order carries the same, and nothing changes a context."""
    pairs = (("traceparent", traceparent), ("tracestate", tracestate))
    return _PROPAGATOR.extract({name: value for name, value in pairs if value}, Context())


def links_to(contexts: Sequence[Context]) -> list[Link]:
    """One link per context that has a span, each span once."""
    spans = {}
    for context in contexts:
        span = trace.get_current_span(context).get_span_context()
        if span.is_valid:
            spans[span.span_id] = span
    return [Link(span) for span in spans.values()]


def tracer() -> trace.Tracer:
    """Where our spans come from."""
    return trace.get_tracer(SCOPE)


def meter() -> metrics.Meter:
    """Where our instruments come from."""
    return metrics.get_meter(SCOPE)


@contextmanager
def command_span(command: str) -> Iterator[Span]:
    """INTERNAL span of one command of the CLI, named as it was typed: `ledger rollout start`.

    Of what a command raises the span has the type alone: the text may hold what others may not see.
    """
    with (
        tracer().start_as_current_span(
            command, kind=SpanKind.INTERNAL, record_exception=False, set_status_on_exception=False
        ) as span,
        marking(span),
    ):
        yield span


def order_context(origin: Metadata, command: UUID, *, canary: bool) -> Context:
    """The context of one order: that of a trace of its own, which follows from its command's id.

    One trace per database task, because a rollout over a large fleet would make a trace that no
    collector holds. Its span is made when the order is answered. A `canary` says so in its trace
    state, so that all who have a part in it keep the trace. Without a provider there is no span,
    and the origin's context goes on.
    """
    if not traced():
        return context_of(origin)
    digest = hashlib.sha256(f"order/{command}".encode()).digest()
    span = SpanContext(
        int.from_bytes(digest[:16], "big"),
        int.from_bytes(digest[16:24], "big"),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState([(TRACE_STATE, CANARY)]) if canary else TraceState(),
    )
    return trace.set_span_in_context(NonRecordingSpan(span), Context())


def is_canary(context: Context | None = None) -> bool:
    """Whether the trace of `context`, or the current one, is that of an order of a first wave."""
    state = trace.get_current_span(context).get_span_context().trace_state
    return state.get(TRACE_STATE) == CANARY


@contextmanager
def span_of(
    name: str,
    attributes: Mapping[str, str | int] | None = None,
    origins: Iterable[Context] = (),
) -> Iterator[Span]:
    """An INTERNAL span of ours, linked to `origins`; of what it raises it has the type alone.

    Without a provider there is none, which costs less than one of the API's own.
    """
    if not traced():
        yield trace.INVALID_SPAN
        return
    with (
        tracer().start_as_current_span(
            name,
            kind=SpanKind.INTERNAL,
            links=links_to(list(islice(origins, LINKS))),
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        marking(span),
    ):
        yield span


def nanoseconds(moment: datetime) -> int:
    """As spans have times: since 1970. To the microsecond, as the log has them."""
    return (moment - _BEGINNING) // _MICROSECOND * 1_000


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Make `context` the current one for a while."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def marking(span: Span) -> Iterator[None]:
    """Mark `span` with the type of what is raised inside."""
    try:
        yield
    except Exception as error:
        failed(span, type(error).__name__)
        raise


def failed(span: Span, error_type: str) -> None:
    """Mark `span` as failed; successful spans are marked with nothing."""
    span.set_status(Status(StatusCode.ERROR))
    span.set_attribute(ERROR_TYPE, error_type)
