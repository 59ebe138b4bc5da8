"""Which traces are exported: decided when an order has ended, for then it is known how it went.

    spans of one order ─▶ held by its agent ─ end of the order ─┬─ failed, slow, canary: all of them
                                                                └─ else: as many as the ratio says

What is decided when a trace begins cannot keep failures. The ratio is decided by the trace's id, as
`traceidratio` is everywhere, so leader, agents and a collector come to the same answer. Transport
and the leader's own loops are decided span by span; what people ask for is always exported.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

logger = logging.getLogger(__name__)

SLOW_S: Final = 10.0
"""An attempt that takes as long is always exported; most migrations take milliseconds."""
HELD_MOST: Final = 2_000
"""Spans of one order that are held; of more, those in the middle are let go of."""
WHOLE: Final = frozenset({"always_on", "parentbased_always_on"})
NOTHING: Final = frozenset({"always_off", "parentbased_always_off"})
BY_RATIO: Final = frozenset({"traceidratio", "parentbased_traceidratio"})
_IDS: Final = 2**64
"""`traceidratio` looks at the lower half of a trace's id."""
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many of the traces are exported that nothing speaks for, and what is slow, in seconds."""

    ratio: float = 1.0
    slow_s: float = SLOW_S

    def has_luck(self, trace_id: int) -> bool:
        """Whether the trace is one of the ratio's."""
        return trace_id % _IDS < round(self.ratio * _IDS)

    def keeps(self, trace_id: int, seconds: float, *, wanted: bool) -> bool:
        """Whether a trace is exported that took so long; `wanted` if it failed, or is a canary."""
        return wanted or seconds >= self.slow_s or self.has_luck(trace_id)


class Exporting(Protocol):
    """Who hands spans on; `ledger.exporters` has the one that does."""

    @property
    def sampling(self) -> Sampling:
        """By what it decides."""

    def hand_on(self, span: ReadableSpan) -> None:
        """Export it."""


@dataclass(slots=True)
class Hold:
    """The spans of one order, at its agent, until it ends; `wanted` if it failed or is a canary."""

    wanted: bool = False
    ended: list[ReadableSpan] = field(default_factory=list)
    """In the order in which they ended."""
    _by: Exporting | None = None

    def take(self, span: ReadableSpan, by: Exporting) -> None:
        """One of them has ended. It goes on at once where everything does."""
        self.ended.append(span)
        if len(self.ended) > HELD_MOST:
            del self.ended[HELD_MOST // 2]
        if by.sampling.ratio >= 1:
            by.hand_on(span)
        else:
            self._by = by

    def settle(self) -> None:
        """The order has ended: export what was held, or let go of it."""
        by, self._by = self._by, None
        if by is None:
            return
        whole = self.ended[-1]
        wanted = self.wanted or any(map(has_failed, self.ended))
        if by.sampling.keeps(whole.context.trace_id, seconds_of(whole), wanted=wanted):
            for span in self.ended:
                by.hand_on(span)


_HOLD: ContextVar[Hold | None] = ContextVar("hold", default=None)
_sampling = Sampling()


def hold() -> Hold | None:
    """What holds the spans that end here, if something does."""
    return _HOLD.get()


@contextmanager
def held() -> Iterator[Hold]:
    """Hold the spans that end inside the block, and in tasks that begin there, until its end."""
    one = Hold()
    token = _HOLD.set(one)
    try:
        yield one
    finally:
        _HOLD.reset(token)
        one.settle()


def sampling() -> Sampling:
    """What this process was told last."""
    return _sampling


def use(chosen: Sampling) -> None:
    """Have this process sample so."""
    global _sampling
    _sampling = chosen


def call_slow(slow_s: float) -> None:
    """Take an attempt of so many seconds for a slow one from now on."""
    use(replace(_sampling, slow_s=slow_s))


def sampling_of(environ: Mapping[str, str]) -> Sampling | None:
    """What `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say; `None` for no traces at all.

    A ratio is that of traces which nothing speaks for. What is not understood is told, and
    everything is exported.
    """
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if name in NOTHING:
        return None
    if not name or name in WHOLE:
        return Sampling()
    if name not in BY_RATIO:
        logger.warning(
            "OTEL_TRACES_SAMPLER=%s is not offered here, so every trace is exported; write "
            "traceidratio with a number between 0 and 1 in OTEL_TRACES_SAMPLER_ARG",
            name,
        )
        return Sampling()
    told = environ.get("OTEL_TRACES_SAMPLER_ARG", "1").strip()
    try:
        ratio = float(told)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        logger.warning(
            "OTEL_TRACES_SAMPLER_ARG=%s is no number between 0 and 1, so every trace is exported",
            told,
        )
        return Sampling()
    return Sampling(ratio)


def has_failed(span: ReadableSpan) -> bool:
    """Whether it is marked with an error."""
    return not span.status.is_ok and not span.status.is_unset


def seconds_of(span: ReadableSpan) -> float:
    """How long it took."""
    return ((span.end_time or 0) - (span.start_time or 0)) / _NANOSECONDS
