"""When Python searches for cycles among objects: ours make many objects and next to no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 50_000
"""New objects until the collector looks at them: some megabytes, and most are gone by then."""


def settle_memory() -> None:
    """What is loaded by now stays for good: the collector need not walk through it again and again.

    For programs that have started. Seen in a leader: 90 ms for each full walk, in which nothing
    else runs, and one every few hundred databases.
    """
    gc.enable()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


@contextmanager
def without_collector() -> Iterator[None]:
    """Nothing that is made inside is part of a cycle; looking for cycles only costs time.

    Seen: half of the time of folding a log, a twentieth of loading a large folder.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
