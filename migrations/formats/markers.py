"""The marker lines of the `-- +migrate` format: finding them, reading their options.

    -- +migrate Up [notransaction] [lock_timeout=2s] [statement_timeout=5min] [role=name]
    -- +migrate Down   (same options)
    -- +migrate Verify (same options without notransaction)
    -- +migrate Data, Gate, Validate: `migrations.formats.data`
    -- +migrate Baseline through=VERSION: `migrations.formats.baseline_marker`
    -- +migrate StatementBegin
    -- +migrate StatementEnd

A marker stands at the start of its line and is written exactly so, in this case. sql-migrate takes
a line that is almost a marker as a comment, and runs what follows in the wrong section; here it is
an error. Times need a unit (`ms`, `s`, `min`, `h`, `d`); `0` switches a timeout off, and the
server takes 24 days at most. A role is taken letter by letter, without quotes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from migrations.errors import MarkerError
from migrations.model.migration import TIMEOUT_MAX_S, Options
from migrations.sql.written_names import words_in

SECTIONS = ("Up", "Down", "Verify", "Data", "Gate", "Validate", "Baseline")
COMMANDS = (*SECTIONS, "StatementBegin", "StatementEnd")
_OPTIONS = ("notransaction", "lock_timeout", "statement_timeout", "role")
_EXACT = "-- +migrate "
_LIKE_MARKER = re.compile(r"--[^\S\n]*\+[^\S\n]*migrate([^\n]*)", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?)(ms|s|min|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class SectionMarker:
    """One marker; `start` and `end` are character offsets of its line, line end included."""

    command: str
    arguments: tuple[str, ...]
    line: int
    start: int
    end: int


def markers(text: str, file: str) -> Iterator[SectionMarker]:
    """The markers of a file in order. Raises MarkerError for what only looks like one."""
    line, at = 1, 0
    for match in _LIKE_MARKER.finditer(text):
        start = max(text.rfind("\n", at, match.start()) + 1, at)
        line += text.count("\n", at, start)
        at = start
        before = text[start : match.start()]
        if before.strip() and not _swallows_section(before, match):
            continue
        words = _checked(before, match, file, line)
        end = min(match.end() + 1, len(text))
        yield SectionMarker(words[0], tuple(words[1:]), line, start, end)


def options_of(marker: SectionMarker, file: str) -> Options:
    """What the marker's options say. Raises MarkerError for an unknown, repeated or wrong one."""
    given: dict[str, str] = {}
    for argument in marker.arguments:
        key, equals, value = argument.partition("=")
        _check_key(key, file, marker.line)
        if key in given:
            raise MarkerError(file, marker.line, f"option {key} twice", "Write it once")
        if (key == "notransaction") == bool(equals) or (equals and not value):
            raise _wrong_value(key, file, marker.line)
        given[key] = value
    if "notransaction" in given and marker.command == "Verify":
        raise MarkerError(
            file,
            marker.line,
            "Verify cannot be notransaction",
            "Leave it out: Verify only reads",
        )
    return Options(
        transaction="notransaction" not in given,
        lock_timeout_s=_seconds("lock_timeout", given, file, marker.line),
        statement_timeout_s=_seconds("statement_timeout", given, file, marker.line),
        role=given.get("role"),
    )


def _swallows_section(before: str, match: re.Match[str]) -> bool:
    """Whether a marker stands behind SQL on the same line, where it would be a mere comment."""
    words = match.group(1).split()
    # For the server, a carriage return ends a comment too.
    commented = before.rpartition("\r")[2].lstrip().startswith("--")
    return not commented and bool(words) and words[0] in COMMANDS


def _checked(before: str, match: re.Match[str], file: str, line: int) -> list[str]:
    """The words of a marker. Raises MarkerError when it is not written as it must be."""
    words = words_in(match.group(1))
    exact = not before and match.group().startswith(_EXACT)
    if not words or words[0] not in COMMANDS or not exact:
        raise _badly_written(before, match, words[0] if words else "", file, line)
    if words[0] not in SECTIONS and len(words) > 1:
        raise MarkerError(file, line, f"{words[0]} takes no options", f"Write `{_EXACT}{words[0]}`")
    return words


def _badly_written(
    before: str, match: re.Match[str], word: str, file: str, line: int
) -> MarkerError:
    near = nearest(word, COMMANDS)
    if before.strip():
        problem = "a marker behind other text on the same line"
        return MarkerError(file, line, problem, f"Write `{_EXACT}{word}` on a line of its own")
    known = ", ".join(f"`{_EXACT}{command}`" for command in COMMANDS)
    wanted = f"`{_EXACT}{near}`" if near else f"one of {known}"
    problem = f"unknown marker `{match.group().strip()}`"
    return MarkerError(file, line, problem, f"Write {wanted}, at the start of the line")


def nearest(word: str, known: tuple[str, ...]) -> str | None:
    """The known word that was probably meant."""
    folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), folded, n=1)
    return folded[found[0]] if found else None


def _check_key(key: str, file: str, line: int) -> None:
    if key in _OPTIONS:
        return
    near = nearest(key, _OPTIONS)
    remedy = f"Did you mean {near}? " if near else ""
    raise MarkerError(
        file, line, f"unknown option {key}", f"{remedy}Known options: {', '.join(_OPTIONS)}"
    )


def seconds_of(value: str) -> float | None:
    """A time with its unit, in seconds; `None` for anything else."""
    if value == "0":
        return 0.0
    found = _DURATION.fullmatch(value)
    return float(found.group(1)) * _UNIT_S[found.group(2)] if found else None


def _seconds(key: str, given: dict[str, str], file: str, line: int) -> float | None:
    value = given.get(key)
    if value is None:
        return None
    seconds = seconds_of(value)
    if seconds is None or seconds > TIMEOUT_MAX_S:
        raise _wrong_value(key, file, line)
    return seconds


def _wrong_value(key: str, file: str, line: int) -> MarkerError:
    if key == "notransaction":
        return MarkerError(file, line, "notransaction takes no value", "Write `notransaction`")
    example = "role=name" if key == "role" else f"{key}=2s (units: ms, s, min, h, d; at most 24d)"
    return MarkerError(file, line, f"option {key} has no usable value", f"Write {example}")
