"""Clocks that are wrong: one for a test, and programs on a host that has one.

A program's is wrong by as many seconds as `WRONG_CLOCK_S` says.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from migrations import clock
from migrations.clock import SystemClock

VARIABLE = "WRONG_CLOCK_S"


@dataclass
class Watch(SystemClock):
    """A clock that is wrong by so much; what is measured by it is right."""

    wrong: timedelta = timedelta()

    def now(self) -> datetime:
        """Now, and wrong."""
        return super().now() + self.wrong


class WrongTime(datetime):
    """The time as that host has it."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """Now, and wrong."""
        return datetime.now(tz) + timedelta(seconds=float(os.environ[VARIABLE]))


def agent() -> None:
    """Run `ledger-agent`."""
    from agents import cli

    setattr(clock, "datetime", WrongTime)  # noqa: B010
    cli.main()


def ledger() -> None:
    """Run `ledger`."""
    from ledger.cli.app import start

    setattr(clock, "datetime", WrongTime)  # noqa: B010
    start.main()
