"""`ledger db`: coming from another tool with one database, going back, and repairing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.adopting import DirectoryArgument, Source, ThroughOption, match_rows
from ledger.cli.asking import YesOption, confirm
from ledger.cli.db_options import Patience, Permission
from ledger.cli.db_target import Place, connection_of, described
from ledger.cli.exits import ExitCode
from ledger.cli.options import MIGRATIONS, DialectOption
from ledger.cli.output import Format, FormatOption, Output, say
from ledger.cli.running import command
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from migrations.migration import Migration
    from migrations.work import Adoption, Outcome

DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the match; needs SELECT on that table and no more."),
]


def register(db_app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        db_app,
        "adopt",
        examples=(
            "ledger db adopt db/migrations --dry-run",
            "ledger db adopt db/migrations --from goose",
            "ledger db adopt db/migrations --from alembic --through 20260401120000",
        ),
    )(adopt)
    command(
        db_app,
        "baseline",
        examples=("ledger db baseline db/migrations --through 20260401120000",),
    )(baseline)
    command(
        db_app,
        "repair",
        examples=(
            "ledger db repair 20260401120000 --accept-changed --reason 'only a comment changed'",
            "ledger db repair 20250101000000 --gone --reason 'squashed into the baseline'",
        ),
        needs_arguments=True,
    )(repair)
    command(
        db_app,
        "export-history",
        examples=("ledger db export-history db/migrations --to goose",),
    )(export_history)
    command(db_app, "remove-journal", examples=("ledger db remove-journal",))(remove_journal)


async def adopt(
    ctx: typer.Context,
    place: Place,
    permission: Permission,
    patience: Patience,
    source: Source,
    directory: DirectoryArgument = MIGRATIONS,
    dialect: DialectOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: FormatOption = Format.TABLE,
) -> ExitCode:
    """Take over what another tool has applied to one database, without running anything.

    Reads that tool's own table, matches it with the folder, and writes our journal. When somebody
    uses the other tool afterwards, this database refuses to go on and says so.
    """
    from migrations.work import Adoption

    adoption = Adoption(source.from_, source.through, source.table, source.accept_missing)
    return await _adopt(
        ctx, place, permission, patience, adoption,
        loaded(directory, dialect), dry_run=dry_run, yes=yes, output=Output(output),
    )  # fmt: skip


async def baseline(
    ctx: typer.Context,
    place: Place,
    permission: Permission,
    patience: Patience,
    through: ThroughOption = "",
    directory: DirectoryArgument = MIGRATIONS,
    dialect: DialectOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: FormatOption = Format.TABLE,
) -> ExitCode:
    """Mark everything up to a version as applied in a database without any history.

    Nothing is run, and nobody checks: you say that the schema is there.
    """
    from migrations.work import BASELINE, Adoption

    if not through:
        raise WrongArgument("say up to which migration with --through VERSION")
    adoption = Adoption(BASELINE, through)
    return await _adopt(
        ctx, place, permission, patience, adoption,
        loaded(directory, dialect), dry_run=dry_run, yes=yes, output=Output(output),
    )  # fmt: skip


async def repair(
    ctx: typer.Context,
    place: Place,
    permission: Permission,
    patience: Patience,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Which migration.")],
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="Take the text that the file has now.")
    ] = False,
    gone: Annotated[
        bool, typer.Option("--gone", help="Accept that its file is not in the folder any more.")
    ] = False,
    directory: DirectoryArgument = MIGRATIONS,
    dialect: DialectOption = None,
    output: FormatOption = Format.TABLE,
) -> ExitCode:
    """Accept, in one database, that an applied migration's file has changed or is gone.

    Nothing is run. The reason is kept in the journal.
    """
    from migrations.adoption import alone

    if accept_changed is gone:
        raise WrongArgument("say what to accept: --accept-changed or --gone")
    if not (permission.reason or "").strip():
        raise WrongArgument("say why with --reason; it is kept in the journal")
    accept = alone.accept_changed if accept_changed else alone.accept_gone
    outcome = await accept(
        connection_of(place),
        loaded(directory, dialect),
        version,
        permission.reason or "",
        patience.limits(ctx),
        target=place.schema,
        outside=permission.granted(),
    )
    what = "its file as it is now" if accept_changed else "that its file is gone"
    return _concluded(outcome, "db.repair", {"version": version}, f"{version}: accepted {what}",
                      Output(output))  # fmt: skip


async def export_history(
    ctx: typer.Context,
    place: Place,
    patience: Patience,
    to: Annotated[
        str,
        typer.Option("--to", metavar="TOOL", help="dbmate, goose, golang-migrate or flyway."),
    ],
    directory: DirectoryArgument = MIGRATIONS,
    dialect: DialectOption = None,
    output: FormatOption = Format.TABLE,
) -> ExitCode:
    """Write another tool's history table from our journal, so that it can go on from here."""
    from ledger.cli.db_telling import Telling
    from migrations.adoption.exporting import export_history
    from migrations.adoption.reading import known_tool

    exported = await export_history(
        connection_of(place),
        loaded(directory, dialect),
        known_tool(to),
        patience.limits(ctx),
        Telling(),
        target=place.schema,
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
        f"{exported.table} has {exported.rows} rows for {exported.tool}; our journal is still "
        "there: `ledger db remove-journal` takes it away",
    )
    return ExitCode.OK


