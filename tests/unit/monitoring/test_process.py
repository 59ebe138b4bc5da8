"""What a process says of itself."""

from __future__ import annotations

import pytest

from ledger import instruments, telemetry
from ledger.instruments import Instrument, Value
from ledger.monitoring import process
from ledger.monitoring.process import (
    memory_bytes,
    observe_connections,
    observe_memory,
    observe_sessions,
)
from tests.support.measurements import measured


def test_memory_and_sessions_are_read_whenever_somebody_measures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "memory_bytes", lambda: 4096)
    with measured(monkeypatch) as measurements:
        observe_memory()
        observe_sessions("fleet", lambda: 3)
        assert measurements.values(instruments.MEMORY) == {(): 4096}
        assert measurements.values(instruments.CONNECTIONS) == {("fleet", "used"): 3}


def test_memory_is_what_is_held_now() -> None:
    before = memory_bytes()
    held = bytearray(64 * 1024 * 1024)
    # Each page is written to: what nobody has touched is not resident.
    held[::4096] = b"x" * len(held[::4096])
    assert memory_bytes() - before > 48 * 1024 * 1024
    del held


def test_connections_are_told_used_and_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[Instrument, object] = {}
    monkeypatch.setattr(instruments, "observe", kept.__setitem__)
    observe_connections("ledger", lambda: 5, lambda: 2, 10)

    def now(one: Instrument) -> list[Value]:
        read = kept[one]
        assert callable(read)
        return list(read())

    named = {telemetry.POOL_NAME: "ledger"}
    assert now(instruments.CONNECTIONS) == [
        (3, {**named, telemetry.CONNECTION_STATE: "used"}),
        (2, {**named, telemetry.CONNECTION_STATE: "idle"}),
    ]
    assert now(instruments.CONNECTIONS_MAX) == [(10, named)]
