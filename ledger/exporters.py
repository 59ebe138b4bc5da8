"""Where spans and measurements go: to a collector over OTLP/HTTP, or as OTLP/JSON lines to a file.

The variables of OpenTelemetry are respected; without one nothing is set up, and the SDK is not even
loaded. The file is for demonstrations, CI and auditors: one line per export, each a whole
`ExportTraceServiceRequest`, which a collector's `otlpjsonfile` receiver reads. OpenTelemetry's own
exporter of that name writes to stdout, where our commands put their answers, and pins its siblings
to one version; the encoding is theirs here, too.
"""

from __future__ import annotations

import json
import logging
import os
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace

from ledger import sampling, telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from ledger.collector import Collector

logger = logging.getLogger(__name__)

_ENDPOINTS: Final = {
    "TRACES": ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    "METRICS": ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
}
JSON_FILE: Final = "otlp_json_file"
EXPORTERS: Final = {"TRACES": ("otlp", JSON_FILE, "none"), "METRICS": ("otlp", "none")}
"""What `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` may say."""
FILE_VARIABLE: Final = "OTEL_EXPORTER_OTLP_JSON_FILE_PATH"
FILE_DEFAULT: Final = "traces.jsonl"
"""In the folder that the program was started in."""
EXEMPLARS: Final = "OTEL_METRICS_EXEMPLAR_FILTER"
"""Where it is not set, measurements have no exemplars."""
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
"""OTLP/JSON writes them in hexadecimal, where Protobuf's JSON has base64."""


def configure(
    service: str, version: str, environ: Mapping[str, str] = os.environ
) -> Callable[[], None]:
    """Set up what the variables ask for; returns what to call at the end.

    A provider that is set already is left alone. `OTEL_SDK_DISABLED=true` and
    `OTEL_TRACES_EXPORTER=none` (or `METRICS`) are respected; the exporters read all other
    `OTEL_*` variables themselves. The SDK is imported only when it is needed. A collector that is
    away costs no time, and is told once (`ledger.collector`).
    """
    wanted = {signal: _wanted(signal, environ) for signal in ("TRACES", "METRICS")}
    chosen = sampling.sampling_of(environ) if wanted["TRACES"] else None
    if chosen is None or telemetry.traced():
        wanted.pop("TRACES")
    else:
        sampling.use(chosen)
    if telemetry.measured():
        wanted.pop("METRICS")
    closers: list[Callable[[], None]] = []
    if wanted.get("TRACES") == JSON_FILE:
        del wanted["TRACES"]
        closers.append(_write_traces(service, version, environ))
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


def span_exporter(environ: Mapping[str, str] = os.environ) -> SpanExporter | None:
    """What sends spans to where the variables say; `None` where they name no collector."""
    wanted = _wanted("TRACES", environ)
    if not wanted:
        return None
    if wanted == JSON_FILE:
        return file_exporter(_file_of(environ))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _wanted(signal: str, environ: Mapping[str, str]) -> str:
    """Where this signal goes to: an endpoint, or the word for a file; empty for nowhere."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ""
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() or "otlp"
    endpoint = next(filter(None, (environ.get(name, "") for name in _ENDPOINTS[signal])), "")
    if exporter not in EXPORTERS[signal]:
        if endpoint:
            logger.warning(
                "OTEL_%s_EXPORTER=%s is not offered here, so nothing is exported; write %s",
                signal,
                exporter,
                " or ".join(EXPORTERS[signal]),
            )
        return ""
    if exporter == JSON_FILE:
        return JSON_FILE
    return endpoint if exporter == "otlp" else ""


def resource_of(service: str, version: str) -> Resource:
    """Who traces and measures; what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say wins."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    own = Resource.create({"service.name": service, "service.version": version})
    return own.merge(OTELResourceDetector().detect())


def provider_of(
    service: str, version: str, exporter: SpanExporter, *, at_once: bool = False
) -> TracerProvider:
    """A provider that samples as this process does, and gives ids that follow from the log.

    Spans go in batches, or, with `at_once`, each as it is decided on.
    """
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

    from ledger.tail_sampler import GivenIds, TailSampler

    provider = TracerProvider(
        sampler=ParentBased(ALWAYS_ON),
        resource=resource_of(service, version),
        # What is left at the end is handed over by whoever asked for this, or not at all.
        shutdown_on_exit=False,
        id_generator=GivenIds(),
    )
    behind = SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter)
    provider.add_span_processor(TailSampler(behind))
    return provider


def file_exporter(path: Path) -> SpanExporter:
    """What appends spans to a file, as OTLP/JSON, one line per export."""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class JsonFileExporter(SpanExporter):
        """Says once that its file cannot be written."""

        told = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            request = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
            line = json.dumps(_with_hexadecimal_ids(request), separators=(",", ":"))
            try:
                # Whole lines at the end: programs may share the file.
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
            except OSError as error:
                self._tell(error)
                return SpanExportResult.FAILURE
            return SpanExportResult.SUCCESS

        def _tell(self, error: OSError) -> None:
            if not self.told:
                self.told = True
                logger.warning(
                    "traces are lost: %s cannot be written (%s); name another file in %s",
                    path,
                    error.strerror,
                    FILE_VARIABLE,
                )

    return JsonFileExporter()


def _file_of(environ: Mapping[str, str]) -> Path:
    return Path(environ.get(FILE_VARIABLE, "").strip() or FILE_DEFAULT)


def _with_hexadecimal_ids(message: Any) -> Any:
    if isinstance(message, list):
        return [_with_hexadecimal_ids(one) for one in message]
    if not isinstance(message, dict):
        return message
    return {
        name: b64decode(value).hex() if name in _IDS else _with_hexadecimal_ids(value)
        for name, value in message.items()
    }


def _write_traces(service: str, version: str, environ: Mapping[str, str]) -> Callable[[], None]:
    provider = provider_of(service, version, file_exporter(_file_of(environ)))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _export_traces(service: str, version: str, collector: Collector) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    class Exporter(OTLPSpanExporter):
        """Tells the collector whether it took what it was given."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            collector.took(result is SpanExportResult.SUCCESS)
            return result

    provider = provider_of(service, version, Exporter())
    trace.set_tracer_provider(provider)
    return lambda: collector.hand_over(provider.shutdown)


def _export_metrics(service: str, version: str, collector: Collector) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
    from opentelemetry.sdk.metrics.export import (
        MetricExportResult,
        MetricsData,
        PeriodicExportingMetricReader,
    )

    class Exporter(OTLPMetricExporter):
        """Tells the collector whether it took what it was given."""

        def export(
            self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **more: Any
        ) -> MetricExportResult:
            result = super().export(metrics_data, timeout_millis, **more)
            collector.took(result is MetricExportResult.SUCCESS)
            return result

    reader = PeriodicExportingMetricReader(Exporter())
    provider = MeterProvider(
        metric_readers=[reader],
        # Nobody asked for them, and each measurement would look for its span.
        exemplar_filter=None if EXEMPLARS in os.environ else AlwaysOffExemplarFilter(),
        resource=resource_of(service, version),
        shutdown_on_exit=False,
    )
    metrics.set_meter_provider(provider)
    return lambda: collector.hand_over(provider.shutdown)