async def remove_journal(
    ctx: typer.Context,
    place: Place,
    permission: Permission,
    patience: Patience,
    force: Annotated[
        bool, typer.Option("--force", help="Also with backups of data migrations in it.")
    ] = False,
    yes: YesOption = False,
    output: FormatOption = Format.TABLE,
) -> ExitCode:
    """Take our journal out of a database: its schema `migration_ledger`, and nothing else.

    Asks for the database's name. What was applied stays; that it was applied is known no more.
    """
    from ledger.cli.db_telling import Telling
    from migrations.adoption.removing import kept_in, remove_journal

    outside, settings = permission.granted(), connection_of(place)
    kept = await kept_in(settings)
    if kept is not None:
        confirm(kept.database, _losses(kept), yes=yes, typed=True, what="Database")
    removed = await remove_journal(
        settings,
        patience.limits(ctx),
        Telling(),
        target=place.schema,
        outside=outside,
        force=force,
    )
    Output(output).record(
        "db.remove-journal",
        {"database": removed.database, "entries": removed.entries, "backups": removed.backups},
        f"{removed.database}: the journal is gone, with {removed.entries} entries",
    )
    return ExitCode.OK


def loaded(directory: Any, dialect: str | None) -> tuple[Migration, ...]:
    """The migrations of a folder. Raises LoadError."""
    from migrations.bundle import load_folder

    return load_folder(directory, dialect).migrations


async def _adopt(
    ctx: typer.Context,
    place: Place,
    permission: Permission,
    patience: Patience,
    adoption: Adoption,
    migrations: tuple[Migration, ...],
    *,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> ExitCode:
    """Look, show, ask, adopt."""
    from migrations.adoption import alone

    outside, limits, settings = permission.granted(), patience.limits(ctx), connection_of(place)
    found = await alone.preview(settings, migrations, adoption, target=place.schema)
    table = found.history.table if found.history else None
    if table:
        say(f"{table} is the history of {found.history.tool if found.history else ''}")
    for note in found.match.notes:
        say(f"note: {note}")
    output.rows(
        "db.adopt",
        match_rows(found.match, found.known),
        ("migration", "name", "standing"),
        empty="There is nothing to take over.",
        table=table,
        dry_run=dry_run,
        problem=found.match.problem or None,
        notes=list(found.match.notes),
    )
    if found.match.problem:
        say(f"ledger: {found.match.problem}")
        return ExitCode.REFUSED
    if dry_run:
        say("Nothing was written.")
        return ExitCode.OK
    count = len(found.match.taken)
    confirm(
        settings.place,
        [f"mark {count} migrations as applied; nothing is run"],
        yes=yes,
        what="Database",
    )
    outcome = await alone.adopt(
        settings, migrations, adoption, limits, target=place.schema, outside=outside
    )
    adopted = outcome.adopted
    if adopted is None:
        return _failed(outcome)
    say(f"{len(adopted.taken)} taken over, {len(adopted.released)} let go of")
    return ExitCode.OK


def _losses(kept: Any) -> list[str]:
    """What a person must know before the journal goes."""
    facts = [
        f"drop the schema migration_ledger: {kept.entries} entries of {kept.targets} targets",
        "what was applied, when, by whom and why is known no more",
    ]
    if kept.owner:
        facts.append(f"the database belongs to the fleet of ledger {kept.owner}")
    if kept.backups:
        facts.append(f"backups of data migrations go too: {', '.join(kept.backups)}")
    return facts


def _concluded(
    outcome: Outcome, kind: str, data: dict[str, Any], said: str, output: Output
) -> ExitCode:
    if outcome.failure is not None:
        return _failed(outcome)
    output.record(kind, data, said)
    return ExitCode.OK


def _failed(outcome: Outcome) -> ExitCode:
    from migrations.work import Verdict

    if outcome.failure is not None:
        say(f"ledger: {described(outcome.failure)}")
    refused = outcome.verdict is Verdict.REFUSED or (
        outcome.failure is not None and outcome.failure.kind == "adoption"
    )
    return ExitCode.REFUSED if refused else ExitCode.FAILED
