"""Traces and metrics: the set-up, the one registry of names, and trace context on its way.

The context of `ledger rollout start` travels in the events' metadata, from there in the headers of
commands, through the agent to each SQL statement, and back in the reports' metadata. Conventions:
OpenTelemetry semantic conventions 1.44, messaging and CI/CD; names of our own start with
`migration_ledger.`. Those of one migration are in `migrations.running.telemetry`: that package
knows nothing of the ledger. What is left out on purpose stands in decision 0012. Without a provider
the API's own no-op spans still carry a context from elsewhere.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from ledger.collector import Collector
    from ledger.contracts.envelope import Metadata

logger = logging.getLogger(__name__)

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

ORDER_SPAN: Final = "order database"
"""The conductor orders; INTERNAL, a root, linked to the request that made it order."""
ROLLOUT_SPAN: Final = "rollout"
"""From its start to its end, INTERNAL; by `ledger traces emit` alone: no process lives so long."""
WAVE_SPAN: Final = "wave"
"""One wave of it; as above."""
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

_PROPAGATOR = TraceContextTextMapPropagator()
_ENDPOINTS = {
    "TRACES": ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    "METRICS": ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
}
EXPORTERS = ("otlp", "none")
"""What `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` may say."""


def configure(
    service: str, version: str, environ: Mapping[str, str] = os.environ
) -> Callable[[], None]:
    """Export over OTLP/HTTP when an endpoint variable is set; returns what to call at the end.

    A provider that is set already is left alone. `OTEL_SDK_DISABLED=true` and
    `OTEL_TRACES_EXPORTER=none` (or `METRICS`) are respected; the exporters read all other
    `OTEL_*` variables themselves. The SDK is imported only when it is needed. A collector that is
    away costs no time, and is told once (`ledger.collector`).
    """
    wanted = {signal: _wanted(signal, environ) for signal in ("TRACES", "METRICS")}
    if _is_sdk(trace.get_tracer_provider()):
        wanted.pop("TRACES")
    if _is_sdk(metrics.get_meter_provider()):
        wanted.pop("METRICS")
    closers: list[Callable[[], None]] = []
    collectors: dict[str, Collector] = {}
    for signal, endpoint in wanted.items():
        if endpoint and endpoint not in collectors:
            from ledger.collector import Collector

            same = [name.lower() for name, other in wanted.items() if other == endpoint]
            collectors[endpoint] = Collector(endpoint, " and ".join(same))
        if endpoint:
            export = _export_traces if signal == "TRACES" else _export_metrics
            closers.append(export(service, version, collectors[endpoint]))

    def close() -> None:
        for closer in closers:
            closer()

    return close


def _wanted(signal: str, environ: Mapping[str, str]) -> str:
    """Where this signal goes to; empty when it goes nowhere."""
    endpoint = next(filter(None, (environ.get(name, "") for name in _ENDPOINTS[signal])), "")
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not endpoint:
        return ""
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower()
    if exporter not in EXPORTERS:
        logger.warning(
            "OTEL_%s_EXPORTER=%s is not offered here, so nothing is exported; write otlp or none",
            signal,
            exporter,
        )
    return endpoint if exporter == "otlp" else ""


def span_exporter(environ: Mapping[str, str] = os.environ) -> SpanExporter | None:
    """What sends spans to where the variables say; `None` where they name no collector."""
    if not _wanted("TRACES", environ):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


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


def _export_traces(service: str, version: str, collector: Collector) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    class Exporter(OTLPSpanExporter):
        """Tells the collector whether it took what it was given."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            collector.took(result is SpanExportResult.SUCCESS)
            return result

    resource = Resource.create({"service.name": service, "service.version": version})
    # What is left at the end is handed over below, or not at all.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Exporter()))
    trace.set_tracer_provider(provider)
    return lambda: collector.hand_over(provider.shutdown)


def _export_metrics(service: str, version: str, collector: Collector) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import (
        MetricExportResult,
        MetricsData,
        PeriodicExportingMetricReader,
    )
    from opentelemetry.sdk.resources import Resource

    class Exporter(OTLPMetricExporter):
        """Tells the collector whether it took what it was given."""

        def export(
            self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: Any
        ) -> MetricExportResult:
            result = super().export(metrics_data, timeout_millis, **more)
            collector.took(result is MetricExportResult.SUCCESS)
            return result

    resource = Resource.create({"service.name": service, "service.version": version})
    reader = PeriodicExportingMetricReader(Exporter())
    provider = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return lambda: collector.hand_over(provider.shutdown)


# --- context on its way --------------------------------------------------------------------------


class _HeaderSetter(Setter[dict[str, bytes]]):
    """Replaces: a message that is sent again must not carry two contexts."""

    def set(self, carrier: dict[str, bytes], key: str, value: str) -> None:
        carrier[key] = value.encode()


class _HeaderGetter(Getter[Carrier]):
    """Takes the last header of a name, as `Received.header` does."""

    def get(self, carrier: Carrier, key: str) -> list[str] | None:
        found = [value for name, value in carrier if name == key]
        return [found[-1].decode("latin-1")] if found else None

    def keys(self, carrier: Carrier) -> list[str]:
        return [name for name, _ in carrier]


_SETTER = _HeaderSetter()
_GETTER = _HeaderGetter()


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
    """The context that the sender of these headers was in; an empty one without a trace."""
    return _PROPAGATOR.extract(headers, Context(), _GETTER)


def context_of(metadata: Metadata) -> Context:
    """The context in which an event was recorded; an empty one without a trace."""
    pairs = (("traceparent", metadata.traceparent), ("tracestate", metadata.tracestate))
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


@contextmanager
def order_span(origin: Metadata, rollout: str, database: str) -> Iterator[None]:
    """The span of one order: a trace of its own, linked to what `origin` recorded.

    One trace per database task, because a rollout over a large fleet would make a trace that no
    collector holds. Without a provider there is no span, and the origin's context goes on.
    """
    context = context_of(origin)
    if not traced():
        with attached(context):
            yield
        return
    attributes = {PIPELINE: ROLLOUT, PIPELINE_RUN: rollout, DATABASE: database}
    with tracer().start_as_current_span(
        ORDER_SPAN,
        context=Context(),
        kind=SpanKind.INTERNAL,
        links=links_to([context]),
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ):
        yield


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
