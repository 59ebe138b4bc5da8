"""`ledger db resolve`: a person's word on one database, where no probe could tell."""

from __future__ import annotations

from typing import Annotated

import typer

from ledger.cli.app.command import command
from ledger.cli.app.confirm import YesOption
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import WHICH_MIGRATIONS
from ledger.cli.app.options import MIGRATIONS, FolderOption, FormatOption, VarOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.cli.db.history import concluded, loaded
from ledger.cli.db.options import OutsideLedgerOptions, TimeoutOptions, confirm_outside
from ledger.cli.db.target import DatabaseOptions, connection_of, history_of, journal_here
from ledger.errors import WrongArgument


def register(db_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        db_app,
        "resolve",
        examples=(
            "ledger db resolve 20260401120000 --applied --reason 'index is there, seen'",
            "ledger db resolve 20260401120000 --not-applied --reason 'no table of it is there'",
        ),
        needs_arguments=True,
    )(resolve)


async def resolve(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    migration: Annotated[str, typer.Argument(metavar="MIGRATION", help="Its version.")],
    applied: Annotated[
        bool | None,
        typer.Option(
            "--applied/--not-applied",
            help="What you have seen there. Required.",
            rich_help_panel=WHICH_MIGRATIONS,
        ),
    ] = None,
    folder: FolderOption = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Settle what no probe could: say that a migration is, or is not, applied in one database.

    Nothing is run. The reason, how you know, is kept in the journal. Asks only with
    --outside-ledger.
    """
    from migrations import standalone_adoption
    from migrations.model.attempt import Resolution

    if applied is None:
        raise WrongArgument("say what you have seen in the database: --applied or --not-applied")
    reason = (permission.reason or "").strip()
    if not reason:
        raise WrongArgument("say how you know with --reason; it is kept in the journal")
    settings, outside = connection_of(place), permission.granted(keeps_reason=True)
    migrations = loaded(ctx, folder, format, var)
    word = "applied" if applied else "not applied"
    confirm_outside(settings.place, f"record that {migration} is {word}", outside, yes=yes)
    outcome = await standalone_adoption.resolve(
        settings,
        migrations,
        Resolution(migration, applied, reason),
        patience.limits(ctx),
        target=await journal_here(ctx, place, history_of(ctx, folder, migrations)),
        outside=outside,
    )
    return concluded(
        outcome,
        "db.resolve",
        {"migration": migration, "applied": applied},
        f"{migration} is recorded as {word}; `ledger db up` goes on from there",
        Output(output),
    )
