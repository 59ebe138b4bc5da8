"""`ledger db`: the way out, to another tool or to none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.adoption_options import DirectoryArgument
from ledger.cli.app.command import command
from ledger.cli.app.confirm import UnaskedYesOption, YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import WHICH_DATABASES, WHICH_MIGRATIONS
from ledger.cli.app.options import MIGRATIONS, FormatOption, VarOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.db.history import loaded
from ledger.cli.db.options import OutsideLedgerOptions, TimeoutOptions, said_of
from ledger.cli.db.target import DatabaseOptions, connection_of, history_of, own_journal
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from migrations.standalone_removal import KeptObjects


def register(db_app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        db_app,
        "export-history",
        examples=("ledger db export-history db/migrations --to goose",),
    )(export_history)
    command(db_app, "remove-journal", examples=("ledger db remove-journal",))(remove_journal)


async def export_history(
    ctx: typer.Context,
    place: DatabaseOptions,
    patience: TimeoutOptions,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TOOL",
            help="dbmate, goose, golang-migrate or flyway.",
            rich_help_panel=WHICH_MIGRATIONS,
        ),
    ],
    directory: DirectoryArgument = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Write another tool's history table from our journal, so that it can go on from here."""
    from ledger.cli.db.progress import Telling
    from migrations.adoption.export import export_history
    from migrations.adoption.history_tables import known_tool

    migrations = loaded(ctx, directory, format, var)
    with Telling() as telling:
        exported = await export_history(
            connection_of(place),
            migrations,
            known_tool(to),
            patience.limits(ctx),
            telling,
            target=await own_journal(ctx, place, history_of(ctx, directory, migrations)),
        )
    for note in exported.notes:
        say(f"note: {note}")
    Output(output).record(
        "db.export-history",
        {
            "tool": exported.tool,
            "table": exported.table,
            "rows": exported.rows,
            "notes": list(exported.notes),
        },
        f"{exported.table} has {exported.rows:,} rows for {exported.tool}; our journal is still "
        "there: `ledger db remove-journal` takes it away",
    )
    return ExitCode.OK


async def remove_journal(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also with backups of data migrations in it.",
            rich_help_panel=WHICH_DATABASES,
        ),
    ] = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Take our journal out of a database: its schema `migration_ledger`, and nothing else.

    Asks for the database's name. What was applied stays; that it was applied is known no more.
    """
    from ledger.cli.db.progress import Telling
    from migrations.standalone_removal import kept_in, remove_journal

    outside, settings = permission.granted(), connection_of(place)
    kept = await kept_in(settings)
    if kept is not None:
        facts = [*_losses(kept), *said_of(outside)]
        confirm(kept.database, facts, yes=yes, typed=kept.database, what="Database")
    with Telling() as telling:
        removed = await remove_journal(
            settings,
            patience.limits(ctx),
            telling,
            target=place.target_schema,
            outside=outside,
            force=force,
        )
    Output(output).record(
        "db.remove-journal",
        {"database": removed.database, "entries": removed.entries, "backups": removed.backups},
        f"{removed.database}: the journal is gone, with {removed.entries} entries",
    )
    return ExitCode.OK


def _losses(kept: KeptObjects) -> list[str]:
    """What a person must know before the journal goes."""
    facts = [
        f"drop the schema migration_ledger: {kept.entries} entries "
        f"of {number_of(kept.targets, 'target')}",
        "what was applied, when, by whom and why is known no more",
    ]
    if kept.owner:
        facts.append(f"the database belongs to the fleet of ledger {kept.owner}")
    if kept.backups:
        facts.append(f"backups of data migrations go too: {', '.join(kept.backups)}")
    return facts
