"""The `ledger` program: its options, its commands, and nothing else.

Importing this module imports no command: the module of a command is imported when the command is
asked for, and what it needs when it runs, so that `ledger --version` and completion answer at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.app.completion import mended
from ledger.cli.app.exits import ExitCode, epilog
from ledger.cli.app.flags import Flags
from ledger.cli.app.lazy import Rooms
from ledger.cli.app.stream import settle_streams

app = typer.Typer(
    cls=Rooms,
    name="ledger",
    help=(
        "Roll out PostgreSQL schema migrations across many databases, in waves, with an "
        "append-only record of what happened."
    ),
    epilog=epilog(),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def version() -> str:
    """The installed version of this distribution."""
    from importlib import metadata

    return metadata.version("migration-ledger")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"migration-ledger {version()}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    database_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The ledger's own database. Prefer LEDGER_DATABASE_URL: command lines are public.",
        ),
    ] = None,
    kafka_bootstrap: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Brokers; none means one process.")
    ] = None,
    insecure_bus: Annotated[
        bool,
        typer.Option("--insecure-bus", help="Allow a broker elsewhere without TLS and login."),
    ] = False,
    insecure_database: Annotated[
        bool,
        typer.Option(
            "--insecure-database", help="Allow a ledger elsewhere that does not prove who it is."
        ),
    ] = False,
    config_file: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Instead of ./ledger.toml.")
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the details of an unexpected error.")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Say nothing but what was asked for, questions and errors; also behind a command.",
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Say which ledger, how long it took, and what is logged; also behind a command.",
        ),
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and end."
        ),
    ] = False,
) -> None:
    """Options that stand before the command, and win over every other source of settings."""
    given = {
        "database_url": database_url,
        "kafka.bootstrap": kafka_bootstrap,
        "insecure_bus": insecure_bus or None,
        "insecure_database": insecure_database or None,
    }
    values = {name: value for name, value in given.items() if value is not None}
    ctx.obj = Flags(values, config_file, debug, quiet, verbose)


def main() -> None:
    """Run the command that the command line names, and end as it ended."""
    sys.exit(run())


def run() -> int:
    """Run the command that the command line names, or complete a word of it; the exit code."""
    settle_streams()
    program = typer.main.get_command(app)
    try:
        with mended():
            program()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return ExitCode.OK
