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
    from migrations.scratch.database import ScratchDatabase
    from migrations.scratch.schema import CatalogSchema, Schema

EMPTY, FOLDER, DATABASE = "empty", "folder", "database"
_SOURCES = "folder, empty, database:ID, database:env:NAME, file:PATH, or snapshot:PATH"
_TOLD = 5
"""Databases that people are told of."""


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
            metavar="folder|empty|database:ID|file:PATH|snapshot:PATH",
            help="What it is set up with: what the folder has made so far, nothing, the catalog of "
            "a database (of the fleet, or at env:NAME), a file of `pg_dump --schema-only` or of "
            "`ledger db snapshot`; never with rows.",
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

    @property
    def fleet_database(self) -> str | None:
        """The database of the fleet whose catalog is wanted; empty for any of those meant."""
        kind, rest = self.source
        return rest if kind == DATABASE and not _is_address(rest) else None

    async def schema(self, target: str = "") -> Schema | None:
        """What is wanted, where it is neither of the folder nor of the fleet's agents.

        Raises `WrongArgument`, and `SchemaUnusable` for a database that cannot be read.
        """
        from migrations.scratch.schema import FolderSchema

        kind, rest = self.source
        if kind == EMPTY:
            return FolderSchema((), target=target, applied=False)
        if kind == DATABASE and _is_address(rest):
            return await _catalog(rest, target)
        return _of_file(kind, rest, target) if kind in ("file", "snapshot") else None


def _of_file(kind: str, file: str, target: str) -> Schema:
    """What a file holds: statements, or a snapshot."""
    from migrations.catalog.difference import check_lines
    from migrations.scratch.schema import CatalogSchema, SqlSchema

    try:
        content = Path(file).read_bytes()
        if kind == "snapshot":
            document = zlib.compress(content, level=1)
            check_lines(document)
            return CatalogSchema(document, target=target)
        return SqlSchema(content.decode(), file)
    except (OSError, UnicodeDecodeError) as error:
        why = f"cannot be read ({why_unreadable(error)})"
    except ValueError:
        why = "is no snapshot of a schema, as `ledger db snapshot --to` writes one"
    raise WrongArgument(f"{escaped(file)} {why}; name another file")


def _is_address(text: str) -> bool:
    return text.startswith(("env:", "file:", "postgresql://", "postgres://"))


async def _catalog(reference: str, target: str) -> CatalogSchema:
    """The catalog of a database at an address; only that is read."""
    from ledger.scratch import catalog_at

    warn_of_password(reference)
    return await catalog_at(address_of(reference), target)


def say_left_over(database: ScratchDatabase) -> None:
    """Tell which databases runs that were killed have left on the server."""
    for name in database.left_over[:_TOLD]:
        say(
            f"left over on that server by a run that was killed: {escaped(name)}; nobody is in it, "
            f"so drop it: DROP DATABASE {escaped(name)}; and the role of that name, if there is one"
        )
