"""`ledger fleet check`: agents try every database, read-only, and the answers are tabulated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import WHICH_DATABASES
from ledger.cli.app.local_work import NOBODY_LOOKS, at_work, say_heard
from ledger.cli.app.options import AllOption, ReasonOptions, SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.db.backups import backup_rows, backup_text
from ledger.cli.fleet.groups import SHOWN, names, show_checks
from ledger.cli.fleet.status import say_unsigned

if TYPE_CHECKING:
    from ledger.service.check_rows import CheckResult, CheckRow
    from migrations.model.attempt import Backup, Rights

PATIENCE_S = 60.0
"""How long agents may take before the command shows what it has."""
ASIDES_SHOWN = 5
COLUMNS = ("database", "pool", "reachable", "tls", "server", "rights", "identity", "problem")


PatienceOption = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0.0, help="Show what came until then."),
]


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
    timeout: PatienceOption = PATIENCE_S,
    every: AllOption = False,
    problems: Annotated[
        bool,
        typer.Option(
            "--problems",
            help="List those with which something is wrong.",
            rich_help_panel=WHICH_DATABASES,
        ),
    ] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Look at every database: reachable, TLS, rights, server version, identity, journal.

    Says also which are the same database under two addresses, are not the ones that the ledger
    knows, or lost migrations. Nothing is changed in them. Agents do the looking, for only they
    hold the passwords. Of more than 50, problems are told by cause and the rest is counted;
    `--problems` and `--all` list them.
    """
    from ledger.domain.waiting import TAKE_OVER
    from ledger.domain.wording import number_of

    async with opened(ctx) as session:
        check_id = await session.ledger.fleet.check(select, why.asked())
        async with at_work(session) as cut_short:
            if not await session.ledger.leader():
                return Output(output).error(NOBODY_LOOKS, ExitCode.NO_LEADER)
            result = await session.ledger.checks.answers(check_id, timeout, say_heard)
            if not result.finished:
                cut_short()
            leader = await session.ledger.leader()
        wrong = await session.ledger.checks.problems(result)
        unsigned = await session.ledger.lookout.unsigned()
    form, seen, large = Output(output), _Seen(), len(result.rows) > SHOWN
    rows: Iterable[dict[str, Any]] = seen.all(result, wrong)
    if form.for_people and large and not (every or problems):
        show_checks(rows, form)
    else:
        if form.for_people:
            # Those first that need somebody.
            rows = [row for row in sorted(rows, key=_is_fine) if not (problems and _is_fine(row))]
        nothing = "Nothing is wrong with any of them." if problems else "No database matches."
        form.rows("fleet.check", rows, COLUMNS, empty=nothing, finished=result.finished)
    say_unsigned(unsigned)
    _tell_asides(seen, everything=every or not large)
    if not result.finished and leader is not None and leader.is_silent:
        return form.error(
            f"{leader.name} leads and {leader.silence}; `{TAKE_OVER}` leads in its place",
            ExitCode.TIMEOUT,
        )
    if not result.finished:
        silent = number_of(seen.silent, "database")
        return form.error(
            f"{silent} did not answer; does `ledger-agent run` work in that pool?",
            ExitCode.TIMEOUT,
        )
    return ExitCode.OK if seen.fine == seen.number else ExitCode.FAILED


class _Seen:
    """Counts the databases of a check while they are written: a large fleet's are not kept."""

    def __init__(self) -> None:
        self.number = self.fine = self.silent = 0
        self.backups: list[tuple[str, Backup]] = []
        self.warnings: list[tuple[str, str]] = []

    def all(self, result: CheckResult, wrong: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """A row for each, with what is wrong there."""
        for row in result.rows:
            line = _row(row, wrong.get(row.database))
            self.number += 1
            self.fine += _is_fine(line)
            self.silent += line["reachable"] is None
            for backup in row.answer.backups if row.answer else ():
                self.backups.append((row.database, backup))
            for warning in row.answer.warnings if row.answer else ():
                self.warnings.append((row.database, warning))
            yield line


def _tell_asides(seen: _Seen, *, everything: bool) -> None:
    """What data migrations have saved, and warnings; in a large fleet only how many there are."""
    from migrations.printable import escaped

    if everything or len(seen.backups) <= ASIDES_SHOWN:
        for name, backup in seen.backups:
            say(f"{name}: {backup_text(backup)}")
    else:
        due = sum(one.due for _, one in seen.backups)
        number = f"{len(seen.backups):,} backups of data migrations"
        say(f"{number}, {due:,} past their period; `--all` lists them")
    warnings: dict[str, list[str]] = {}
    for name, warning in seen.warnings:
        warnings.setdefault(warning, []).append(name)
    for warning, held in warnings.items():
        shown = held if everything else held[:ASIDES_SHOWN]
        say(f"{names(shown, len(held))}: warning: {escaped(warning)}")


def _is_fine(row: Mapping[str, Any]) -> bool:
    return bool(row["reachable"]) and not row["problem"]


def _row(row: CheckRow, problem: str | None) -> dict[str, Any]:
    answer = row.answer
    if answer is None:
        return {"database": row.database, "pool": row.pool, "reachable": None}
    return {
        "database": row.database,
        "pool": row.pool,
        "reachable": answer.reachable,
        "tls": answer.tls,
        "server": release(answer.server_version),
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


def release(version: int | None) -> str | None:
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
