"""`ledger db`: one database, without a ledger, for development."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from ledger.cli.app.code_option import CodeOption, ShellOption, languages
from ledger.cli.app.command import command
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.options import (
    MIGRATIONS,
    FolderOption,
    FormatOption,
    OutOfOrderOption,
    PhaseOption,
    VarOption,
)
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.variables import loaded_here
from ledger.cli.db import backups, catalog, check, export, history, resolve, shapes
from ledger.cli.db.options import OutsideLedgerOptions, TimeoutOptions, confirm_outside, said_of
from ledger.cli.db.target import (
    DatabaseOptions,
    connection_of,
    history_of,
    journal_here,
    own_journal,
)
from ledger.domain.wording import failure_text, number_of

if TYPE_CHECKING:
    from migrations.model.attempt import Verdict
    from migrations.model.work import Outcome, StepOutcome

db_app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="One database without a ledger, for development. The journal in it is the same.",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    history.register(db_app)
    resolve.register(db_app)
    export.register(db_app)
    backups.register(db_app)
    catalog.register(db_app)
    check.register(db_app)
    shapes.register(db_app)
    app.add_typer(db_app, name="db", rich_help_panel="Set-up")


@command(
    db_app,
    "up",
    examples=(
        "ledger db up",
        "ledger db up --database file:.database_url --folder db/migrations",
        "ledger db up --outside-ledger --reason 'hotfix during an outage'",
    ),
)
async def up(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    folder: FolderOption = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    phase: PhaseOption = None,
    allow_code: CodeOption = False,
    allow_shell: ShellOption = False,
    out_of_order: OutOfOrderOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Apply every migration of the folder that one database does not have yet.

    Asks only with --outside-ledger: then the database is one of a fleet.
    """
    from ledger.cli.db.progress import Telling, say_held_back
    from migrations import standalone
    from migrations.model.phases import LAST_BY_DEFAULT, Phase, through

    outside, limits = permission.granted(), patience.limits(ctx)
    last = Phase(phase) if phase else LAST_BY_DEFAULT
    whole = loaded_here(ctx, folder, format, var, psql=allow_code)
    migrations, held = through(whole, last)
    settings, history_here = connection_of(place), history_of(ctx, folder, whole)
    confirm_outside(settings.place, "apply what it does not have yet", outside, yes=yes)
    target = await journal_here(ctx, place, history_here)
    with Telling() as telling:
        outcome = await standalone.up(
            settings,
            migrations,
            limits,
            telling,
            target=target,
            folder=history_here,
            outside=outside,
            programs=languages(allow_code),
            psql_shell=allow_shell,
            out_of_order=out_of_order,
        )
    await say_held_back(place, held, target)
    return _conclude(outcome, "db.up", Output(output))


