"""Readiness knows what is not there, and since when."""

from __future__ import annotations

from datetime import timedelta

from ledger.monitoring.readiness import Readiness
from tests.support.manual_clock import ManualClock


def test_it_is_ready_when_everything_is_there() -> None:
    readiness = Readiness({"broker": str, "fleet": str}, ManualClock())
    assert readiness.ready
    assert readiness.document()["ready"]


def test_what_is_not_there_comes_first_with_why_and_since_when() -> None:
    clock, trouble = ManualClock(), [""]
    readiness = Readiness({"fleet": str, "broker": lambda: trouble[0]}, clock)
    clock.advance(10)
    trouble[0] = "it has not answered for 1 s"
    assert not readiness.ready
    lost_at = clock.now()
    clock.advance(5)
    trouble[0] = "it has not answered for 6 s"
    first, second = readiness.document()["conditions"]
    assert first == {
        "name": "broker",
        "ready": False,
        "why": "it has not answered for 6 s",
        "since": lost_at.isoformat(timespec="milliseconds"),
        "for_s": 5.0,
    }
    assert second["name"] == "fleet"
    assert second["for_s"] == 15.0


def test_what_comes_back_is_there_since_then() -> None:
    clock, trouble = ManualClock(), ["gone"]
    readiness = Readiness({"broker": lambda: trouble[0]}, clock)
    clock.advance(60)
    trouble[0] = ""
    assert readiness.ready
    clock.advance(2)
    (only,) = readiness.document()["conditions"]
    assert only["ready"]
    assert only["since"] == (clock.now() - timedelta(seconds=2)).isoformat(timespec="milliseconds")
