"""Finds the dialect of a folder, by name or by the marks in its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrations.errors import DialectError
from migrations.formats import Dialect
from migrations.model.migration import SourceFile

Read = Callable[[Sequence[str]], list[SourceFile]]
"""Files by their names."""


def choose(
    dialects: Sequence[Dialect],
    name: str | None,
    names: Sequence[str],
    read: Read,
    place: str,
    *,
    beside: Dialect | None = None,
) -> Dialect:
    """The dialect called `name`, or the one whose marks the files called `names` bear.

    Without any mark the first dialect is taken: its own errors say what to write. Files of `beside`
    may stand among those of another dialect. `place` is the folder that errors name.
    Raises DialectError for an unknown name or mixed files.
    """
    if name is not None:
        return by_name(dialects, name, place)
    found = [dialect for dialect in dialects if dialect.detect(read(dialect.claims(names)))]
    if len(found) > 1 and beside in found:
        found.remove(beside)
    if len(found) > 1:
        mixed = ", ".join(dialect.name for dialect in found)
        raise DialectError(
            place,
            None,
            f"files of several dialects are mixed ({mixed})",
            "Keep one dialect per folder, or name the dialect to read",
        )
    return found[0] if found else dialects[0]


def by_name(dialects: Sequence[Dialect], name: str, place: str) -> Dialect:
    """The dialect called `name`. Raises DialectError."""
    for dialect in dialects:
        if dialect.name == name:
            return dialect
    known = ", ".join(dialect.name for dialect in dialects)
    raise DialectError(place, None, f"unknown dialect {name!r}", f"Known dialects: {known}")
