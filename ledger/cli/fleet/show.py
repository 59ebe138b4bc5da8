"""`ledger fleet show`: everything that the ledger knows of one database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.app.command import command, opened, tell_behind
from ledger.cli.app.options import DatabaseArgument
from ledger.cli.app.output import Output, OutputFormat, OutputOption, moment_shown
from ledger.cli.fleet.check import release
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from ledger.service.database_report import DatabaseReport, LastLook

VERSIONS_SHOWN = 5
"""How many of its migrations people see, the newest first; the JSON forms have all."""


def register(fleet_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        fleet_app,
        "show",
        examples=("ledger fleet show acme", "ledger fleet show acme -o json"),
        needs_arguments=True,
    )(show)


async def show(
    ctx: typer.Context,
    database: DatabaseArgument,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show one database: where it is, what it has, what happened last, and what needs somebody.

    Of its password only the reference is known, and shown.
    """
    async with opened(ctx) as session:
        report = await session.ledger.databases.report(database)
        await tell_behind(session)
    form = Output(output)
    form.record("fleet.show", _for_people(report) if form.for_people else _fields(report))


def _fields(report: DatabaseReport) -> dict[str, Any]:
    record, overview = report.record, report.overview
    attempt, look = report.attempt, report.look
    return {
        "database": record.database,
        "status": record.status,
        "pool": record.pool,
        "address": _address(report),
        "connection": record.connection.model_dump(mode="json"),
        "labels": dict(record.labels),
        "registered_at": report.registered_at,
        "registered_by": report.registered_by,
        "server_version": report.server_version,
        "newest": overview.newest,
        "applied": list(report.applied),
        "missing": list(overview.missing),
        "rollout": overview.rollout,
        "last_contact_at": overview.last_contact_at,
        "last_attempt": attempt
        and {
            "at": attempt.at,
            "rollout": attempt.rollout,
            "mode": attempt.mode,
            "verdict": attempt.verdict,
            "changed": attempt.changed,
            "failure": attempt.failure,
        },
        "last_look": look
        and {
            "at": look.at,
            "reachable": look.reachable,
            "tls": look.tls,
            "journal_head": look.journal_head,
            "problem": look.problem,
            "overtaken": look.overtaken,
        },
        "notes": list(report.notes),
    }


def _for_people(report: DatabaseReport) -> dict[str, Any]:
    connection, overview = report.record.connection, report.overview
    attempt, look, now = report.attempt, report.look, SYSTEM_CLOCK.now()
    login = {"user": connection.user, "password": connection.password}
    more = {"sslmode": connection.sslmode, "role": connection.role}
    shown: dict[str, Any] = {
        "database": overview.database,
        "status": overview.status,
        "pool": overview.pool,
        "address": _address(report),
        **login,
        **{name: value for name, value in more.items() if value},
        "labels": dict(report.record.labels),
        "registered": f"{moment_shown(report.registered_at, now)} by {report.registered_by}",
        "server": release(report.server_version),
        "newest": overview.newest,
        "applied": _some(tuple(reversed(report.applied))),
        "missing": _some(overview.missing),
        "last_contact": overview.last_contact_at,
    }
    if attempt is not None:
        why = f": {attempt.failure}" if attempt.failure else ""
        what = f"{attempt.mode} in rollout {attempt.rollout}, {attempt.verdict}{why}"
        shown["last_attempt"] = f"{moment_shown(attempt.at, now)} {what}"
    else:
        shown["last_attempt"] = None
    if look is not None:
        shown["last_look"] = f"{moment_shown(look.at, now)} {_seen(overview.database, look)}"
    else:
        shown["last_look"] = None
    for number, note in enumerate(report.notes, 1):
        shown[f"note {number}"] = note
    return shown


def _seen(database: str, look: LastLook) -> str:
    """What somebody saw who looked; judged only where nothing has changed since."""
    if not look.overtaken:
        return look.problem or "nothing was wrong"
    what = look.problem or (
        f"it was reached, and its journal ended in {look.journal_head[:12]}"
        if look.journal_head
        else "it was reached, and no migration was in its journal"
    )
    again = f"`ledger fleet check -s id={database}` looks again"
    return f"{what}; that was before the last change; {again}"


def _address(report: DatabaseReport) -> str:
    target = report.record.connection.target
    schema = f", schema {target.schema}" if target.schema else ""
    return f"{target.server}/{target.database}{schema}"


def _some(versions: tuple[str, ...]) -> str:
    more = len(versions) - VERSIONS_SHOWN
    shown = ", ".join(versions[:VERSIONS_SHOWN])
    return f"{shown} and {more:,} more" if more > 0 else shown
