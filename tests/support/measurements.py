"""Takes the measurements of one test, without touching the provider of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    DataPointT,
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)

from ledger import instruments, meters
from ledger.instruments import Instrument, Kind

Attributes = tuple[str, ...]
"""The values of an instrument's attributes in its order; empty where one has none of a name."""


class Measurements:
    """What was measured since the test began."""

    def __init__(self, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reader = reader
        self._monkeypatch = monkeypatch

    def of(self, module: ModuleType, **names: Instrument) -> None:
        """Have instruments that a module made when it was imported measure here."""
        for name, one in names.items():
            make = {
                Kind.COUNTER: instruments.counter,
                Kind.UP_DOWN_COUNTER: instruments.up_down_counter,
                Kind.HISTOGRAM: instruments.histogram,
            }[one.kind]
            self._monkeypatch.setattr(module, name, make(one))

    def values(self, one: Instrument) -> dict[Attributes, float]:
        """The numbers of what counts or is read."""
        return {
            _told(point, one): point.value
            for point in self._points(one)
            if isinstance(point, NumberDataPoint)
        }

    def durations(self, one: Instrument) -> dict[Attributes, tuple[int, float]]:
        """How often a histogram was told something, and how much in all; its buckets are ours."""
        found = {}
        for point in self._points(one):
            assert isinstance(point, HistogramDataPoint)
            assert tuple(point.explicit_bounds) == one.buckets
            found[_told(point, one)] = point.count, point.sum
        return found

    def _points(self, one: Instrument) -> Iterator[DataPointT]:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == one.name:
                        yield from metric.data.data_points


@contextmanager
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Measurements]:
    """Measure until the block ends."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    meter = provider.get_meter("test")
    monkeypatch.setattr(meters, "_meter", lambda: meter)
    yield Measurements(reader, monkeypatch)
    provider.shutdown()


def _told(point: DataPointT, one: Instrument) -> Attributes:
    told = dict(point.attributes or {})
    values = tuple(str(told.pop(name, "")) for name in one.attributes)
    assert told == {}, f"{one.name} does not say that it is told apart by these"
    return values
