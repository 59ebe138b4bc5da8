"""Which history a folder of migrations is, and where a database keeps it; pure.

A database may hold the histories of several applications, each in a journal of its own: that of one
schema, or of the database's default. The first of them goes by its schema alone; a further one has
its name in front:

    journal's key      ''  ·  app  ·  shop@  ·  shop@app

A schema whose own name holds an @ is told from these by another one in front.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from migrations.model.baselines import standing_for
from migrations.model.migration import Migration
from migrations.model.ordering import FolderMember

JOURNAL_SCHEMA = "migration_ledger"
"""Where the journals of a database stand; no target, and nothing of an application's."""
KEY_MAX_BYTES = 63
"""Of a journal's key: it is stored as PostgreSQL stores names."""
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"
"""What a history may be called: it stands in labels, settings and keys."""
_OTHER = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class FolderHistory:
    """A folder's versions with the checksums of their up sections, their order, and its name."""

    name: str
    texts: frozenset[tuple[str, str]]
    order: tuple[FolderMember, ...] = ()
    """All of it, in the order in which it is applied."""
    versions: frozenset[str] = field(init=False)
    baselines: tuple[FolderMember, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the versions and the baselines by themselves, too."""
        object.__setattr__(self, "versions", frozenset(version for version, _ in self.texts))
        baselines = tuple(one for one in self.order if one.replaces is not None)
        object.__setattr__(self, "baselines", baselines)

    @classmethod
    def of(cls, name: str, migrations: Iterable[Migration]) -> FolderHistory:
        """That of a folder as it was read."""
        found = tuple(migrations)
        return cls(
            name,
            frozenset((one.version, one.up.checksum) for one in found),
            found,
        )

    def has(self, version: str, checksum: str | None) -> bool:
        """Whether what was applied may be of this folder; a text that nobody knows may be."""
        if standing_for(self.baselines, version) is not None:
            return True
        return (version, checksum) in self.texts if checksum else version in self.versions


def default_name(folder: str) -> str:
    """What a history is called when nobody names it: as the folder, in letters that a name has."""
    return _OTHER.sub("-", folder).strip("-_.")[:40] or "migrations"


def journal_key(schema: str, history: str = "") -> str:
    """By what a journal tells its targets apart."""
    return f"{history}@{schema}" if history or "@" in schema else schema


def is_named(key: str) -> bool:
    """Whether a journal's key has a history's name in it."""
    return "@" in key and not key.startswith("@")


def schema_of(key: str) -> str:
    """The schema in a journal's key; empty for the database's default."""
    return key.partition("@")[2] if "@" in key else key
