"""Every dialect this program reads; the first one is assumed when no file bears a mark."""

from __future__ import annotations

from migrations.dialects import Dialect
from migrations.dialects.python import PythonModules
from migrations.dialects.sql_migrate import SqlMigrate

DIALECTS: tuple[Dialect, ...] = (SqlMigrate(),)

MODULES = PythonModules()
"""Python modules, which stand beside the files of any dialect with versions in their names."""

READERS: tuple[Dialect, ...] = (*DIALECTS, MODULES)
"""Whatever a migration can be built again with."""
