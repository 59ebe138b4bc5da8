"""How `ledger fleet` is told where a database is, and an example of its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from ledger.cli.app import completion
from ledger.cli.app.help_page import CONNECTION
from ledger.cli.app.option_groups import OptionGroup

EXAMPLE_FILE = """\
pools:
  default: {user: "mig_{database}", port: 5432, password: "file:secrets/{database}"}
  eu: {host: db2.internal}
databases:
- {database: acme, host: db1.internal, dbname: acme, labels: {tier: gold}}
- {database: bolt, dbname: bolt, pool: eu, user: mig_bolt, password: "env:BOLT"}
"""
"""What `ledger fleet apply` reads; shown by its help, and read by a test."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions(OptionGroup):
    """Where a database is and how agents log in there."""

    HEADING: ClassVar = CONNECTION

    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="postgresql://USER@HOST:PORT/DBNAME",
            help="Where it is, in one word; never with a password.",
        ),
    ] = None
    host: Annotated[str | None, typer.Option("--host", help="Server's name or address.")] = None
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Server's port: 5432, if unsaid.")
    ] = None
    dbname: Annotated[
        str | None, typer.Option("--dbname", help="Name on its server; the id, if unsaid.")
    ] = None
    user: Annotated[
        str | None,
        typer.Option("--user", help="Login that migrates it; {database} stands for the id."),
    ] = None
    password: Annotated[
        str | None,
        typer.Option(
            "--password",
            metavar="env:NAME|file:PATH",
            help="Where agents find it; {database} stands for the id. Never the password itself.",
        ),
    ] = None
    sslmode: Annotated[
        str | None, typer.Option("--sslmode", help="As libpq's: verify-full, if unsaid.")
    ] = None
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="NAME[,NAME]...",
            help="Schema that is the target inside the database; names are looked up in further "
            "ones, too.",
        ),
    ] = None
    history: Annotated[
        str | None,
        typer.Option(
            "--history",
            metavar="NAME",
            help="A further application's, in a database that has one: its history's name.",
        ),
    ] = None
    role: Annotated[
        str | None,
        typer.Option("--role", help="Role to SET before migrations run; it owns what they create."),
    ] = None
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool",
            help="Agents that can reach it; the setting, if unsaid.",
            autocompletion=completion.pools,
        ),
    ] = None

    def fields(self) -> dict[str, Any]:
        """What was said, by the names of a connection's parts."""
        named = {
            "host": self.host,
            "port": self.port,
            "database": self.dbname,
            "user": self.user,
            "password": self.password,
            "sslmode": self.sslmode,
            "schema": self.schema,
            "history": self.history,
            "role": self.role,
        }
        return {name: value for name, value in named.items() if value is not None}
