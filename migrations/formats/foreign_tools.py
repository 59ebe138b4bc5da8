"""Folders of tools that are not read here: refused by the tool's name, with the way over.

    --liquibase formatted sql     changelogs in XML, YAML and JSON     -- //@UNDO     -- rambler up

Their files would pass for plain SQL, or for a folder without any, and the errors of those would be
of no help: what is missing is the tool's own order, or its way of parting a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migrations.errors import FormatError
from migrations.formats.naming import base_name, is_sql
from migrations.model.migration import SourceFile

_MARKED = "; databases that have them already are marked with `ledger baseline --through VERSION`"


@dataclass(frozen=True, slots=True)
class _Tool:
    """How a tool's files are known, and how to come over from it."""

    name: str
    mark: re.Pattern[bytes]
    way: str


_SQL = (
    _Tool(
        "Liquibase",
        re.compile(
            rb"^[ \t]*--[ \t]*(?:liquibase[ \t]+formatted|changeset[ \t]+\S+:\S)", re.I | re.M
        ),
        "Write each changeset as a file of its own, 001_name.sql, in the order in which the "
        "changelog runs them, with what its `--rollback` lines say below `-- +migrate Down`"
        f"{_MARKED}",
    ),
    _Tool(
        "MyBatis Migrations",
        re.compile(rb"^[ \t]*--[ \t]*//[ \t]*@UNDO\b", re.I | re.M),
        "Write `-- +migrate Up` as the first line of each file and `-- +migrate Down` in the place "
        f"of `-- //@UNDO`{_MARKED}",
    ),
    _Tool(
        "rambler",
        re.compile(rb"^[ \t]*--[ \t]*rambler[ \t]+(?:up|down)\b", re.I | re.M),
        "Write `-- +migrate Up` and `-- +migrate Down` in the place of its markers; where a file "
        f"has several pairs, make each of them a file of its own{_MARKED}",
    ),
)
_CHANGELOG = re.compile(r".*changelog.*\.(?:xml|ya?ml|json)", re.IGNORECASE | re.DOTALL)
_LIQUIBASE = re.compile(rb"databaseChangeLog", re.IGNORECASE)


def refuse_unread(
    names: Sequence[str], read: Callable[[Sequence[str]], Sequence[SourceFile]]
) -> None:
    """Raise FormatError for the first file of a tool that is not read, if there is one.

    `names` are those of the folder's files, `read` gives their bytes.
    """
    sql = [name for name in names if is_sql(name)]
    beside = [name for name in sql if "/" not in name]
    for file in read(beside or sql):
        for tool in _SQL:
            if found := tool.mark.search(file.content):
                raise _refused(file, found, tool)
    changelogs = [name for name in names if _CHANGELOG.fullmatch(base_name(name))]
    for file in read(changelogs):
        if found := _LIQUIBASE.search(file.content):
            raise _refused(file, found, _SQL[0])


def _refused(file: SourceFile, found: re.Match[bytes], tool: _Tool) -> FormatError:
    line = file.content.count(b"\n", 0, found.start()) + 1
    return FormatError(
        file.name, line, f"is a file of {tool.name}, whose folders are not read", tool.way
    )
