"""What formats share that read one migration alone as they read a whole folder: most do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from migrations.formats import Reading, only
from migrations.formats.naming import is_program, is_sql
from migrations.model.migration import Migration, SourceFile


class FolderReader(ABC):
    """Reads a folder, and the files of one migration as a folder of that one."""

    @abstractmethod
    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """As `Format.load`."""

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """As `Format.rebuild`."""
        return only(self.load(files, reading), files)


class SqlFolderReader(FolderReader):
    """Reads a folder of SQL files without subfolders."""

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The `.sql` files of the folder itself, and programs among them, to refuse them."""
        return [name for name in names if "/" not in name and (is_sql(name) or is_program(name))]
