"""Moments as people type them, for `--since` and `--until`: so long ago, or a date in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

import typer

from ledger.cli.app.help_page import WHICH_EVENTS
from ledger.errors import WrongArgument
from migrations.clock import SYSTEM_CLOCK
from migrations.model.clocks import moment_text
from migrations.printable import escaped

AGO = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|m|min|h|d|w)")
UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
WRITTEN = "write how long ago (90s, 30m, 2h, 3d, 1w) or a moment in UTC (2026-11-30, 14:05, "
"""Begins what is to be written instead."""

SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Only what was recorded since: 2h (ago), 3d, 14:05, 2026-11-30T14:05 (UTC).",
        rich_help_panel=WHICH_EVENTS,
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="WHEN",
        help="Only what was recorded before.",
        rich_help_panel=WHICH_EVENTS,
    ),
]


def moments_between(
    since: str | None, until: str | None, now: datetime | None = None
) -> tuple[datetime | None, datetime | None]:
    """The moments that --since and --until name. Raises `WrongArgument`, also where none is between
    them.
    """
    now = now or SYSTEM_CLOCK.now()
    first, last = moment_in("--since", since, now), moment_in("--until", until, now)
    if first is not None and last is not None and first >= last:
        raise WrongArgument(
            f"--since {escaped(since or '')!r} is not before --until {escaped(until or '')!r}, so "
            "nothing is between them; say the earlier one with --since"
        )
    return first, last


def moment_in(option: str, text: str | None, now: datetime | None = None) -> datetime | None:
    """The moment that an option names; one without a zone is in UTC.

    Raises `WrongArgument`, also for one that is still to come: nothing is recorded of it.
    """
    if text is None:
        return None
    now, said = now or SYSTEM_CLOCK.now(), text.strip().lower()
    try:
        found = _moment(said, now)
    except (ValueError, OverflowError):
        found = None
    shown = f"{option} {escaped(text)!r}"
    if found is None:
        raise WrongArgument(f"{shown} is no moment; {WRITTEN}2026-11-30T14:05+01:00)")
    if found > now:
        raise WrongArgument(
            f"{shown} is still to come, it is {moment_text(now)} now; "
            "write a moment that has passed, or leave it out"
        )
    return found


def is_moment(text: str) -> bool:
    """Whether --since would take this text, were it given there."""
    try:
        return moment_in("--since", text) is not None
    except WrongArgument:
        return False


def _moment(said: str, now: datetime) -> datetime | None:
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    if said in ("now", "today", "yesterday"):
        return {"now": now, "today": today, "yesterday": today - timedelta(days=1)}[said]
    if ago := AGO.fullmatch(said.removesuffix(" ago")):
        return now - timedelta(**{UNITS[ago[2]]: float(ago[1])})
    if CLOCK.fullmatch(said):
        at = time.fromisoformat(said.zfill(5) if said.count(":") == 1 else said.zfill(8))
        return datetime.combine(today.date(), at, UTC)
    found = datetime.fromisoformat(said.upper())
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
