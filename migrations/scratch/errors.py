"""What keeps a scratch database from being made."""

from __future__ import annotations

from migrations.errors import MigrationsError


class ScratchRefused(MigrationsError):
    """The server gives no scratch database; nothing was left on it."""


class SchemaUnusable(MigrationsError):
    """What the scratch database is to be set up with cannot be used."""
