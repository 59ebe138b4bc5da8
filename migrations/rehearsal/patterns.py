"""Texts that match a regular expression, as far as it is of the plain kind; pure.

Understood are characters, classes, groups, alternatives, repetitions and anchors. What looks back
or ahead, or refers to a group, is not: then there are none. The server says whether they match.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from itertools import count
from typing import TypeAlias

_Part: TypeAlias = Callable[[Iterator[int]], str]
"""Makes a text; the numbers say which way it goes where there are several."""

_CLASSES = {
    "d": string.digits,
    "w": string.ascii_lowercase + string.digits,
    "s": " ",
    "D": "x",
    "W": "-",
    "S": "x",
}
_NAMED = {
    "alpha": string.ascii_lowercase,
    "digit": string.digits,
    "alnum": string.ascii_lowercase + string.digits,
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "space": " ",
    "punct": "-",
    "xdigit": string.hexdigits[:16],
}
_ANY = string.ascii_lowercase + string.digits + string.ascii_uppercase + "-_. "
_COUNTS = re.compile(r"\{(\d{1,3})(,?)(\d{0,3})\}")
_MORE = 3
"""Repetitions beyond the least, where there may be any number."""


class _NotPlain(Exception):
    """A pattern of which nothing is made."""


def matching(pattern: str, most: int) -> list[str]:
    """At most so many different texts; none for what is not understood."""
    try:
        made = _Pattern(pattern).whole()
    except (_NotPlain, IndexError, ValueError, RecursionError):
        return []
    return list(dict.fromkeys(made(_turns(seed)) for seed in range(most)))


def _turns(seed: int) -> Iterator[int]:
    """Numbers that differ from seed to seed."""
    return (seed * 31 + seed // (at + 1) + at * at for at in count())


class _Pattern:
    """A pattern that is read from the left to the right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> _Part:
        """All of it. Raises `_NotPlain`."""
        made = self._choice()
        if self._at < len(self._text):
            raise _NotPlain
        return made

    def _choice(self) -> _Part:
        ways = [self._sequence()]
        while self._is_at("|"):
            ways.append(self._sequence())
        return lambda turn: ways[next(turn) % len(ways)](turn)

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._one()))
        return lambda turn: "".join(part(turn) for part in parts)

    def _repeated(self, part: _Part) -> _Part:
        least, most = 1, 1
        for sign, bounds in (("*", (0, _MORE)), ("+", (1, 1 + _MORE)), ("?", (0, 1))):
            if self._is_at(sign):
                least, most = bounds
                break
        else:
            if (found := _COUNTS.match(self._text, self._at)) is not None:
                self._at = found.end()
                least = int(found[1])
                most = int(found[3]) if found[3] else least + (_MORE if found[2] else 0)
        self._is_at("?")
        span = max(most - least, 0) + 1
        return lambda turn: "".join(part(turn) for _ in range(least + next(turn) % span))

    def _one(self) -> _Part:
        sign = self._text[self._at]
        self._at += 1
        match sign:
            case "^" | "$":
                return lambda turn: ""
            case ".":
                return _chosen(_ANY[:36])
            case "(":
                if self._is_at("?") and not self._is_at(":"):
                    raise _NotPlain
                inner = self._choice()
                if not self._is_at(")"):
                    raise _NotPlain
                return inner
            case "[":
                return _chosen(self._class())
            case "\\":
                return self._escaped()
            case "*" | "+" | "?" | "{":
                raise _NotPlain
            case _:
                return lambda turn: sign

    def _escaped(self) -> _Part:
        sign = self._text[self._at]
        self._at += 1
        if sign in _CLASSES:
            return _chosen(_CLASSES[sign])
        if sign in "AZmMyY":
            return lambda turn: ""
        if sign.isalnum():
            raise _NotPlain
        return lambda turn: sign

    def _class(self) -> str:
        others = self._is_at("^")
        held: list[str] = []
        while not (self._text[self._at] == "]" and held):
            if self._text.startswith("[:", self._at):
                end = self._text.index(":]", self._at)
                held.append(_NAMED.get(self._text[self._at + 2 : end], "x"))
                self._at = end + 2
                continue
            first = self._character()
            if self._text[self._at] == "-" and self._text[self._at + 1] != "]":
                self._at += 1
                last = self._character()
                held.append("".join(map(chr, range(ord(first[0]), ord(last[0]) + 1))))
            else:
                held.append(first)
        self._at += 1
        signs = "".join(held)
        return "".join(one for one in _ANY if one not in signs) if others else signs

    def _character(self) -> str:
        sign = self._text[self._at]
        self._at += 1
        if sign != "\\":
            return sign
        sign = self._text[self._at]
        self._at += 1
        return _CLASSES.get(sign, sign)

    def _is_at(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True


def _chosen(signs: str) -> _Part:
    if not signs:
        raise _NotPlain
    return lambda turn: signs[next(turn) % len(signs)]
