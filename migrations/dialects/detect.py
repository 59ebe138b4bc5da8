"""Finds the dialect of a set of files, by name or by the marks in them."""

from __future__ import annotations

from collections.abc import Sequence

from migrations.dialects import Dialect
from migrations.errors import DialectError
from migrations.migration import SourceFile


def choose(
    dialects: Sequence[Dialect], name: str | None, files: Sequence[SourceFile], place: str
) -> Dialect:
    """The dialect called `name`, or the one whose marks the files bear.

    Without any mark the first dialect is taken: its own errors say what to write. `place` is the
    folder or file that errors name. Raises DialectError for an unknown name or mixed files.
    """
    if name is not None:
        return _by_name(dialects, name, place)
    found = [dialect for dialect in dialects if dialect.detect(files)]
    if len(found) > 1:
        names = ", ".join(dialect.name for dialect in found)
        raise DialectError(
            place,
            None,
            f"files of several dialects are mixed ({names})",
            "Keep one dialect per folder, or name the dialect to read",
        )
    return found[0] if found else dialects[0]


def _by_name(dialects: Sequence[Dialect], name: str, place: str) -> Dialect:
    for dialect in dialects:
        if dialect.name == name:
            return dialect
    known = ", ".join(dialect.name for dialect in dialects)
    raise DialectError(place, None, f"unknown dialect {name!r}", f"Known dialects: {known}")
