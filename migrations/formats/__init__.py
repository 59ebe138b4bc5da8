"""File formats: each module turns the files of a folder into migrations.

A format is pure: it gets names and bytes and returns data. `registry` lists them, `detect` picks
one. A new format is a module with one class and one line in the registry.

    names of the tree ─▶ claims ─▶ (their bytes are read) ─▶ detect ─▶ load ─▶ migrations, in order
    files of one migration, by hash, on an agent ─▶ rebuild ─▶ the same migration
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from migrations.errors import LoadError
from migrations.formats.beside import NOTHING, Beside
from migrations.model.migration import Migration, SourceFile


@dataclass(frozen=True, slots=True)
class Reading:
    """How a folder is to be read, beyond what its files say.

    `variables` are the declared values of placeholders, by name. `programs` is a person's leave to
    accept files that run programs of the client, such as psql scripts with shell commands. What
    such scripts may read stands `beside` them.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    programs: bool = False
    beside: Beside = NOTHING


AS_IT_IS = Reading()
"""No variables, no programs."""


class Format(Protocol):
    """One way to write migrations in files."""

    @property
    def name(self) -> str:
        """Short, stable, stored with every migration (it finds the parser again)."""

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """Those of the folder's files that this format would read.

        Names are relative to the folder, with `/` between parts, sorted; subfolders are included.
        """

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether at least one claimed file bears this format's own marks. Never raises."""

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """The migrations of a folder, each version once, in running order. Raises LoadError."""

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """One migration from its own files (`Migration.files`). Raises LoadError."""


def only(loaded: Sequence[Migration], files: Sequence[SourceFile]) -> Migration:
    """The one migration that the files of one make; what most formats rebuild with.

    Raises LoadError.
    """
    if len(loaded) != 1:
        raise LoadError(
            files[0].name if files else "(no file)",
            None,
            f"{len(files):,} files make {len(loaded):,} migrations where one is expected",
            "Pass the files of exactly one migration",
        )
    return loaded[0]
