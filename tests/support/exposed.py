"""What Prometheus would read of everything that is measured."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from ledger import instruments, telemetry
from ledger.instruments import Instrument, Kind


@cache
def exposed() -> dict[str, set[str]]:
    """Names and labels of everything in the registry, as Prometheus reads them."""
    registry = CollectorRegistry()
    provider = MeterProvider(
        metric_readers=[PrometheusMetricReader(registry=registry, scope_info_enabled=False)],
        shutdown_on_exit=False,
    )
    meter = provider.get_meter(telemetry.SCOPE)
    for one in instruments.EVERY:
        measure(meter, one)
    found: dict[str, set[str]] = {}
    for line in generate_latest(registry).decode().splitlines():
        if not line.startswith("#"):
            name, _, labels = line.partition("{")
            found.setdefault(name.split(" ")[0], set()).update(re.findall(r'(\w+)="', labels))
    provider.shutdown()
    return found


def measure(meter: Any, one: Instrument) -> None:
    told = dict.fromkeys(one.attributes, "x")
    match one.kind:
        case Kind.COUNTER:
            meter.create_counter(one.name, unit=one.unit).add(1, told)
        case Kind.UP_DOWN_COUNTER | Kind.OBSERVED_UP_DOWN_COUNTER:
            meter.create_up_down_counter(one.name, unit=one.unit).add(1, told)
        case Kind.HISTOGRAM:
            meter.create_histogram(one.name, unit=one.unit).record(1, told)
        case Kind.GAUGE:
            meter.create_gauge(one.name, unit=one.unit).set(1, told)
        case Kind.OBSERVED_COUNTER:
            meter.create_counter(one.name, unit=one.unit).add(1, told)
