"""Which known word was probably meant by one that nobody knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import takewhile
from operator import eq
from typing import Final

LIKE: Final = 0.5
"""How alike two words must be for one to be offered in place of the other, of 1."""


def nearest(word: str, known: Iterable[str], like: float = LIKE) -> str | None:
    """The one of these that is most like a word, whatever its case; `None` where none is.

    Of several that are as much like it, the one that begins most alike, and of those the first by
    name: of `t00` and `t001` the end is missing.
    """
    text = word.casefold()
    matcher = SequenceMatcher(b=text)
    best: tuple[float, int] = (like, -1)
    found: str | None = None
    for one in sorted(known):
        folded = one.casefold()
        matcher.set_seq1(folded)
        # Two bounds, the cheap one first: a fleet has many names.
        if matcher.real_quick_ratio() < best[0] or matcher.quick_ratio() < best[0]:
            continue
        alike = sum(takewhile(bool, map(eq, folded, text)))
        if (likeness := (matcher.ratio(), alike)) > best:
            best, found = likeness, one
    return found
