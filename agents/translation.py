"""What a command asks of a target, and what its journal and a look say about it: pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import assert_never

from agents.reporter import shorten
from ledger.contracts.commands import ApplyCommand, InspectCommand
from ledger.contracts.registry import MigrationRef
from ledger.contracts.reports import DatabaseInspected, JournalEntry
from migrations.catalog.visit import Visit
from migrations.inspection import Inspection
from migrations.model.attempt import Failure, Mode
from migrations.model.clocks import ComparedClock
from migrations.model.folder_history import FolderHistory, journal_key
from migrations.model.foreign_history import ForeignHistory
from migrations.model.migration import Direction, Language, Migration
from migrations.model.work import Repair, StepOutcome, Work
from migrations.running.plan import begun_or_applied, outcome_of
from migrations.target.entries import WORDS, Entry, State

SNAPSHOT_SENT_MAX_CHARS = 400_000
"""Of a schema, compressed and in base64: a report has to fit into one message of a broker."""


def work_of(
    command: ApplyCommand,
    migrations: tuple[Migration, ...],
    refs: Iterable[MigrationRef],
    programs: Iterable[Language] = (),
    clock: ComparedClock | None = None,
    folder: FolderHistory | None = None,
    *,
    psql_shell: bool = False,
    may_cancel: bool = False,
) -> Work:
    """What `command` asks of the target; `migrations` are those it names, in its order.

    `refs` are what the bundle says of them, with the texts that each may stand in for. `programs`
    are the languages that this agent's own settings let migrations run, `clock` is what the
    server's is compared with, `folder` the whole bundle. `may_cancel` is its leave, too.
    """
    order = command.order
    return Work(
        command_id=command.command,
        rollout=order.rollout,
        undoes=order.undoes or "",
        epoch=command.epoch,
        mode=order.mode,
        migrations=migrations,
        target=journal_of(command),
        expectation=order.expected,
        owner=str(command.ledger),
        resolutions=order.resolutions,
        repairs=tuple(
            Repair(ref.version, (one.checksum,), one.reason) for ref in refs for one in ref.accepts
        ),
        adoption=order.adoption,
        out_of_order=order.out_of_order,
        programs=frozenset(programs),
        clock=clock,
        folder=folder,
        psql_shell=psql_shell,
        may_cancel=may_cancel,
    )


def journal_of(command: ApplyCommand | InspectCommand) -> str:
    """The key of the journal of the command's target."""
    target = command.connection.target
    return journal_key(target.schema, target.history)


def journalled(command: ApplyCommand, found: Inspection) -> list[StepOutcome]:
    """What the journal says that `command`, or an earlier one of its rollout, has done.

    Per migration the command's own entry, or else what holds, if this rollout made it so.
    """
    direction = Direction.UP if command.order.mode is Mode.UP else Direction.DOWN
    outcomes = []
    for step in command.order.steps:
        own = [
            entry
            for entry in found.entries
            if (entry.command, entry.migration, entry.step) == (command.command, step.version, 0)
        ]
        last = found.latest.get(step.version)
        theirs = [last] if last is not None and last.rollout == command.order.rollout else []
        outcomes += [
            outcome_of(one, direction) for one in own or theirs if one.direction == direction
        ]
    return outcomes


def holds(command: ApplyCommand, found: Inspection) -> bool:
    """Whether everything that `command` asks for is what the journal says holds now."""
    latest = found.latest
    applied = [
        step.version in latest and latest[step.version].state is State.APPLIED
        for step in command.order.steps
    ]
    match command.order.mode:
        case Mode.UP:
            return all(applied)
        case Mode.ROLLBACK:
            ours = begun_or_applied(
                found.entries, (command.order.rollout, command.order.undoes or "")
            )
            return not any(step.version in ours for step in command.order.steps)
        case Mode.DOWN | Mode.ADOPT:
            return not any(applied)
        case _:
            assert_never(command.order.mode)


def inspected(
    command: InspectCommand, found: Inspection, left: Sequence[ForeignHistory] = ()
) -> DatabaseInspected:
    """What a look at the database found, as it is reported.

    A word for which nothing ran (a person's, another tool's) says whether the up section holds,
    and is reported as such.
    """
    return DatabaseInspected(
        database=command.database,
        command=command.command,
        reachable=found.reachable,
        tls=found.tls,
        server_version=found.server_version,
        in_recovery=found.in_recovery,
        identity=found.identity,
        place=found.place,
        journal_head=found.journal_head,
        owner=found.owner,
        rights=found.rights,
        entries=tuple(
            JournalEntry(
                version=entry.migration,
                state=entry.state.value,
                direction=Direction.UP if entry.direction in WORDS else entry.direction,
                rollout=entry.rollout,
                command=entry.command,
                checksum=entry.checksum,
                finished_at=entry.finished_at,
            )
            for entry in found.latest.values()
        ),
        failure=shorten(found.failure),
        backups=found.backups,
        histories=tuple(left),
        epoch=found.epoch,
        unfinished=_unfinished(found.entries),
        half_done=found.half_done if found.reachable and found.failure is None else None,
        warnings=found.warnings,
    )


def not_reached(command: InspectCommand, failure: Failure) -> DatabaseInspected:
    """A look at a database that could not be had."""
    return DatabaseInspected(
        database=command.database, command=command.command, reachable=False, failure=failure
    )


def with_schema(report: DatabaseInspected, visit: Visit | None) -> DatabaseInspected:
    """The report with what was found of the schema; a snapshot that is too large stays behind."""
    if visit is None:
        return report
    if visit.snapshot is None:
        return report.model_copy(update={"no_fingerprint": shorten(visit.failure)})
    found = b64encode(visit.snapshot.document).decode()
    return report.model_copy(
        update={
            "fingerprint": visit.snapshot.digest,
            "snapshot": found if len(found) <= SNAPSHOT_SENT_MAX_CHARS else "",
        }
    )


def _unfinished(entries: Sequence[Entry]) -> tuple[str, ...]:
    """The rollouts that have begun a migration of which nothing says yet what holds."""
    begun: dict[str, str] = {}
    for entry in entries:
        if entry.settles:
            begun.pop(entry.migration, None)
        elif entry.state in (State.INTENT, State.STEP_DONE, State.BATCHING) and entry.rollout:
            begun[entry.migration] = entry.rollout
    return tuple(dict.fromkeys(begun.values()))
