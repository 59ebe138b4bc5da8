"""What an instrument is, and how it is made with whatever takes measurements in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Observation, UpDownCounter

from ledger import telemetry


class Kind(StrEnum):
    """The instruments of OpenTelemetry that are used here, as its documents call them."""

    COUNTER = "counter"
    UP_DOWN_COUNTER = "up-down counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"
    OBSERVED_COUNTER = "observed counter"
    OBSERVED_UP_DOWN_COUNTER = "observed up-down counter"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What one measurement is called and says; `buckets` are upper bounds in its unit."""

    name: str
    kind: Kind
    unit: str
    measures: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


Value: TypeAlias = tuple[float, Mapping[str, str]]
"""A number, and the attributes that tell it from others of the same instrument."""


def counter(one: Instrument) -> Counter:
    """What counts as it happens."""
    return _meter().create_counter(one.name, unit=one.unit, description=one.measures)


def up_down_counter(one: Instrument) -> UpDownCounter:
    """What counts up and down as it happens."""
    return _meter().create_up_down_counter(one.name, unit=one.unit, description=one.measures)


def histogram(one: Instrument) -> Histogram:
    """What sorts into its buckets."""
    return _meter().create_histogram(
        one.name,
        unit=one.unit,
        description=one.measures,
        explicit_bucket_boundaries_advisory=one.buckets,
    )


def observe(one: Instrument, read: Callable[[], Iterable[Value]]) -> None:
    """Have `read` called whenever somebody takes measurements."""

    def observed(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, attributes) for value, attributes in read()]

    meter = _meter()
    creators: dict[Kind, Callable[..., Any]] = {
        Kind.OBSERVED_COUNTER: meter.create_observable_counter,
        Kind.OBSERVED_UP_DOWN_COUNTER: meter.create_observable_up_down_counter,
    }
    create = creators.get(one.kind, meter.create_observable_gauge)
    create(one.name, callbacks=[observed], unit=one.unit, description=one.measures)


def _meter() -> metrics.Meter:
    return telemetry.meter()
