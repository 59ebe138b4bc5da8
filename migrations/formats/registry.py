"""Every format this program reads; the first one is assumed when no file bears a mark."""

from __future__ import annotations

from migrations.formats import (
    Format,
    dbmate,
    flyway,
    golang_migrate,
    goose,
    graphile,
    native,
    node_pg_migrate,
    plain,
    play,
    sqitch,
    tern,
)
from migrations.formats.python import PythonModules

OURS = native.OURS
FORMS_OF_OURS = native.FORMATS

FORMATS: tuple[Format, ...] = (
    *FORMS_OF_OURS,
    *flyway.FORMATS,
    *sqitch.FORMATS,
    *goose.FORMATS,
    *dbmate.FORMATS,
    *golang_migrate.FORMATS,
    *graphile.FORMATS,
    *node_pg_migrate.FORMATS,
    *tern.FORMATS,
    *play.FORMATS,
    *plain.FORMATS,
)

GUESSED: tuple[Format, ...] = tuple(
    format for format in FORMATS if format is native.BY_NAME or "+" not in format.name
)
"""Those that a folder may be taken for; with a table (`dbmate+table`) a person asks for it."""

PLAIN = plain.FORMATS[0]
"""What a folder without any tool's mark is."""
MODULES = PythonModules()
"""Python modules, which stand beside the files of any format with versions in their names."""

READERS: tuple[Format, ...] = (*FORMATS, MODULES)
"""Whatever a migration can be built again with."""
