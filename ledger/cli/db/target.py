"""Which database `ledger db` means."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar
from urllib.parse import urlsplit

import typer

from ledger.cli.app.command import flags_of
from ledger.cli.app.help_page import WHICH_DATABASES
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.output import say
from ledger.cli.app.schemas import schemas_in
from ledger.errors import WrongArgument
from migrations.printable import why_unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrations.model.folder_history import FolderHistory
    from migrations.model.migration import Migration
    from migrations.target.session import ConnectionSettings

FORM = "write env:NAME, file:PATH, or postgresql://user@host:port/dbname"


@dataclass(frozen=True, slots=True)
class DatabaseOptions(OptionGroup):
    """One database, and whether it may be talked to without proof of who answers."""

    HEADING: ClassVar = WHICH_DATABASES

    database: Annotated[
        str,
        typer.Option(
            "--database",
            "-d",
            metavar="env:NAME|file:PATH|URL",
            help="Where its address stands; an address with its password works, with a warning.",
            show_default=True,
        ),
    ] = "env:DATABASE_URL"
    schema: Annotated[
        str,
        typer.Option(
            "--schema",
            metavar="NAME[,NAME]...",
            help="Schema that is the target, if it is not the usual one; names are looked up in "
            "further ones, too.",
        ),
    ] = ""
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Allow a server without verified TLS that is not on this machine."
        ),
    ] = False

    @property
    def target_schema(self) -> str:
        """The schema that is the target. Raises `WrongArgument`."""
        return schemas_in(self.schema)[0]


def connection_of(place: DatabaseOptions) -> ConnectionSettings:
    """How to connect. Warns of a password on the command line; raises `WrongArgument`."""
    from ledger.bus.security import is_loopback
    from migrations.target.session import ConnectionSettings

    url = _address(place.database)
    try:
        local = is_loopback(urlsplit(url).hostname or "localhost")
        settings = ConnectionSettings.from_url(url, allow_plaintext=place.insecure or local)
    except ValueError:
        raise WrongArgument(f"the address of the database cannot be read; {FORM}") from None
    return replace(settings, further_schemas=schemas_in(place.schema)[1])


def history_of(ctx: typer.Context, folder: Path, migrations: Sequence[Migration]) -> FolderHistory:
    """Which history the whole folder is: as the settings name it, or as the folder is called."""
    from migrations.formats.multi_folder import folders_of
    from migrations.model.folder_history import FolderHistory, default_name

    name = flags_of(ctx).load().settings.bundle.name
    called = folders_of(folder)[0].resolve().name
    return FolderHistory.of(name or default_name(called), migrations)


async def journal_here(
    ctx: typer.Context, place: DatabaseOptions, history: FolderHistory | None = None
) -> str:
    """The key of the journal that commands of this project work on in the database.

    Raises `WrongArgument`.
    """
    from migrations.model.folder_history import KEY_MAX_BYTES, journal_key
    from migrations.standalone import journal_of

    name = flags_of(ctx).load().settings.bundle.name
    if len(journal_key(place.target_schema, name or "").encode()) > KEY_MAX_BYTES:
        raise WrongArgument(
            f"the schema's name, with the history's, makes a key of more than {KEY_MAX_BYTES} "
            "bytes for the journal; shorten it"
        )
    if name is None:
        return journal_key(place.target_schema)
    return await journal_of(connection_of(place), place.target_schema, name, history)


def _address(reference: str) -> str:
    kind, _, rest = reference.partition(":")
    if kind == "env":
        address = os.environ.get(rest)
        if not address:
            raise WrongArgument(f"variable {rest} is not set; set it, or name another: {FORM}")
        return address
    if kind == "file":
        try:
            return Path(rest).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongArgument(
                f"{rest} cannot be read ({why_unreadable(error)}); {FORM}"
            ) from None
    _warn_of_password(reference)
    return reference


def _warn_of_password(address: str) -> None:
    """Others can read command lines, and shells keep them."""
    try:
        given = "password=" in address or urlsplit(address).password is not None
    except ValueError:
        return
    if given:
        say(
            "warning: the password on the command line can be seen by everybody on this machine; "
            "use env:NAME or file:PATH"
        )
