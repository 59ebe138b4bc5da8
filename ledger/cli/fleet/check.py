"""`ledger fleet check`: agents try every database, read-only, and the answers are tabulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.local_work import at_work
from ledger.cli.app.options import ReasonOptions, SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.db.backups import backup_rows, backup_text
from ledger.cli.fleet.status import say_unsigned

if TYPE_CHECKING:
    from ledger.service.fleet import CheckRow
    from migrations.model.attempt import Rights

PATIENCE_S = 60.0
"""How long agents may take before the command shows what it has."""
COLUMNS = ("database", "pool", "reachable", "tls", "server", "rights", "identity", "problem")


def register(fleet_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        fleet_app,
        "check",
        examples=("ledger fleet check", "ledger fleet check --select pool=eu -o json"),
    )(check)


async def check(
    ctx: typer.Context,
    why: ReasonOptions,
    select: SelectOption = "",
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.0, help="Show what came until then."),
    ] = PATIENCE_S,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Look at every database: reachable, TLS, rights, server version, identity, journal.

    Says also which are the same database under two addresses, are not the ones that the ledger
    knows, or lost migrations. Nothing is changed in them. Agents do the looking, for only they
    hold the passwords.
    """
    from ledger.domain.waiting import TAKE_OVER
    from ledger.domain.wording import number_of
    from migrations.printable import escaped

    async with opened(ctx) as session:
        check_id = await session.ledger.fleet.check(select, why.asked())
        async with at_work(session):
            if not await session.ledger.leader():
                say("Nobody leads, so nobody looks until `ledger serve` runs.")
                return ExitCode.NO_LEADER
            result = await session.ledger.checks.answers(check_id, timeout)
            leader = await session.ledger.leader()
        wrong = await session.ledger.checks.problems(result)
        unsigned = await session.ledger.lookout.unsigned()
    rows = [_row(row, wrong.get(row.database)) for row in result.rows]
    form = Output(output)
    if limit := form.at_most(None):
        # Of a large fleet people see those first that need them.
        shown = sorted(rows, key=_is_fine)[:limit] if len(rows) > limit else rows
    else:
        shown = rows
    form.rows("fleet.check", shown, COLUMNS, empty="No database matches.", finished=result.finished)
    form.tell_left_out(len(shown), len(rows))
    say_unsigned(unsigned)
    for row in result.rows:
        for backup in row.look.answer.backups if row.look.answer else ():
            say(f"{row.database}: {backup_text(backup)}")
        for warning in row.look.answer.warnings if row.look.answer else ():
            say(f"{row.database}: warning: {escaped(warning)}")
    if not result.finished and leader is not None and leader.is_silent:
        say(f"{leader.name} leads and {leader.silence}; `{TAKE_OVER}` leads in its place.")
        return ExitCode.TIMEOUT
    if not result.finished:
        waiting = sum(row["reachable"] is None for row in rows)
        silent = number_of(waiting, "database")
        say(f"{silent} did not answer; does `ledger-agent run` work in that pool?")
        return ExitCode.TIMEOUT
    fine = all(map(_is_fine, rows))
    return ExitCode.OK if fine else ExitCode.FAILED


def _is_fine(row: Mapping[str, Any]) -> bool:
    return bool(row["reachable"]) and not row["problem"]


def _row(row: CheckRow, problem: str | None) -> dict[str, Any]:
    answer = row.look.answer
    if answer is None:
        return {"database": row.database, "pool": row.pool, "reachable": None}
    return {
        "database": row.database,
        "pool": row.pool,
        "reachable": answer.reachable,
        "tls": answer.tls,
        "server": _release(answer.server_version),
        "server_version": answer.server_version,
        "standby": answer.in_recovery,
        "rights": _rights(answer.rights, row.role),
        "identity": answer.identity.system_identifier if answer.identity else None,
        "uuid": answer.identity.uuid if answer.identity else None,
        "journal_head": answer.journal_head,
        "owner": answer.owner,
        "backups": backup_rows(answer.backups),
        "warnings": list(answer.warnings),
        "problem": problem,
    }


def _release(version: int | None) -> str | None:
    """PostgreSQL's `server_version_num` as people write it: 180006 is 18.6."""
    return None if version is None else f"{version // 10_000}.{version % 10_000}"


def _rights(rights: Rights | None, role: str | None) -> str | None:
    """What the user of the migrations may do there, in a word or two."""
    from ledger.domain.check_results import lacking

    if rights is None:
        return None
    if missing := lacking(rights, role):
        return f"lacks {' and '.join(missing)}"
    if rights.superuser:
        return "superuser"
    return "too many" if rights.create_role or rights.reaches else "enough"