@command(db_app, "down", examples=("ledger db down", "ledger db down 2 --yes"))
async def down(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    steps: Annotated[
        int, typer.Argument(metavar="[N]", min=1, help="How many migrations to take back.")
    ] = 1,
    folder: FolderOption = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    allow_code: CodeOption = False,
    allow_shell: ShellOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Take the newest N migrations of the folder back in one database."""
    from ledger.cli.db.progress import Telling
    from migrations import standalone

    outside, limits = permission.granted(), patience.limits(ctx)
    migrations = loaded_here(ctx, folder, format, var, psql=allow_code)
    settings, history_here = connection_of(place), history_of(ctx, folder, migrations)
    facts = [f"take {number_of(steps, 'migration')} back", *said_of(outside)]
    confirm(settings.place, facts, yes=yes, what="Database")
    with Telling() as telling:
        outcome = await standalone.down(
            settings,
            migrations,
            limits,
            telling,
            count=steps,
            target=await journal_here(ctx, place, history_here),
            folder=history_here,
            outside=outside,
            programs=languages(allow_code),
            psql_shell=allow_shell,
        )
    return _conclude(outcome, "db.down", Output(output))


@command(db_app, "status", examples=("ledger db status", "ledger db status -o json"))
async def status(
    ctx: typer.Context,
    place: DatabaseOptions,
    folder: FolderOption = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Show how each migration of the folder stands in one database; nothing is changed."""
    from migrations import standalone

    # Looking at a script runs nothing.
    migrations = loaded_here(ctx, folder, format, var, psql=True)
    history_here = history_of(ctx, folder, migrations)
    target = await journal_here(ctx, place, history_here)
    found = await standalone.status(
        connection_of(place), migrations, target=target, folder=history_here
    )
    if found.failure is not None:
        return Output(output).error(failure_text(found.failure), ExitCode.FAILED)
    if found.owner:
        say(f"This database belongs to the fleet of ledger {found.owner}.")
    Output(output).rows(
        "db.status",
        [
            {
                "migration": line.version,
                "name": line.name,
                "standing": line.standing,
                "at": line.at,
                "rollout": line.rollout,
                "note": line.note,
                "problem": line.problem,
            }
            for line in found.lines
        ],
        ("migration", "name", "standing", "at", "note"),
        empty="There is no migration.",
        owner=found.owner or None,
        backups=backups.backup_rows(found.backups),
        in_use=found.in_use or None,
        warnings=list(found.warnings),
    )
    if found.in_use:
        say(found.in_use)
    for warning in found.warnings:
        say(f"warning: {warning}")
    for backup in found.backups:
        say(backups.backup_text(backup))
    for line in found.lines:
        if line.problem:
            say(f"{line.version}: {line.problem}")
    return ExitCode.OK


@command(db_app, "verify", examples=("ledger db verify",))
async def verify(
    ctx: typer.Context,
    place: DatabaseOptions,
    folder: FolderOption = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    allow_code: CodeOption = False,
    allow_shell: ShellOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Run the Verify sections of what is applied in one database; nothing of it stays.

    Verify scripts for psql are run by psql, with --allow-code.

    A migration that a later one builds upon may rightly fail its check; so may the earlier phases
    of a change whose contract is applied, which are not asked.
    """
    from migrations import standalone

    migrations = loaded_here(ctx, folder, format, var, psql=True)
    target = await own_journal(ctx, place, history_of(ctx, folder, migrations))
    found = await standalone.verify(
        connection_of(place),
        migrations,
        target=target,
        programs=languages(allow_code),
        psql_shell=allow_shell,
    )
    Output(output).rows(
        "db.verify",
        [
            {
                "migration": one.version,
                "name": one.name,
                "checks": one.checks,
                "holds": one.failure is None,
                "problem": failure_text(one.failure) if one.failure else None,
            }
            for one in found
        ],
        ("migration", "name", "checks", "holds", "problem"),
        empty="No applied migration has a Verify section.",
    )
    return ExitCode.OK if all(one.failure is None for one in found) else ExitCode.FAILED


_NOTHING = {
    "done": "Nothing to do.",
    "refused": "Nothing was tried.",
    "failed": "Nothing was finished.",
    "expired": "Nothing was tried.",
    "cancelled": "Nothing was finished.",
}
"""What there is to say without a step, by verdict."""


def _conclude(outcome: Outcome, kind: str, output: Output) -> ExitCode:
    """Write the steps as data, say what failed, and find the exit code."""
    failure = outcome.failure
    output.rows(
        kind,
        _steps(outcome.steps),
        ("migration", "direction", "result", "duration_ms", "note", "problem"),
        empty=_NOTHING[outcome.verdict.value],
        verdict=outcome.verdict,
        failure=failure_text(failure) if failure else None,
    )
    code = _code(outcome.verdict)
    return output.error(failure_text(failure), code) if failure is not None else code


def _steps(steps: Sequence[StepOutcome]) -> list[dict[str, Any]]:
    return [
        {
            "migration": step.version,
            "direction": step.direction,
            "result": step.result,
            "duration_ms": step.duration_ms,
            "statements": step.statements,
            "note": step.note,
            "problem": failure_text(step.failure) if step.failure else None,
        }
        for step in steps
    ]


def _code(verdict: Verdict) -> ExitCode:
    from migrations.model.attempt import Verdict

    match verdict:
        case Verdict.DONE:
            return ExitCode.OK
        case Verdict.FAILED:
            return ExitCode.FAILED
        case Verdict.REFUSED | Verdict.EXPIRED | Verdict.CANCELLED:
            return ExitCode.REFUSED
        case _:
            assert_never(verdict)
