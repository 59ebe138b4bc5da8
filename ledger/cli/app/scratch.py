"""Options of commands that try things in a scratch database, and what they say about it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ledger.cli.app.address import address_of, warn_of_password
from ledger.cli.app.command import flags_of
from ledger.cli.app.help_page import WHICH_DATABASES
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.output import say
from ledger.errors import WrongArgument
from migrations.printable import escaped, why_unreadable

if TYPE_CHECKING:
    from ledger.scratch import ScratchPlace
    from migrations.scratch.builder import Lack
    from migrations.scratch.database import ScratchDatabase
    from migrations.scratch.schema import CatalogSchema, SqlSchema

EMPTY, FOLDER, DATABASE = "empty", "folder", "database"
_SOURCES = "folder, empty, database, database:ID, file:PATH, or snapshot:PATH"
_TOLD = 5
"""Lacks that people are shown; all of them are in the data."""


@dataclass(frozen=True, slots=True)
class ScratchOptions(OptionGroup):
    """Where scratch databases are made, and with what schema."""

    HEADING: ClassVar = WHICH_DATABASES

    scratch: Annotated[
        str | None,
        typer.Option(
            "--scratch",
            metavar="env:NAME|file:PATH|URL",
            help="Server on which a scratch database is made, by a role with CREATEDB. Default: "
            "the setting, else an embedded PostgreSQL.",
        ),
    ] = None
    schema_from: Annotated[
        str,
        typer.Option(
            "--schema-from",
            metavar="folder|empty|database[:ID]|file:PATH|snapshot:PATH",
            help="What it is set up with: what the folder has made so far, nothing, a database's "
            "catalog, a file of `pg_dump --schema-only` or of `ledger db snapshot`.",
            show_default=True,
        ),
    ] = FOLDER

    def place(self, ctx: typer.Context) -> ScratchPlace:
        """Which server. Raises `WrongArgument`, `SettingsError`."""
        from ledger.scratch import ScratchPlace

        if self.scratch is not None:
            warn_of_password(self.scratch)
        named = address_of(self.scratch) if self.scratch is not None else None
        return ScratchPlace.of(flags_of(ctx).load().settings, named)

    @property
    def source(self) -> tuple[str, str]:
        """The kind of source, with what stands behind its colon. Raises `WrongArgument`."""
        kind, colon, rest = self.schema_from.partition(":")
        takes = {"file": True, "snapshot": True, EMPTY: False, FOLDER: False}.get(kind)
        known = kind == DATABASE or takes is not None
        if not known or (takes is not None and takes != bool(rest)) or (colon and not rest):
            raise WrongArgument(
                f"--schema-from {escaped(self.schema_from)} names no schema; write {_SOURCES}"
            )
        return kind, rest

    def from_file(self, target: str = "") -> CatalogSchema | SqlSchema | None:
        """The schema of a file, if one is named. Raises `WrongArgument`."""
        from migrations.scratch.schema import CatalogSchema, SqlSchema

        kind, rest = self.source
        if kind not in ("file", "snapshot"):
            return None
        try:
            content = Path(rest).read_bytes()
            if kind == "file":
                return SqlSchema(content.decode(), rest)
        except (OSError, UnicodeDecodeError) as error:
            raise WrongArgument(
                f"{escaped(rest)} cannot be read ({why_unreadable(error)}); name another file"
            ) from None
        return CatalogSchema(zlib.compress(content, level=1), target=target)


def say_lacks(lacks: tuple[Lack, ...]) -> None:
    """Tell what the scratch database has not, in a few lines."""
    for one in lacks[:_TOLD]:
        say(f"not in the scratch database: {one.what}: {one.why}")
    if len(lacks) > _TOLD:
        say(f"and {len(lacks) - _TOLD:,} more; `-o json` has all of them")


def say_left_over(database: ScratchDatabase) -> None:
    """Tell which databases runs that were killed have left on the server."""
    for name in database.left_over[:_TOLD]:
        say(
            f"left over on that server by a run that was killed: {escaped(name)}; nobody is in it, "
            f"so drop it: DROP DATABASE {escaped(name)}; and the role of that name, if there is one"
        )
