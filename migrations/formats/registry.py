"""Every dialect this program reads; the first one is assumed when no file bears a mark."""

from __future__ import annotations

from migrations.formats import (
    Dialect,
    dbmate,
    flyway,
    golang_migrate,
    goose,
    plain,
    sqitch,
    sql_migrate,
)
from migrations.formats.python import PythonModules

OURS = sql_migrate.OURS
FORMS_OF_OURS = sql_migrate.DIALECTS

DIALECTS: tuple[Dialect, ...] = (
    *FORMS_OF_OURS,
    *flyway.DIALECTS,
    *sqitch.DIALECTS,
    *goose.DIALECTS,
    *dbmate.DIALECTS,
    *golang_migrate.DIALECTS,
    *plain.DIALECTS,
)

GUESSED: tuple[Dialect, ...] = tuple(dialect for dialect in DIALECTS if "+" not in dialect.name)
"""Those that a folder may be taken for; one with a suffix (`dbmate+table`) a person asks for."""

MODULES = PythonModules()
"""Python modules, which stand beside the files of any dialect with versions in their names."""

READERS: tuple[Dialect, ...] = (*DIALECTS, MODULES)
"""Whatever a migration can be built again with."""
