"""`ledger db check`: whether this is a good moment to apply what is pending in one database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.app.command import command, flags_of
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.options import MIGRATIONS, FolderOption, FormatOption, VarOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.cli.app.variables import loaded_here
from ledger.cli.db.target import DatabaseOptions, connection_of, history_of, own_journal
from ledger.domain.wording import failure_text

if TYPE_CHECKING:
    from migrations.model.preflight import PreflightPolicy, PreflightResult

COLUMNS = ("check", "verdict", "value", "limit", "unit", "said")


def register(db_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        db_app,
        "check",
        examples=("ledger db check", "ledger db check --database file:.url -o json"),
    )(check)


async def check(
    ctx: typer.Context,
    place: DatabaseOptions,
    folder: FolderOption = MIGRATIONS,
    format: FormatOption = None,
    var: VarOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Say whether this is a good moment to apply what is pending in one database.

    The same checks as before each database of a rollout, with the limits of the settings; nothing
    is changed. Ends with 1 where something would keep the migrations from being applied.
    """
    from migrations import standalone
    from migrations.model.attempt import Failure
    from migrations.model.preflight import blocking_results

    migrations = loaded_here(ctx, folder, format, var, psql=True)
    target = await own_journal(ctx, place, history_of(ctx, folder, migrations))
    policy = flags_of(ctx).load().settings.preflight.policy
    found = await standalone.preflight(connection_of(place), migrations, policy, target=target)
    if isinstance(found, Failure):
        return Output(output).error(failure_text(found), ExitCode.FAILED)
    blocking = blocking_results(found, policy)
    Output(output).rows(
        "db.check",
        result_rows(found, policy),
        COLUMNS,
        empty="",
        blocked=bool(blocking),
    )
    return ExitCode.FAILED if blocking else ExitCode.OK


def result_rows(
    found: Sequence[PreflightResult], policy: PreflightPolicy | None = None
) -> list[dict[str, Any]]:
    """A row for each check; with a policy, unknown says also what it counts as."""
    from migrations.model.preflight import SUBJECTS, counted

    rows = []
    for one in found:
        row: dict[str, Any] = {
            "check": one.check,
            "verdict": one.verdict,
            "value": one.value,
            "limit": one.limit,
            "unit": SUBJECTS[one.check].unit,
            "said": one.said,
        }
        if policy is not None:
            row["counts_as"] = counted(one, policy)
        rows.append(row)
    return rows
