"""What is in a database that is taken as it is: its journal is read, and that is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.command import Session
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import OUTPUT, TIMEOUTS
from ledger.cli.app.local_work import at_work
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.output import Output
from ledger.cli.fleet.check import PATIENCE_S

if TYPE_CHECKING:
    from ledger.service.check_rows import JournalReading


@dataclass(frozen=True, slots=True)
class ReadingOptions(OptionGroup):
    """Whether to wait until the journal was read, and how long."""

    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="Wait until its journal was read, or only record it.",
            rich_help_panel=OUTPUT,
        ),
    ] = True
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.0,
            help="Wait so long at most; it is read later, too.",
            rich_help_panel=TIMEOUTS,
        ),
    ] = PATIENCE_S


async def tell_reading(
    session: Session,
    check: str,
    database: str,
    reading: ReadingOptions,
    output: Output,
    *,
    kind: str,
    done: str,
) -> ExitCode:
    """Wait for the look at a database that was `done` something with, and say what it found."""
    from ledger.domain.wording import reads_journal

    later = f"an agent reads its journal as soon as somebody leads; {reads_journal(database)}"
    if not reading.wait:
        output.record(kind, {"database": database}, f"{database}: {done}; {later}")
        return ExitCode.OK
    async with at_work(session) as cut_short:
        if not await session.ledger.leader():
            output.record(kind, {"database": database}, f"{database}: {done}; {later}")
            return output.error("nobody leads, so its journal is not read", ExitCode.NO_LEADER)
        found = await session.ledger.checks.reading(check, reading.timeout)
        if not found.finished:
            cut_short()
    fields = {
        "database": database,
        "read": found.finished,
        "in_force": found.in_force if found.finished else None,
        "lost": list(found.lost),
        "problem": found.problem,
    }
    output.record(kind, fields, f"{database}: {done}; {_said(database, found)}")
    if found.finished:
        return ExitCode.OK
    return ExitCode.FAILED if found.problem else ExitCode.TIMEOUT


def _said(database: str, found: JournalReading) -> str:
    from ledger.domain.refusals import listed
    from ledger.domain.wording import number_of, reads_journal

    if found.problem:
        return (
            f"its journal could not be read, so what it lost is not known: {found.problem}; an "
            f"agent tries again; {reads_journal(database)}"
        )
    if not found.finished:
        return (
            "nobody has read its journal yet; does `ledger-agent run` work in its pool? "
            f"{reads_journal(database)}"
        )
    there = f"its journal was read and has {number_of(found.in_force, 'migration')} in force"
    if not found.lost:
        return f"{there}; nothing that was applied is lost"
    when = f", when rollout {found.busy} has ended" if found.busy else ""
    return (
        f"{there}; it lost {number_of(len(found.lost), 'migration')}, {listed(found.lost)}; "
        f"`ledger up --select id={database}` brings it up again{when}"
    )
