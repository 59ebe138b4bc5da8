"""Every dialect this program reads; the first one is assumed when no file bears a mark."""

from __future__ import annotations

from migrations.dialects import Dialect
from migrations.dialects.sql_migrate import SqlMigrate

DIALECTS: tuple[Dialect, ...] = (SqlMigrate(),)
