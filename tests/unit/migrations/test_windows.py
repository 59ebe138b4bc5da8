"""Maintenance windows: how they are written, whose they are, and when they open."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from migrations.model.windows import minutes_until_open, window_of, window_text, windows_for

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("written", "now", "minutes"),
    [
        ("mon-fri 22:00-06:00 UTC", datetime(2026, 11, 30, 21, 0, tzinfo=UTC), 60),
        ("mon-fri 22:00-06:00 UTC", datetime(2026, 11, 30, 23, 0, tzinfo=UTC), 0),
        ("mon-fri 22:00-06:00 UTC", datetime(2026, 12, 5, 5, 59, tzinfo=UTC), 0),
        ("mon-fri 22:00-06:00 UTC", datetime(2026, 12, 5, 6, 0, tzinfo=UTC), 64 * 60),
        ("sat,sun 00:00-24:00 UTC", datetime(2026, 12, 6, 23, 59, tzinfo=UTC), 0),
        ("sat,sun 00:00-24:00 UTC", datetime(2026, 12, 7, 0, 0, tzinfo=UTC), 5 * 24 * 60),
        ("sun-mon 10:00-11:00 UTC", datetime(2026, 12, 7, 10, 30, tzinfo=UTC), 0),
        ("mon 22:00-23:00 Europe/Berlin", datetime(2026, 11, 30, 21, 30, tzinfo=UTC), 0),
        # The clocks go forward at 02:00: the window by the wall is an hour shorter.
        ("sun 01:00-04:00 Europe/Berlin", datetime(2026, 3, 29, 0, 0, tzinfo=UTC), 0),
        ("sun 01:00-04:00 Europe/Berlin", datetime(2026, 3, 29, 2, 0, tzinfo=UTC), 9_900),
    ],
)
def test_a_window_opens_by_the_clock_on_the_wall(
    written: str, now: datetime, minutes: float
) -> None:
    assert minutes_until_open([window_of(written)], now) == minutes


def test_of_several_the_next_one_counts_and_without_any_nothing_is_waited_for() -> None:
    now = datetime(2026, 11, 30, 12, 0, tzinfo=BERLIN)
    several = [window_of("tue 00:00-01:00 UTC"), window_of("mon 13:00-14:00 Europe/Berlin")]
    assert minutes_until_open(several, now) == 60
    assert minutes_until_open([], now) is None


def test_a_database_has_the_windows_of_its_labels_or_else_those_for_all() -> None:
    all_of, gold = window_of("mon 00:00-01:00 UTC"), window_of("tue 00:00-01:00 UTC for tier=gold")
    assert windows_for([all_of, gold], {"tier": "gold"}) == (gold,)
    assert windows_for([all_of, gold], {"tier": "free"}) == (all_of,)
    assert windows_for([gold], {}) == ()


@pytest.mark.parametrize(
    "written",
    [
        "",
        "always",
        "mon 22:00 UTC",
        "mon 22:00-22:00 UTC",
        "mon 24:00-01:00 UTC",
        "mon 25:00-26:00 UTC",
        "mon 10:61-11:00 UTC",
        "day 10:00-11:00 UTC",
        "mon-xyz 10:00-11:00 UTC",
        "mon 10:00-11:00 Mars/North",
        "mon 10:00-11:00 ../../etc/passwd",
        "mon 10:00-11:00 UTC for tier",
    ],
)
def test_what_is_no_window_is_refused_with_the_form(written: str) -> None:
    with pytest.raises(ValueError, match=r"write|is no time zone"):
        window_of(written)


def test_a_window_is_shown_as_it_is_written() -> None:
    for written in ("mon,tue 22:00-06:00 Europe/Berlin", "sun 00:00-24:00 UTC for tier=gold"):
        assert window_text(window_of(written)) == written
