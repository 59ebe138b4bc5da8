"""Every dialect this program reads; the first one is assumed when no file bears a mark."""

from __future__ import annotations

from migrations.dialects import Dialect, dbmate, golang_migrate, goose, plain
from migrations.dialects.flyway import Flyway
from migrations.dialects.python import PythonModules
from migrations.dialects.sqitch import Sqitch
from migrations.dialects.sql_migrate import SqlMigrate, SqlMigrateByName

OURS = SqlMigrate()
"""Our own format, whose files may stand among those of another dialect."""

BY_NAME = SqlMigrateByName()

FORMS_OF_OURS: tuple[Dialect, ...] = (OURS, BY_NAME)
"""Ways to read a folder in which every file is of our own format."""

DIALECTS: tuple[Dialect, ...] = (
    *FORMS_OF_OURS,
    Flyway(),
    Sqitch(),
    *goose.DIALECTS,
    *dbmate.DIALECTS,
    *golang_migrate.DIALECTS,
    *plain.DIALECTS,
)

MODULES = PythonModules()
"""Python modules, which stand beside the files of any dialect with versions in their names."""

READERS: tuple[Dialect, ...] = (*DIALECTS, MODULES)
"""Whatever a migration can be built again with."""
