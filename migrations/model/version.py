"""Versions in file names: what they may look like and how they are ordered.

    20260102030405_add_email.sql        14 digits, the form that `create` writes
    0001-init.sql, 1_init.sql           any number
    1.2.3_init.sql, v2_init.sql         numbers with dots or dashes, an optional v before them
    2026-01-31_init.sql                 a date
    2026-01-02-030405_init, 2014_10_12_000000_init, 2026-1-2-030405_init
                                        a date with its time, the same as the 14 digits

Versions are compared number by number, so 2 comes before 10 and `1`, `01` and `1.0` are the same.
A date with its time counts as one number, so that it has its place among those written without
dashes; a date alone comes before every time of its day. What stands behind a date or a time tells
versions apart, also when it is zero: `2026-01-02-030405-0000` comes after `2026-01-02-030405`.
Where a whole name is the version (`8_a`), the name behind the number is compared letter by letter.
"""

from __future__ import annotations

import re

_VERSION = r"[vV]?[0-9]+(?:[.-][0-9]+)*"
_UNDERSCORED = re.compile(rf"({_VERSION})(?:_(.+))?", re.DOTALL)
_DASHED = re.compile(r"([vV]?[0-9]+)-(.+)", re.DOTALL)
_DATED = re.compile(
    r"(?P<date>[0-9]{4}[-_][0-9]{2}[-_][0-9]{2}"
    r"|(?:19|20)[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}(?=-[0-9]{6}(?![0-9])))"
    r"(?:[T_-](?P<time>[0-9]{6})(?![0-9]))?(?![0-9])"
)
_NAMED = re.compile(r"(?P<numbers>[vV]?[0-9][0-9._-]*)(?P<name>.*)", re.DOTALL)
_NUMBER = re.compile(r"[0-9]+")
_MOMENT_DIGITS = 14
_MIDNIGHT = "000000"
_BEFORE_A_NAME = -1

VERSION_MOST = 500
"""Characters of a version: as many as an event may name."""
NAME_REMEDY = "Name it like 20260102030405_add_email.sql: a version, an underscore, a description"


def version_and_name(stem: str) -> tuple[str, str] | None:
    """Split a file name without its suffix; `None` when it carries no version."""
    found = _UNDERSCORED.fullmatch(stem) or _DASHED.fullmatch(stem)
    return (found.group(1), found.group(2) or "") if found else None


def version_key(version: str) -> tuple[int, ...]:
    """What versions are ordered by; equal keys are the same version."""
    if dated := _DATED.match(version):
        return (_moment(dated), *_behind(version[dated.end() :]))
    named = _NAMED.fullmatch(version)
    if named is None:
        return tuple(_numbers(version))
    numbers = _numbers(named["numbers"])
    while len(numbers) > 1 and numbers[-1] == 0 and numbers[0] < 10 ** (_MOMENT_DIGITS - 1):
        numbers.pop()
    return (*numbers, *_letters(named["name"]))


def _moment(dated: re.Match[str]) -> int:
    """A date and its time as one number; a date alone comes just before its midnight."""
    date = "".join(number.zfill(2) for number in _NUMBER.findall(dated["date"]))
    return int(date + dated["time"]) if dated["time"] else int(date + _MIDNIGHT) - 1


def _behind(rest: str) -> tuple[int, ...]:
    """What tells versions of one moment apart."""
    name = rest.lstrip("0123456789._-")
    return (*_numbers(rest[: len(rest) - len(name)]), *_letters(name))


def _letters(name: str) -> tuple[int, ...]:
    """A name as numbers, behind one that no number is."""
    return (_BEFORE_A_NAME, *map(ord, name)) if name else ()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(text)]
