"""What a command asks of a target, and what its journal and a look say about it: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.reporter import shorten
from ledger.contracts.commands import ApplyCommand, InspectCommand
from ledger.contracts.reports import DatabaseInspected, JournalEntry
from migrations.inspection import Inspection
from migrations.model.attempt import Mode
from migrations.model.foreign_history import ForeignHistory
from migrations.model.migration import Direction, Language, Migration
from migrations.model.work import Repair, StepOutcome, Work
from migrations.running.plan import outcome_of
from migrations.target.entries import WORDS, State


def work_of(
    command: ApplyCommand, migrations: tuple[Migration, ...], programs: Iterable[Language] = ()
) -> Work:
    """What `command` asks of the target; `migrations` are those it names, in its order.

    `programs` are the languages that this agent's own settings let migrations run.
    """
    return Work(
        command_id=command.command,
        rollout=command.rollout,
        epoch=command.epoch,
        mode=command.mode,
        migrations=migrations,
        target=command.connection.schema_name,
        expectation=command.expected,
        owner=str(command.ledger),
        resolutions=command.resolutions,
        repairs=tuple(
            Repair(ref.version, (one.checksum,), one.reason)
            for ref in command.migrations
            for one in ref.accepts
        ),
        adoption=command.adoption,
        out_of_order=command.out_of_order,
        programs=frozenset(programs),
    )


def journalled(command: ApplyCommand, found: Inspection) -> list[StepOutcome]:
    """What the journal says that `command`, or an earlier one of its rollout, has done.

    Per migration the command's own entry, or else what holds, if this rollout made it so.
    """
    direction = Direction.UP if command.mode is Mode.UP else Direction.DOWN
    outcomes = []
    for ref in command.migrations:
        own = [
            entry
            for entry in found.entries
            if (entry.command, entry.migration, entry.step) == (command.command, ref.version, 0)
        ]
        last = found.latest.get(ref.version)
        theirs = [last] if last is not None and last.rollout == command.rollout else []
        outcomes += [
            outcome_of(one, direction) for one in own or theirs if one.direction == direction
        ]
    return outcomes


def holds(command: ApplyCommand, found: Inspection) -> bool:
    """Whether everything that `command` asks for is what the journal says holds now."""
    latest = found.latest
    applied = [
        ref.version in latest and latest[ref.version].state is State.APPLIED
        for ref in command.migrations
    ]
    return all(applied) if command.mode is Mode.UP else not any(applied)


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
    )
