"""How far a data migration is: when it is worth a word, and the word."""

from __future__ import annotations

import re
from datetime import datetime

from migrations.model.work import BatchProgress

SAY_EVERY_S = 1.0
"""Nobody reads faster, and a migration that is done before needs no word."""
SAY_EVERY_UNKNOWN_S = 10.0
"""Without an estimate there are no hundredths to count by."""
COMMITTED = "{} rows in {} batches are committed"
"""What the entry of a failed data migration notes: how far it is, whatever came after."""
_COMMITTED = re.compile(COMMITTED.format(r"(\d+)", r"(\d+)"))
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


class ProgressThrottle:
    """Remembers when progress was said last: at most a hundred times per migration."""

    def __init__(self, since: datetime) -> None:
        self._last = since
        self._said = 0.0

    def due(self, progress: BatchProgress, now: datetime) -> bool:
        """Whether to say it now; it counts as said then."""
        done = progress.done
        passed = (now - self._last).total_seconds()
        far = passed >= SAY_EVERY_UNKNOWN_S if done is None else done - self._said >= 0.01
        if passed < SAY_EVERY_S or not far:
            return False
        self._last, self._said = now, done or 0.0
        return True


def committed_note(progress: BatchProgress | None) -> str:
    """What to note of how far a data migration was when it failed; nothing without a batch."""
    return COMMITTED.format(progress.rows, progress.batches) if progress is not None else ""


def committed_in(note: str) -> tuple[int, int]:
    """Rows and batches that such a note says are committed; none where it says nothing."""
    found = _COMMITTED.search(note)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def committed_text(rows: int, batches: int, total: int | None = None) -> str:
    """`1,200 of ~3,000 rows committed, in 4 batches`."""
    of = f" of ~{total:,}" if total else ""
    number = "1 batch" if batches == 1 else f"{batches:,} batches"
    return f"{rows:,}{of} rows committed, in {number}"


def progress_text(rows: int, total: int | None, left_s: float | None) -> str:
    """`41 % · 410,000 of ~1,000,000 · 2 min left`, as far as it is known."""
    if not total:
        return f"{rows:,} rows"
    parts = [f"{min(rows / total, 1.0):.0%}".replace("%", " %"), f"{rows:,} of ~{total:,}"]
    if left_s is not None:
        parts.append(f"{_rounded(left_s)} left")
    return " · ".join(parts)


def _rounded(seconds: float) -> str:
    for unit, length in (("d", _DAY_S), ("h", _HOUR_S), ("min", _MINUTE_S)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
