"""Lines that look as if a section of another tool's format began there.

    -- ==== UP ====   -- [down]   -- name: up   -- migrate down   /* up */   -- //@UNDO

In a plain file such a line is a mere comment, so that the SQL of both sections would run together.
Which words make one was collected from the tools and from folders in use: a comment that takes a
whole line and says up, down, undo, rollback or revert, whatever stands around it as decoration, or
one that another tool reads. What stands inside a literal or a longer comment is none.
"""

from __future__ import annotations

import re

from migrations.errors import MarkerError
from migrations.model.migration import SourceFile
from migrations.sql.grammar import enclosed

_WAY = r"(?:up|down|undo|rollback|revert)"
_SUBJECT = r"(?:migrat\w*|name)"
_DECORATION = r"[^\w\n]*"
_ALONE = re.compile(
    rf"^[ \t]*(?P<comment>--+|/\*){_DECORATION}"
    rf"(?:{_SUBJECT}\b{_DECORATION})?{_WAY}\b{_DECORATION}(?:{_SUBJECT}\b{_DECORATION})?$",
    re.IGNORECASE | re.MULTILINE,
)
_OF_A_TOOL = re.compile(
    r"^[ \t]*(?P<comment>--+)[ \t]*(?:"
    r"//[ \t]*@undo|@(?:up|down|undo)\b"
    r"|\+[ \t]*[a-z]+[ \t]+(?:up|down)\b|migrat\w*[ \t]*:[ \t]*(?:up|down)\b"
    r"|rambler[ \t]+(?:up|down)\b|liquibase[ \t]+formatted\b|changeset[ \t]+\S+:\S+"
    r"|create above / drop below\b)",
    re.IGNORECASE | re.MULTILINE,
)


def refuse_section_lines(file: SourceFile) -> None:
    """Raise MarkerError for the first line of a plain file that seems to begin a section."""
    text = file.content.decode(errors="replace")
    found = [*_ALONE.finditer(text), *_OF_A_TOOL.finditer(text)]
    if not found:
        return
    inside = enclosed(text)
    for match in sorted(found, key=re.Match[str].start):
        at = match.start("comment")
        if not any(start < at < end for start, end in inside):
            raise _refused(file.name, text.count("\n", 0, at) + 1, match.group().strip()[:80])


def _refused(file: str, line: int, shown: str) -> MarkerError:
    return MarkerError(
        file,
        line,
        f"`{shown}` looks like the section marker of a tool, and plain SQL has no sections",
        "Write `-- +migrate Up` and `-- +migrate Down`, or a file of its own for each; "
        "a comment that is none of this is written in other words",
    )
