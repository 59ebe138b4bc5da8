"""File dialects: each module turns the files of a folder into migrations.

A dialect is pure: it gets names and bytes and returns data. `registry` lists them, `detect` picks
one. A new dialect is a module with one class and one line in the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from migrations.migration import Migration, SourceFile


class Dialect(Protocol):
    """One way to write migrations in files."""

    @property
    def name(self) -> str:
        """Short, stable, stored with every migration (it finds the parser again)."""

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether at least one file bears this dialect's own marks. Never raises."""

    def load(self, files: Sequence[SourceFile]) -> list[Migration]:
        """One migration per version, in any order. Raises LoadError."""
