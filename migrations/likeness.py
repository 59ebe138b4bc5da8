"""Which known word was probably meant by one that nobody knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

LIKE: Final = 0.5
"""How alike two words must be for one to be offered in place of the other, of 1."""


def nearest(word: str, known: Iterable[str], like: float = LIKE) -> str | None:
    """The one of these that is most like a word, whatever its case; `None` where none is."""
    by_fold = {one.casefold(): one for one in known}
    found = get_close_matches(word.casefold(), by_fold, n=1, cutoff=like)
    return by_fold[found[0]] if found else None
