"""Migrations written in Python, alone or beside SQL files in one folder.

    async def up(conn): ...            must be there
    async def down(conn): ...          without it, the migration cannot be undone
    async def verify(conn): ...        must return True; runs after `up`, may only read

One module is one migration; `20260102030405_name.py` names it, and a `.py` file without a version
in its name is no migration. A module that moves data in batches has `transform(rows, conn)` in the
place of `up` (`migrations.formats.data_modules`). The module is read here and never run
(`migrations.formats.modules`); `migrations.running.code` runs it. The checksum of every section is
the SHA-256 of the whole file, but for the ends of lines (`migrations.formats.checksum`): a helper
or a constant changes what runs as much as `up` does.
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.errors import ModuleError
from migrations.formats import Reading
from migrations.formats.checksum import module_checksum
from migrations.formats.data_modules import data_migration, is_data_module
from migrations.formats.folder_reader import FolderReader
from migrations.formats.modules import Module, read_module, takes
from migrations.formats.naming import base_name, ordered, without_version
from migrations.formats.way_back import way_back
from migrations.model.migration import Language, Migration, Options, Program, Section, SourceFile
from migrations.model.phases import phased
from migrations.model.version import NAME_REMEDY, version_and_name

SUFFIX = ".py"


class PythonModules(FolderReader):
    """Reads one module per migration."""

    name = "python"

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether there is any: their names say it."""
        return bool(files)

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The `.py` files of the folder itself whose names carry a version."""
        return [name for name in names if "/" not in name and _versioned(name)]

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per module. Raises LoadError."""
        return ordered([phased(_migration(file, self.name)) for file in files])


def _versioned(name: str) -> bool:
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix.lower() == SUFFIX and version_and_name(stem) is not None


def _migration(file: SourceFile, format: str) -> Migration:
    named = version_and_name(base_name(file.name)[: -len(SUFFIX)])
    if named is None:
        raise without_version(file, NAME_REMEDY)
    module = read_module(file)
    checksum = module_checksum(file.content)
    if is_data_module(module):
        return data_migration(module, named, file, _section(module, "verify", checksum))
    up = _section(module, "up", checksum)
    if up is None:
        raise ModuleError(
            file.name,
            1,
            "no `async def up(conn)`",
            "Write it at the top level of the module, or take the version out of the file's name "
            "if it is no migration",
        )
    version, name = named
    migration = Migration(
        version, name, format, up, None, _section(module, "verify", checksum), (file,)
    )
    return way_back(module.fault, migration, lambda: _section(module, "down", checksum))


def _section(module: Module, entry: str, checksum: str) -> Section | None:
    if not takes(module, entry, "conn"):
        return None
    options = module.options.get(entry.capitalize(), Options())
    return Section((), options, checksum, Program(Language.PYTHON, module.file, module.text, entry))
