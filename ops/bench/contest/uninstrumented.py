"""Our programs without all that traces or measures, to see what that costs where it is off.

    python -m ops.bench.contest.uninstrumented ledger serve

What is taken out is replaced before any other module of ours is loaded, by what does nothing at
all; nothing but that differs from the programs as they are.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from ledger import exporters, meters, sampling, telemetry
from ledger.bus import tracing
from ledger.contracts.messages import Message
from migrations.running import telemetry as parts


class Nothing(AbstractContextManager[Any]):
    """Stands where a span or a measurement was; yields what it was made with."""

    def __init__(self, *told: object, yields: object = INVALID_SPAN, **more: object) -> None:
        self._yields = yields

    def __enter__(self) -> Any:
        return self._yields

    def __exit__(self, *error: object) -> None:
        """Nothing ends here."""


class Instrument:
    """Takes every measurement and keeps none."""

    def add(self, *told: object) -> None:
        """Forget it."""

    def record(self, *told: object) -> None:
        """Forget it."""


@asynccontextmanager
async def sending(messages: Sequence[Message], *told: object) -> AsyncIterator[Sequence[Message]]:
    """Send them as they are."""
    yield messages


def finish(span: Span, outcome: object) -> None:
    """Say nothing of how a migration ended."""


def strip() -> None:
    """Take it out."""
    put: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (parts, "step_span", Nothing),
        (parts, "statement_span", Nothing),
        (parts, "part_span", Nothing),
        (parts, "batch_span", Nothing),
        (parts, "finish_step", finish),
        (telemetry, "span_of", Nothing),
        (telemetry, "command_span", Nothing),
        (telemetry, "attached", Nothing),
        (telemetry, "traced", lambda: False),
        (telemetry, "measured", lambda: False),
        (tracing, "sending", sending),
        (tracing, "receiving", lambda *told: Nothing(yields=[])),
        (tracing, "settling", Nothing),
        (sampling, "held", lambda: Nothing(yields=sampling.Hold())),
        (exporters, "configure", lambda *told: Instrument().add),
        (meters, "counter", lambda one: Instrument()),
        (meters, "up_down_counter", lambda one: Instrument()),
        (meters, "histogram", lambda one: Instrument()),
        (meters, "observe", lambda one, read: None),
    )
    for module, name, instead in put:
        if not hasattr(module, name):
            raise SystemExit(f"{module.__name__} has no {name} any more; correct this list")
        setattr(module, name, instead)


def main() -> None:
    """Run the program that the first argument names, without what was taken out."""
    strip()
    program, sys.argv = sys.argv[1], sys.argv[1:]
    if program == "ledger-agent":
        from agents.cli import main as run
    else:
        from ledger.cli.app.start import main as run
    run()


if __name__ == "__main__":
    main()
