"""Which database `ledger db` means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar
from urllib.parse import parse_qsl, urlsplit

import typer

from ledger.cli.app.address import FORM, address_of, warn_of_password
from ledger.cli.app.command import flags_of
from ledger.cli.app.help_page import WHICH_DATABASES
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.schemas import schemas_in
from ledger.errors import WrongArgument
from migrations.printable import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrations.model.folder_history import FolderHistory
    from migrations.model.migration import Migration
    from migrations.target.session import ConnectionSettings

_OTHER_WORDS = frozenset({"search_path", "searchpath", "currentschema", "options", "history"})
"""What other tools, or a fleet, read in addresses, and what would be passed over here."""


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
        return self.schemas[0]

    @property
    def schemas(self) -> tuple[str, tuple[str, ...]]:
        """That schema, and the further ones: of the option, or else of the address, as in a fleet.

        Raises `WrongArgument`, also for what an address says of them in another tool's words.
        """
        said = _said_in(address_of(self.database))
        other = next((name for name in said if name.lower() in _OTHER_WORDS), None)
        if other is not None:
            raise WrongArgument(
                f"the address says {other}, which is not read; take it out, and name the schema "
                "with --schema, or with schema=NAME in the address"
            )
        given, written = schemas_in(self.schema), schemas_in(said.get("schema", ""))
        if self.schema and written[0] not in ("", given[0]):
            raise WrongArgument(
                f"the address says schema={escaped(written[0])}, and --schema another; say one"
            )
        return given if self.schema else written


def connection_of(place: DatabaseOptions) -> ConnectionSettings:
    """How to connect. Warns of a password on the command line; raises `WrongArgument`."""
    from ledger.bus.security import is_loopback
    from migrations.target.session import ConnectionSettings

    url = address_of(place.database)
    warn_of_password(place.database)
    try:
        plain = True if place.insecure else is_loopback
        settings = ConnectionSettings.from_url(url, allow_plaintext=plain)
    except ValueError:
        raise WrongArgument(f"the address of the database cannot be read; {FORM}") from None
    return replace(
        settings, further_schemas=place.schemas[1], role=_said_in(url).get("role") or None
    )


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


async def own_journal(ctx: typer.Context, place: DatabaseOptions, history: FolderHistory) -> str:
    """As `journal_here`, for what relies on it that the folder is of what is applied there.

    Raises OtherHistory.
    """
    from migrations.standalone import refuse_another

    target = await journal_here(ctx, place, history)
    await refuse_another(connection_of(place), target, history)
    return target


def _said_in(address: str) -> dict[str, str]:
    """The parameters behind the `?` of an address; none of one that cannot be read."""
    try:
        return dict(parse_qsl(urlsplit(address).query))
    except ValueError:
        return {}
