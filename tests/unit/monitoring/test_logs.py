"""Lines of the log: for people or machines, what they are about, and none said over and over."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ledger.monitoring.logs import KEPT, PAUSE_S, Repetition, logged_about, write_logs
from ledger.settings import LogForm

LOGGER = logging.getLogger("of.a.test")
LAYOUT = "%(levelname)s %(message)s"


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Return what reads what was written to stderr; handlers are put back as they were."""
    kept, level = logging.root.handlers[:], logging.root.level
    # Another test in this process may have closed what is not ours (`set_log_levels`).
    logging.getLogger(LOGGER.name.partition(".")[0]).setLevel(logging.NOTSET)
    yield lambda: capsys.readouterr().err
    logging.root.handlers[:] = kept
    logging.root.setLevel(level)


def objects(written: Callable[[], str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in written().splitlines()]


def test_a_line_for_machines_says_what_it_is_about_and_its_trace(
    written: Callable[[], str],
) -> None:
    write_logs(LogForm.JSON, logging.INFO, LAYOUT)
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
    with (
        trace.use_span(span, end_on_exit=True),
        logged_about(rollout="r1", database="acme", attempt="2"),
    ):
        LOGGER.warning("it took %d s", 5)
    LOGGER.info("and then nothing")
    first, second = objects(written)
    context = span.get_span_context()
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warning",
        "logger": "of.a.test",
        "message": "it took 5 s",
        "rollout": "r1",
        "database": "acme",
        "attempt": "2",
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
    assert second.keys() == {"time", "level", "logger", "message"}


@pytest.mark.parametrize("form", LogForm)
def test_nothing_in_a_line_begins_another(written: Callable[[], str], form: LogForm) -> None:
    write_logs(form, logging.INFO, LAYOUT)
    with logged_about(database='a\n{"level": "error"}'):
        LOGGER.warning("a\nERROR forged \x1b[2J \u202e")
    (only,) = written().splitlines()
    assert only.isascii()
    assert only.isprintable()
    assert form is LogForm.TEXT or json.loads(only)["level"] == "warning"


def test_a_traceback_is_part_of_its_object(written: Callable[[], str]) -> None:
    write_logs(LogForm.JSON, logging.INFO, LAYOUT)
    try:
        raise RuntimeError("why")
    except RuntimeError:
        LOGGER.exception("it broke")
    (only,) = objects(written)
    assert only["traceback"].endswith("RuntimeError: why")


def test_a_line_is_about_known_names_alone() -> None:
    with pytest.raises(ValueError, match="no line is about password"), logged_about(password="p"):
        pass


def record(message: str, *arguments: object, at: float) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.WARNING, "f.py", 1, message, arguments, None)
    made.created = at
    return made


def test_what_comes_again_is_counted_and_said_once_with_the_count() -> None:
    repetition = Repetition()
    said = []
    for second in range(1000):
        one = record("the broker has not answered for %d s", second, at=float(second))
        if repetition.filter(one):
            said.append(one.getMessage())
    assert len(said) == 17, f"each {PAUSE_S:.0f} s once"
    assert said[0] == "the broker has not answered for 0 s"
    assert said[1] == "the broker has not answered for 60 s (said 59 times more in the last 60 s)"


def test_lines_about_different_things_are_all_said() -> None:
    repetition = Repetition()
    for name in ("acme", "bolt", "crane"):
        assert repetition.filter(record("a defect stopped the work on %s", name, at=1.0))


def test_lines_that_differ_each_time_take_no_memory_without_end() -> None:
    repetition = Repetition()
    for number in range(3 * KEPT):
        repetition.filter(record("x" * (number % 40) + chr(200 + number), at=1.0))
    assert len(repetition._known) <= KEPT
