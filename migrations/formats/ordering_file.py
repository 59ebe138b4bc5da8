"""Drizzle's `meta/_journal.json`: which files are migrations, and in which order they run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from migrations.errors import FolderError
from migrations.formats.naming import SUFFIX, base_name
from migrations.model.migration import Migration, SourceFile

JOURNAL = "meta/_journal.json"


def unnamed(files: Sequence[SourceFile], journal: SourceFile) -> list[SourceFile]:
    """The files that the journal does not name: Drizzle runs none of them. Raises FolderError.

    A journal that names nothing beside files is taken for one that was lost.
    """
    tags = set(_tags(journal))
    if files and not tags:
        raise FolderError(
            journal.name, None, "names no migration, and there are files", "Generate it again"
        )
    return [file for file in files if base_name(file.name)[: -len(SUFFIX)] not in tags]


def by_journal(loaded: Sequence[Migration], journal: SourceFile) -> list[Migration]:
    """The migrations in the order of the journal. Raises FolderError for one without a file."""
    tags = _tags(journal)
    found = {base_name(one.files[0].name)[: -len(SUFFIX)]: one for one in loaded}
    for tag in tags:
        if tag not in found:
            raise FolderError(
                journal.name,
                None,
                f"names {tag}, and there is no {tag}.sql",
                "Add the file, or take the entry out of the journal",
            )
    return [found[tag] for tag in tags]


def _tags(journal: SourceFile) -> list[str]:
    """The names in the journal, in order, without suffix."""
    try:
        entries: Any = json.loads(journal.content)["entries"]
        indexed = sorted((int(entry["idx"]), str(entry["tag"])) for entry in entries)
    except (ValueError, KeyError, TypeError):
        raise FolderError(
            journal.name, None, "cannot be read as Drizzle's journal", "Generate it again"
        ) from None
    return [tag for _, tag in indexed]
