"""`ledger config` and `ledger version`: what this program is and what it was told."""

from __future__ import annotations

from dataclasses import asdict
from importlib import metadata

import typer

from ledger.cli.app.command import command, flags_of
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.output import Output, OutputFormat, OutputOption

config_app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Settings and where they come from."
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(config_app, name="config", rich_help_panel="Set-up")
    command(app, "version", panel="Set-up", examples=("ledger version -o json",))(version)


@command(
    config_app,
    "show",
    examples=(
        "ledger config show",
        "ledger config show -o json",
        "LEDGER_POOL=eu ledger config show",
    ),
)
async def show(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show every setting with its value and its origin; secrets are masked.

    Flags win over LEDGER_* variables, these over ./ledger.toml, that over the user's own file.
    """
    from ledger.settings import user_file

    loaded = flags_of(ctx).load()
    Output(output).rows(
        "config.show",
        [asdict(origin) for origin in loaded.origins],
        ("setting", "value", "origin", "variable"),
        empty="There are no settings.",
        transport=loaded.settings.transport,
        user_file=str(user_file()),
    )


async def version(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show the versions of this program and of what it runs on."""
    import platform

    names = ("migration-ledger", "asyncpg", "postgast", "aiokafka", "pydantic")
    fields = {name: metadata.version(name) for name in names}
    Output(output).record("version", fields | {"python": platform.python_version()})
