"""The way to a tracing collector, which costs nobody time when it is away.

An exporter that finds nobody tries again for seconds, in whatever waits for it. So a program asks
first, beside its own work, whether anybody listens there; where nobody does, what is left at the
end is dropped. That it is lost is said once, in one line.

    begin ──▶ knocks beside the work ──▶ end ──knocks again──▶ there: hands over, for a while
                                                └─ nobody, or no answer yet: says so, drops it
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

logger = logging.getLogger(__name__)

KNOCK_S = 0.25
"""For a connection at the end: a collector that is there takes one at once."""
EARLY_S = 5.0
HAND_OVER_S = 2.0
"""For the last spans of a process, to a collector that has taken a connection."""
PORTS = {"https": 443, "http": 80}


class Collector:
    """Whoever listens at `endpoint`; `signal` is what goes there: traces, or metrics."""

    def __init__(self, endpoint: str, signal: str) -> None:
        self._signal = signal
        self._place = _place_of(endpoint)
        self._met = False
        self._told = False
        self._early = Thread(target=self._meet, name="collector-knock", daemon=True)
        self._early.start()

    def took(self, taken: bool) -> None:
        """Take note of whether it took something; the first time that it did not is told."""
        if taken:
            self._met, self._told = True, False
        else:
            self._tell()

    def hand_over(self, rest: Callable[[], object]) -> None:
        """Call `rest`, which sends what is left, if somebody is there to take it."""
        if self._is_there() and within(HAND_OVER_S, rest):
            return
        self._tell()

    def _meet(self) -> None:
        self._met = self._knocks(EARLY_S)

    def _is_there(self) -> bool:
        self._early.join(KNOCK_S)
        return self._met and within(KNOCK_S, lambda: self._knocks(KNOCK_S) or _never())

    def _knocks(self, timeout_s: float) -> bool:
        """Whether somebody takes a connection."""
        with suppress(OSError), socket.create_connection(self._place, timeout_s):
            return True
        return False

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            host, port = self._place
            logger.warning(
                "%s are lost: the collector at %s:%d does not take them; start it, or unset "
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                self._signal,
                host,
                port,
            )


def within(seconds: float, call: Callable[[], object]) -> bool:
    """Whether `call` ended well in so many seconds; it is not waited for any longer."""
    done: list[bool] = []

    def run() -> None:
        with suppress(Exception):
            call()
            done.append(True)

    thread = Thread(target=run, name="collector-hand-over", daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(done)


def _never() -> bool:
    raise ConnectionError


def _place_of(endpoint: str) -> tuple[str, int]:
    """Host and port that a connection to `endpoint` goes to: those of a proxy, if it takes one."""
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}", scheme="http")
    host, scheme = parts.hostname or "localhost", parts.scheme
    proxy = getproxies().get(scheme)
    if proxy and not proxy_bypass(host):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
        host, scheme = parts.hostname or host, parts.scheme
    with suppress(ValueError):
        return host, parts.port or PORTS.get(scheme, 80)
    return host, PORTS.get(scheme, 80)
