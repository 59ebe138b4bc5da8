"""`ledger db drop-backups`, and how backups of data migrations are shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import command
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.cli.db.options import OutsideLedgerOptions, TimeoutOptions, said_of
from ledger.cli.db.target import DatabaseOptions, connection_of, journal_here
from ledger.domain.wording import failure_text
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from migrations.model.attempt import Backup

_COLUMNS = ("migration", "table", "source", "columns", "made_at", "keep_until", "bytes")
_DAY_S = 86_400
_HOUR_S = 3600
_KILO = 1024


def register(db_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        db_app,
        "drop-backups",
        examples=("ledger db drop-backups", "ledger db drop-backups 20260107090000 --yes"),
    )(drop_backups)


async def drop_backups(
    ctx: typer.Context,
    place: DatabaseOptions,
    permission: OutsideLedgerOptions,
    patience: TimeoutOptions,
    versions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VERSION]...",
            help="Whose backups go; all, if none is named.",
            autocompletion=completion.local_versions,
        ),
    ] = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Drop what data migrations have saved in one database; they cannot be undone afterwards.

    A backup of a migration that is half done stays. The journal keeps that it was dropped.
    """
    from migrations.backup_removal import drop_backups as dropped

    settings, outside = connection_of(place), permission.granted()
    which = f"of {', '.join(versions)}" if versions else "of every migration that is done"
    facts = [f"drop the backups {which}", *said_of(outside)]
    confirm(settings.place, facts, yes=yes, what="Database")
    gone, outcome = await dropped(
        settings,
        versions or (),
        patience.limits(ctx),
        target=await journal_here(ctx, place),
        outside=outside,
    )
    Output(output).rows(
        "db.drop-backups", backup_rows(gone), _COLUMNS, empty="No backup was dropped."
    )
    if outcome.failure is None:
        return ExitCode.OK
    code = ExitCode.REFUSED if outcome.verdict == "refused" else ExitCode.FAILED
    return Output(output).error(failure_text(outcome.failure), code)


def backup_rows(backups: Iterable[Backup]) -> list[dict[str, Any]]:
    """Backups as data."""
    return [
        {
            "migration": one.version,
            "table": one.table,
            "source": one.source,
            "columns": ", ".join(one.columns),
            "made_at": one.made_at,
            "keep_until": one.keep_until,
            "bytes": one.bytes,
        }
        for one in backups
    ]


def backup_text(one: Backup) -> str:
    """One backup in a line: whose it is, how old and how large."""
    until = (
        f"kept until {one.keep_until:%Y-%m-%d}" if one.keep_until else "kept until it is dropped"
    )
    return (
        f"backup of {one.version}: {one.table} ({', '.join(one.columns)} of {one.source}), "
        f"{_age(one.made_at)} old, {_size(one.bytes)}, {until}"
    )


def _age(since: datetime) -> str:
    seconds = (SYSTEM_CLOCK.now() - since).total_seconds()
    if seconds >= _DAY_S:
        return f"{seconds / _DAY_S:.0f} d"
    return f"{seconds / _HOUR_S:.0f} h" if seconds >= _HOUR_S else f"{seconds / 60:.0f} min"


def _size(count: int) -> str:
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < _KILO:
            break
        amount, unit = amount / _KILO, larger
    return f"{amount:.0f} {unit}"
