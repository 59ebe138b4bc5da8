"""Maintenance windows: when they are open, and how they are written. Pure.

mon-fri 22:00-06:00 Europe/Berlin
sat,sun 00:00-24:00 UTC for tier=gold
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from migrations.model.preflight import LabelledWindow

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
FORM = "write `mon-fri 22:00-06:00 Europe/Berlin`, and behind it `for LABEL=VALUE` if wanted"
_WRITTEN = re.compile(
    r"(?P<days>[a-z,-]+)\s+(?P<opens>\d\d:\d\d)-(?P<closes>\d\d:\d\d)\s+(?P<zone>[\w/+-]+)"
    r"(?:\s+for\s+(?P<label>[^\s=]+)=(?P<value>\S+))?",
    re.IGNORECASE,
)


def window_of(written: str) -> LabelledWindow:
    """The window that a person wrote. Raises ValueError with the form."""
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        raise ValueError(f"{ascii(written)[1:-1]!r} is no window; {FORM}")
    opens, closes = _minutes(found["opens"]), _minutes(found["closes"])
    if opens in (closes, DAY_MIN):
        raise ValueError(f"{written!r} is never open; {FORM}")
    zone_of(found["zone"])
    return LabelledWindow(
        days=_days(found["days"].lower()),
        opens=opens,
        closes=closes,
        zone=found["zone"],
        label=found["label"] or "",
        value=found["value"] or "",
    )


def window_text(window: LabelledWindow) -> str:
    """A window as a person writes it."""
    days = ",".join(DAYS[day] for day in window.days)
    label = f" for {window.label}={window.value}" if window.label else ""
    return f"{days} {_clock(window.opens)}-{_clock(window.closes)} {window.zone}{label}"


def windows_for(
    windows: Iterable[LabelledWindow], labels: Mapping[str, str]
) -> tuple[LabelledWindow, ...]:
    """The windows of a database: those of its labels, or else those for all."""
    windows = tuple(windows)
    own = tuple(one for one in windows if one.label and labels.get(one.label) == one.value)
    return own or tuple(one for one in windows if not one.label)


def minutes_until_open(windows: Iterable[LabelledWindow], now: datetime) -> float | None:
    """How long until one is open, 0 if one is; `None` without any. Raises ValueError.

    A time that a change of the clocks leaves out opens when the clocks have changed.
    """
    waits = [wait for one in windows for wait in _waits(one, now)]
    return min(waits, default=None)


def zone_of(name: str) -> ZoneInfo:
    """A time zone. Raises ValueError where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{ascii(name)[1:-1]!r} is no time zone that this machine knows; write one such as "
            "Europe/Berlin, or UTC"
        ) from None


def _waits(window: LabelledWindow, now: datetime) -> Iterable[float]:
    zone = zone_of(window.zone)
    today = now.astimezone(zone).date()
    ends = window.closes + (DAY_MIN if window.closes < window.opens else 0)
    for offset in range(-1, 8):
        day = today + timedelta(days=offset)
        if day.weekday() not in window.days:
            continue
        # By the clock on the wall: what is added to a time of a zone stays in it.
        midnight = datetime.combine(day, time(), zone)
        opens, closes = (
            (midnight + timedelta(minutes=at)).astimezone(UTC) for at in (window.opens, ends)
        )
        if now < closes:
            yield max((opens - now).total_seconds() / 60, 0.0)


def _days(written: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in written.split(","):
        first, _, last = part.partition("-")
        last = last or first
        if first not in DAYS or last not in DAYS:
            raise ValueError(f"{ascii(part)[1:-1]!r} is no weekday; write mon, tue … sun; {FORM}")
        start, end = DAYS.index(first), DAYS.index(last)
        found.update(day % 7 for day in range(start, end + (7 if end < start else 0) + 1))
    return tuple(sorted(found))


def _minutes(written: str) -> int:
    hours, minutes = map(int, written.split(":"))
    if hours * 60 + minutes > DAY_MIN or minutes > 59:
        raise ValueError(f"{written!r} is no time of day; {FORM}")
    return hours * 60 + minutes


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
