"""Lines of the logs of both programs: for people or for machines, and none twice in a row.

Nothing that stands in a line can begin another. What a line is about (rollout, database, attempt)
is said once, around the work, and stands in every line from there. Values of tenants are in none:
only these names, and texts that our own code wrote.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from opentelemetry import trace

from ledger.settings.sections import LogForm
from migrations.log_lines import PrintableFormatter
from migrations.printable import escaped

ABOUT: ContextVar[dict[str, str]] = ContextVar("log_about", default={})  # noqa: B039  # never changed
NAMES = ("rollout", "check", "database", "attempt", "command", "pool")
"""What a line may be about; everything else is left out."""
PAUSE_S = 60.0
"""For how long a line that was said is only counted when it comes again."""
KEPT = 1000
"""Different lines that are known at a time."""
_DIGITS = re.compile(r"\d+")


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, with the ids that lead to its trace and its rollout."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, in one line of ASCII."""
        at = datetime.fromtimestamp(record.created, UTC)
        said = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escaped(record.getMessage()),
            **getattr(record, "about", {}),
        }
        if record.exc_info:
            said["traceback"] = escaped(self.formatException(record.exc_info), lines=True)
        return json.dumps(said)


class LogContext(logging.Filter):
    """Adds to each record what it is about, and the trace that it is part of."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always lets it pass."""
        span = trace.get_current_span().get_span_context()
        about = dict(ABOUT.get())
        if span.is_valid:
            about["trace_id"] = trace.format_trace_id(span.trace_id)
            about["span_id"] = trace.format_span_id(span.span_id)
        record.about = about
        return True


class Repetition(logging.Filter):
    """Lets a line pass once, and again after a while with how often it came meanwhile.

    Two lines are the same that differ in numbers alone: a broker that is away is told in another
    number of seconds each time.
    """

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._known: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said now."""
        key = (record.name, record.levelno, _DIGITS.sub("0", record.getMessage()))
        now = record.created
        said_at, more = self._known.get(key, (-self._pause_s, 0))
        if now - said_at < self._pause_s:
            self._known[key] = (said_at, more + 1)
            return False
        self._known.pop(key, None)
        if len(self._known) >= KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[key] = (now, 0)
        if more:
            times = "once" if more == 1 else f"{more:,} times"
            since = f"{now - said_at:.0f} s"
            record.msg = f"{record.getMessage()} (said {times} more in the last {since})"
            record.args = ()
        return True


@contextmanager
def logged_about(**names: str) -> Iterator[None]:
    """Have lines from inside the block, and from tasks that begin there, say what they are about.

    Names are those of `NAMES`; raises `ValueError` for another.
    """
    if unknown := names.keys() - set(NAMES):
        raise ValueError(f"no line is about {', '.join(sorted(unknown))}")
    token = ABOUT.set(ABOUT.get() | names)
    try:
        yield
    finally:
        ABOUT.reset(token)


def write_logs(form: LogForm, level: int, layout: str) -> None:
    """Write lines to stderr from now on; `layout` is that of lines for people."""
    handler = logging.StreamHandler(sys.stderr)
    json_form = form is LogForm.JSON
    handler.setFormatter(JsonFormatter() if json_form else PrintableFormatter(layout))
    handler.addFilter(Repetition())
    handler.addFilter(LogContext())
    logging.basicConfig(level=level, handlers=[handler], force=True)
