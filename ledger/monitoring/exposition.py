"""Our measurements as text that Prometheus reads, from the same instruments as over OTLP."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from ledger.exporters import resource_of

Exposition = Callable[[str], tuple[bytes, str]]
"""What is measured now, and its media type, in a form that an Accept header asks for."""


def expose(service: str, version: str) -> Exposition:
    """Measure from now on, beside whatever exports already; returns what writes it down.

    Figures of the process itself (memory, processor time, open files) are among it.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    reader = PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    provider = metrics.get_meter_provider()
    if isinstance(provider, MeterProvider):
        provider.add_metric_reader(reader)
    else:
        resource = resource_of(service, version)
        metrics.set_meter_provider(
            MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
        )

    def write(accept: str) -> tuple[bytes, str]:
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError, IndexError):
            # Whoever asks for a version that is none gets the usual form.
            encode, media_type = choose_encoder("")
        return encode(registry), media_type

    return write
