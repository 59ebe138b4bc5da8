"""Drizzle's `meta/_journal.json`: which files are migrations, and in which order they run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from migrations.errors import FileNameError, FolderError
from migrations.formats.naming import SUFFIX, base_name
from migrations.model.migration import Migration, SourceFile

JOURNAL = "meta/_journal.json"


def by_journal(loaded: Sequence[Migration], journal: SourceFile) -> list[Migration]:
    """The migrations in the order of the journal. Raises LoadError when the two do not agree."""
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
    for tag, migration in found.items():
        if tag not in tags:
            raise FileNameError(
                migration.files[0].name,
                None,
                f"is not in {journal.name}",
                "Add it to the journal, or move it out of the folder",
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
