"""`ledger db`: coming from another tool with one database, and repairing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.adoption_options import DirectoryArgument, Source, ThroughOption, match_rows
from ledger.cli.app.command import command
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import OUTPUT, WHICH_MIGRATIONS
from ledger.cli.app.options import MIGRATIONS, FormatOption, VarOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.variables import loaded_here
from ledger.cli.db.options import OutsideLedgerOptions, TimeoutOptions, confirm_outside, said_of
from ledger.cli.db.target import DatabaseOptions, connection_of, history_of, own_journal
from ledger.domain.wording import failure_text, number_of
from ledger.errors import WrongArgument
from migrations.model.attempt import FailureClass

if TYPE_CHECKING:
    from migrations.model.attempt import Adoption
    from migrations.model.migration import Migration
    from migrations.model.work import Outcome

DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show the match; needs SELECT on that table and no more.",
        rich_help_panel=OUTPUT,
    ),
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


async def adopt(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    source: Source,
    directory: DirectoryArgument = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Take over what another tool has applied to one database, without running anything.

    Reads that tool's own table, matches it with the folder, and writes our journal. When somebody
    uses the other tool afterwards, this database refuses to go on and says so.
    """
    from migrations.model.attempt import Adoption

    source.refuse_nameless()
    adoption = Adoption(source.from_, source.through, source.table, source.accept_missing)
    return await _adopt(
        ctx, place, permission, patience, adoption, directory,
        loaded(ctx, directory, format, var), dry_run=dry_run, yes=yes, output=Output(output),
    )  # fmt: skip


async def baseline(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    through: ThroughOption = "",
    directory: DirectoryArgument = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Mark everything up to a version as applied in a database without any history.

    Nothing is run, and nobody checks: you say that the schema is there.
    """
    from migrations.model.attempt import Adoption
    from migrations.model.work import BASELINE

    if not through:
        raise WrongArgument("say up to which migration with --through VERSION")
    adoption = Adoption(BASELINE, through)
    return await _adopt(
        ctx, place, permission, patience, adoption, directory,
        loaded(ctx, directory, format, var), dry_run=dry_run, yes=yes, output=Output(output),
    )  # fmt: skip


async def repair(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION", help="Which migration.", autocompletion=completion.local_versions
        ),
    ],
    accept_changed: Annotated[
        bool,
        typer.Option(
            "--accept-changed",
            help="Take the text that the file has now.",
            rich_help_panel=WHICH_MIGRATIONS,
        ),
    ] = False,
    gone: Annotated[
        bool,
        typer.Option(
            "--gone",
            help="Accept that its file is not in the folder any more.",
            rich_help_panel=WHICH_MIGRATIONS,
        ),
    ] = False,
    directory: DirectoryArgument = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Accept, in one database, that an applied migration's file has changed or is gone.

    Nothing is run. The reason is kept in the journal. Asks only with --outside-ledger.
    """
    from migrations import standalone_adoption

    if accept_changed is gone:
        raise WrongArgument("say what to accept: --accept-changed or --gone")
    if not (permission.reason or "").strip():
        raise WrongArgument("say why with --reason; it is kept in the journal")
    ways = (standalone_adoption.accept_gone, standalone_adoption.accept_changed)
    accept = ways[accept_changed]
    what = "its file as it is now" if accept_changed else "that its file is gone"
    settings, outside = connection_of(place), permission.granted(keeps_reason=True)
    migrations = loaded(ctx, directory, format, var)
    confirm_outside(settings.place, f"accept of {version} {what}", outside, yes=yes)
    outcome = await accept(
        settings,
        migrations,
        version,
        permission.reason or "",
        patience.limits(ctx),
        target=await own_journal(ctx, place, history_of(ctx, directory, migrations)),
        outside=outside,
    )
    return concluded(outcome, "db.repair", {"version": version}, f"{version}: accepted {what}",
                      Output(output))  # fmt: skip


def loaded(
    ctx: typer.Context, directory: Path, format: str | None, var: Sequence[str] | None
) -> tuple[Migration, ...]:
    """The migrations of a folder, psql scripts too: nothing is run. Raises LoadError."""
    return loaded_here(ctx, directory, format, var, psql=True)


async def _adopt(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    adoption: Adoption,
    directory: Path,
    migrations: tuple[Migration, ...],
    *,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> ExitCode:
    """Look, show, ask, adopt."""
    from migrations import standalone_adoption

    outside, limits, settings = permission.granted(), patience.limits(ctx), connection_of(place)
    target = await own_journal(ctx, place, history_of(ctx, directory, migrations))
    found = await standalone_adoption.preview(settings, migrations, adoption, target=target)
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
        return output.error(found.match.problem, ExitCode.REFUSED)
    if dry_run:
        say("Nothing was written.")
        return ExitCode.OK
    count = len({one.version for one in found.match.taken} - found.known)
    facts = f"mark {number_of(count, 'migration')} as applied; nothing is run"
    confirm(
        settings.place,
        [facts, *said_of(outside)],
        yes=yes,
        what="Database",
    )
    outcome = await standalone_adoption.adopt(
        settings, migrations, adoption, limits, target=target, outside=outside
    )
    adopted = outcome.adopted
    if adopted is None:
        return _failed(outcome, output)
    say(f"{len(adopted.taken):,} taken over, {len(adopted.released):,} let go of")
    return ExitCode.OK


def concluded(
    outcome: Outcome, kind: str, data: dict[str, Any], said: str, output: Output
) -> ExitCode:
    """Write what was recorded, or say why it was not, and find the exit code."""
    if outcome.failure is not None:
        return _failed(outcome, output)
    output.record(kind, data, said)
    return ExitCode.OK


def _failed(outcome: Outcome, output: Output) -> ExitCode:
    from migrations.model.attempt import Verdict

    refused = outcome.verdict is Verdict.REFUSED or (
        outcome.failure is not None and outcome.failure.kind == FailureClass.ADOPTION
    )
    code = ExitCode.REFUSED if refused else ExitCode.FAILED
    if outcome.failure is None:
        return code
    return output.error(failure_text(outcome.failure), code)
