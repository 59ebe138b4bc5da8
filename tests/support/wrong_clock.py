"""`ledger-agent` on a host whose clock is wrong, by as many seconds as `WRONG_CLOCK_S` says."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, tzinfo

VARIABLE = "WRONG_CLOCK_S"


class WrongTime(datetime):
    """The time as that host has it."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """Now, and wrong."""
        return datetime.now(tz) + timedelta(seconds=float(os.environ[VARIABLE]))


def main() -> None:
    """Run the program."""
    from agents import cli, runtime

    setattr(runtime, "datetime", WrongTime)  # noqa: B010
    cli.main()
