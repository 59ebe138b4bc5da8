"""Lines that look as if a section of another tool's format began there.

    -- ==== UP ====   -- [down]   -- name: up   -- migrate down   /* up */   -- //@UNDO
    -- !Downs   -- Down Migration (Rollback)   -- Rollback script   -- end of the up section
    -- 1 up   -- 1 down   -- Downgrade   -- To roll back:

Where it is a mere comment, the SQL of both sections would run together. Which words make one was
collected from the tools and from folders in use: a comment that takes a whole line and says up,
down, undo, rollback or revert, alone or with words of the trade, whatever stands around it as
decoration, or one that another tool reads. What stands inside a literal or a longer comment is
none.

A plain file has no sections at all, so that any such line is refused. In a file of another format,
whose tool takes the line as a comment too, it is refused where nothing else would bring the way
back, and SQL follows. And in any file, whatever a comment says beside one of these words, it is
refused where SQL stands below it that drops what the SQL above it has made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from migrations.errors import MarkerError
from migrations.model.migration import Migration, SourceFile
from migrations.sql.grammar import enclosed

_DOWN = r"(?:downs?|downgrades?|backwards?|undo|roll[ \t-]?backs?|reverts?|reverse)"
_WAY = rf"(?:ups?|{_DOWN})"
_SUBJECT = (
    r"(?:migrat\w*|name|scripts?|sections?|sql|steps?|part|statements?|begins?|starts?|ends?"
    r"|below|above|of|the|this|for|to|run|[0-9]+)"
)
_DECORATION = r"[^\w\n]*"
_ALONE = re.compile(
    rf"^[ \t]*(?P<comment>--+|/\*){_DECORATION}"
    rf"(?:{_SUBJECT}\b{_DECORATION})*{_WAY}\b{_DECORATION}"
    rf"(?:(?:{_SUBJECT}|{_WAY})\b{_DECORATION})*$",
    re.IGNORECASE | re.MULTILINE,
)
_BACK = re.compile(rf"\b{_DOWN}\b|create above / drop below", re.IGNORECASE)
_SAYS_BACK = re.compile(
    rf"\b{_DOWN}\b|down_?migrat|migrat[a-z]*_?down|rolling[ \t]+back|tear[ \t]?down", re.IGNORECASE
)
_TEMPORARY = re.compile(r"CREATE\s+(?:(?:GLOBAL|LOCAL)\s+)?TEMP", re.IGNORECASE)
_PART = r"\s+(?:COLUMN|CONSTRAINT)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(\"[^\"]+\"|[\w$]+)"
_ADDED = re.compile(rf"\bADD{_PART}", re.IGNORECASE)
_DROPPED = re.compile(rf"\bDROP{_PART}", re.IGNORECASE)
_WORD = re.compile(r"[\w$]+")
_PROSE = re.compile(
    r"--+[ \t]*(?:downgrades?|backwards?|undo|roll[ \t-]?backs?|reverts?|reverse)[ \t]*",
    re.IGNORECASE,
)
"""A bare word that may be the heading of anything."""
_OF_A_TOOL = re.compile(
    r"^[ \t]*(?P<comment>--+)[ \t]*(?:"
    r"//[ \t]*@undo|@(?:up|down|undo)\b|!(?:ups|downs)\b"
    r"|\+[ \t]*[a-z]+[ \t]+(?:up|down)\b|migrat\w*[ \t]*:[ \t]*(?:up|down)\b"
    r"|rambler[ \t]+(?:up|down)\b|liquibase[ \t]+formatted\b|changeset[ \t]+\S+:\S+"
    r"|create above / drop below\b)",
    re.IGNORECASE | re.MULTILINE,
)


def refuse_section_lines(file: SourceFile) -> None:
    """Raise MarkerError for the first line of a plain file that seems to begin a section."""
    for line, shown in _section_lines(file):
        raise MarkerError(
            file.name,
            line,
            f"`{shown}` looks like the section marker of a tool, and plain SQL has no sections",
            "Write `-- +migrate Up` and `-- +migrate Down`, or a file of its own for each; "
            "a comment that is none of this is written in other words",
        )


def refuse_hidden_downs(loaded: Sequence[Migration]) -> None:
    """Raise MarkerError for SQL below what looks like the way back of a migration without one."""
    for migration in loaded:
        if migration.down is None and migration.up.statements and len(migration.files) == 1:
            _refuse_hidden_down(migration, migration.files[0])


def _refuse_hidden_down(migration: Migration, file: SourceFile) -> None:
    last = migration.up.statements[-1].line
    for line, shown in _section_lines(file):
        if line < last and _BACK.search(shown) and not _PROSE.fullmatch(shown):
            raise MarkerError(
                file.name,
                line,
                f"`{shown}` looks as if the way back began here, and the SQL below it would run "
                "as part of the way up",
                f"Write it as {migration.format} does, or in a file that is not loaded; "
                "a comment that is none of this is written in other words",
            )
    for line, shown in _comments_about_the_way_back(file):
        if taken := _made(migration, line) & _taken(migration, line):
            raise MarkerError(
                file.name,
                line,
                f"`{shown}` looks as if the way back began here: the SQL below it would drop "
                f"{', '.join(sorted(taken))}, which this file has just made",
                f"Write it as {migration.format} does, or in a file of its own; a comment that "
                "is none of this is written in other words",
            )


def _comments_about_the_way_back(file: SourceFile) -> Iterator[tuple[int, str]]:
    """Comments with such a word in them, each with the 1-based number of its last line."""
    text = file.content.decode(errors="replace")
    if not _SAYS_BACK.search(text):
        return
    for start, end in enclosed(text):
        comment = text[start:end]
        if comment.startswith(("--", "/*")) and _SAYS_BACK.search(comment):
            shown = " ".join(comment.split())[:80]
            yield text.count("\n", 0, end) + 1, shown


def _made(migration: Migration, line: int) -> set[str]:
    """Names of what statements above a line make to stay."""
    found: list[str] = []
    for one in migration.up.statements:
        if one.line < line and not _TEMPORARY.match(one.text):
            found += _ADDED.findall(one.text)
            if one.summary.startswith("CREATE "):
                found += _WORD.findall(one.summary)[-1:]
    return {name.strip('"').lower() for name in found}


def _taken(migration: Migration, line: int) -> set[str]:
    """Words of statements below a line that drop something."""
    found: list[str] = []
    for one in migration.up.statements:
        if one.line >= line:
            found += _DROPPED.findall(one.text)
            if one.summary.startswith("DROP "):
                found += _WORD.findall(one.text)
    return {name.strip('"').lower() for name in found}


def _section_lines(file: SourceFile) -> Iterator[tuple[int, str]]:
    """The lines that look like a section, each with its 1-based number."""
    text = file.content.decode(errors="replace")
    found = [*_ALONE.finditer(text), *_OF_A_TOOL.finditer(text)]
    inside = enclosed(text) if found else []
    for match in sorted(found, key=re.Match[str].start):
        at = match.start("comment")
        if not any(start < at < end for start, end in inside):
            yield text.count("\n", 0, at) + 1, match.group().strip()[:80]
