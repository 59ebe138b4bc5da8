"""What a process of ours takes: its memory, and its connections to the ledger's database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage

from ledger import instruments, telemetry

_STATM = Path("/proc/self/statm")


def observe_memory() -> None:
    """Have the process's memory read by whoever takes measurements."""
    instruments.observe(instruments.MEMORY, lambda: [(memory_bytes(), {})])


def memory_bytes() -> int:
    """What is resident now; where the system does not tell that, the most that ever was."""
    try:
        resident = int(_STATM.read_text().split()[1])
    except OSError:
        return getrusage(RUSAGE_SELF).ru_maxrss
    return resident * getpagesize()


def observe_sessions(pool: str, count: Callable[[], int]) -> None:
    """Have sessions read that nobody pools: each is used while it is open."""
    used = {telemetry.POOL_NAME: pool, telemetry.CONNECTION_STATE: "used"}
    instruments.observe(instruments.CONNECTIONS, lambda: [(count(), used)])


def observe_connections(
    pool: str, count: Callable[[], int], idle: Callable[[], int], most: int
) -> None:
    """Have the connections of a pool read by whoever takes measurements."""
    named = {telemetry.POOL_NAME: pool}

    def by_state() -> list[instruments.Value]:
        free = idle()
        return [
            (count() - free, {**named, telemetry.CONNECTION_STATE: "used"}),
            (free, {**named, telemetry.CONNECTION_STATE: "idle"}),
        ]

    instruments.observe(instruments.CONNECTIONS, by_state)
    instruments.observe(instruments.CONNECTIONS_MAX, lambda: [(most, named)])
