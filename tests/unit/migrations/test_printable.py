"""One function between data and terminal: nothing that moves a cursor gets through."""

from __future__ import annotations

import io
import json
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.log_lines import PrintableFormatter
from migrations.model.attempt import Failure, FailureClass
from migrations.printable import escaped, escaped_json, is_safe

PAINTED = "\x1b]0;OWNED\x07\x1b[2J\r\nall 3 applied\x9b31m\u202eabc\u2066\u200f\u2028"


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("\n", r"\n"),
        ("\r", r"\r"),
        ("\t", r"\t"),
        ("\x00", r"\x00"),
        ("\x1b", r"\x1b"),
        ("\x7f", r"\x7f"),
        ("\x85", r"\x85"),
        ("\x9b", r"\x9b"),
        ("\u061c", r"\u061c"),
        ("\u200e", r"\u200e"),
        ("\u2029", r"\u2029"),
        ("\u202a", r"\u202a"),
        ("\u2069", r"\u2069"),
        ("\u00ad", r"\xad"),
        ("\u200b", r"\u200b"),
        ("\u3164", r"\u3164"),
        ("\ufeff", r"\ufeff"),
        ("\udc9b", r"\udc9b"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_moves_a_cursor_or_turns_text_is_spelled_out(character: str, shown: str) -> None:
    assert escaped(f"a{character}b") == f"a{shown}b"


@pytest.mark.parametrize(
    "text", ["plain", "Zoë Çelik", "東京", "é́", "👩‍👩‍👧", "שלום", "می‌خواهم", "a\\nb"]
)
def test_what_people_write_stays(text: str) -> None:
    assert escaped(text) == text
    assert is_safe(text)


@given(st.text())
def test_no_text_keeps_a_control_or_a_direction(text: str) -> None:
    shown = escaped(text)

    assert not any(unicodedata.category(one) in ("Cc", "Zl", "Zp", "Cs") for one in shown)
    assert not any(
        unicodedata.bidirectional(one) in ("LRE", "RLE", "LRO", "RLO", "PDF")
        or unicodedata.bidirectional(one) in ("LRI", "RLI", "FSI", "PDI")
        for one in shown
    )
    assert is_safe(shown)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_means_what_it_meant(text: str) -> None:
    document = escaped_json(json.dumps({text: [text]}, ensure_ascii=False))

    assert json.loads(document) == {text: [text]}
    assert is_safe(document)


def test_lines_of_our_own_stay_and_others_do_not() -> None:
    assert escaped("a\nb\r\tc", lines=True) == r"a" + "\n" + r"b\r\tc"
    assert is_safe("a\n\tb", lines=True)
    assert not is_safe("a\x1b", lines=True)


def test_a_failure_is_one_line_whatever_the_server_said() -> None:
    failure = Failure(FailureClass.SQL, PAINTED, blocker=f"pid 1 ({PAINTED})")

    assert is_safe(failure.message)
    assert failure.blocker is not None
    assert is_safe(failure.blocker)


def test_a_log_has_one_line_for_a_message_and_its_own_for_a_traceback() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("tests.printable")
    logger.addHandler(handler)
    logger.propagate = False

    logger.warning("the database said %s", PAINTED)
    try:
        raise ValueError(PAINTED)
    except ValueError:
        logger.exception("failed")

    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("WARNING the database said \\x1b]0;OWNED")
    assert lines[1] == "ERROR failed"
    assert all(is_safe(line) for line in lines)
