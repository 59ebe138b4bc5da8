"""Finds the format of a folder, by name or by the marks in its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrations.errors import FormatError
from migrations.formats import Format
from migrations.model.migration import SourceFile

_GOES_BEFORE = {"graphile-migrate": "plain"}
"""By a format, another one for which scripts beside its own files could be taken."""
Read = Callable[[Sequence[str]], list[SourceFile]]
"""Files by their names."""


def choose(
    formats: Sequence[Format],
    name: str | None,
    names: Sequence[str],
    read: Read,
    place: str,
    *,
    beside: Format | None = None,
) -> Format:
    """The format called `name`, or the one whose marks the files called `names` bear.

    Without any mark the first format is taken: its own errors say what to write. Files of `beside`
    may stand among those of another format. `place` is the folder that errors name.
    Raises FormatError for an unknown name or mixed files.
    """
    if name is not None:
        return by_name(formats, name, place)
    found = [format for format in formats if format.detect(read(format.claims(names)))]
    if len(found) > 1 and beside in found:
        found.remove(beside)
    aside = {_GOES_BEFORE.get(format.name) for format in found}
    found = [format for format in found if format.name not in aside]
    if len(found) > 1:
        mixed = ", ".join(format.name for format in found)
        raise FormatError(
            place,
            None,
            f"files of several formats are mixed ({mixed})",
            "Keep one format per folder, or name the format to read",
        )
    return found[0] if found else formats[0]


def by_name(formats: Sequence[Format], name: str, place: str) -> Format:
    """The format called `name`. Raises FormatError."""
    for format in formats:
        if format.name == name:
            return format
    known = ", ".join(format.name for format in formats)
    raise FormatError(place, None, f"unknown format {name!r}", f"Known formats: {known}")
