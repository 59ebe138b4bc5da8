"""Between the wire's words and those of `migrations`: pure, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from agents.reporter import failure_of, identity_of
from ledger.contracts.commands import ApplyCommand, InspectCommand
from ledger.contracts.registry import DatabasePlace, Expected, HistoryFound, HistoryRow, RunLimits
from ledger.contracts.registry import Mode as OrderedMode
from ledger.contracts.reports import BackupFound, DatabaseInspected, JournalEntry, Rights
from migrations.adoption.history import ForeignHistory
from migrations.inspection import Inspection
from migrations.model.clocks import Clock
from migrations.model.migration import Direction, Language, Migration
from migrations.model.work import (
    Adoption,
    Epoch,
    Expectation,
    Identity,
    Limits,
    Mode,
    Repair,
    Resolution,
    StepOutcome,
    Work,
)
from migrations.running.plan import begun_or_applied, outcome_of
from migrations.target.entries import WORDS, State


def work_of(
    command: ApplyCommand,
    migrations: tuple[Migration, ...],
    programs: Iterable[Language] = (),
    clock: Clock | None = None,
    *,
    psql_shell: bool = False,
) -> Work:
    """What `command` asks of the target; `migrations` are those it names, in its order.

    `programs` are the languages that this agent's own settings let migrations run, `clock` is what
    the server's is compared with.
    """
    return Work(
        command_id=command.command,
        rollout=command.rollout,
        epoch=Epoch(command.epoch.term, command.epoch.position),
        mode=Mode(command.mode.value),
        migrations=migrations,
        target=command.connection.schema_name,
        expectation=expectation_of(command.expected),
        owner=str(command.ledger),
        resolutions=tuple(
            Resolution(said.version, said.applied, said.reason) for said in command.resolutions
        ),
        repairs=tuple(
            Repair(ref.version, (one.checksum,), one.reason)
            for ref in command.migrations
            for one in ref.accepts
        ),
        adoption=adoption_of(command),
        out_of_order=command.out_of_order,
        programs=frozenset(programs),
        clock=clock,
        psql_shell=psql_shell,
    )


def adoption_of(command: ApplyCommand | InspectCommand) -> Adoption | None:
    """What an adoption rests on; `None` for all other commands."""
    said = command.adoption
    if said is None:
        return None
    return Adoption(said.source, said.through, said.table, said.accept_missing)


def expectation_of(expected: Expected) -> Expectation:
    """What the ledger believes of the target."""
    identity = expected.identity
    return Expectation(
        identity=Identity(identity.uuid, identity.system_identifier, identity.database_oid)
        if identity is not None
        else None,
        journal_head=expected.journal_head,
    )


def limits_of(limits: RunLimits) -> Limits:
    """How patient the run is."""
    return Limits(
        lock_timeout_s=limits.lock_timeout_s,
        statement_timeout_s=limits.statement_timeout_s,
        retry_for_s=limits.retry_for_s,
        advisory_wait_s=limits.advisory_wait_s,
    )


def journalled(command: ApplyCommand, found: Inspection) -> list[StepOutcome]:
    """What the journal says that `command`, or an earlier one of its rollout, has done.

    Per migration the command's own entry, or else what holds, if this rollout made it so.
    """
    direction = Direction.UP if command.mode is OrderedMode.UP else Direction.DOWN
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
    match command.mode:
        case OrderedMode.UP:
            return all(applied)
        case OrderedMode.ROLLBACK:
            ours = begun_or_applied(found.entries, command.rollout)
            return not any(ref.version in ours for ref in command.migrations)
        case OrderedMode.DOWN | OrderedMode.ADOPT:
            return not any(applied)
        case _:
            assert_never(command.mode)


def inspected(
    command: InspectCommand, found: Inspection, left: Sequence[ForeignHistory] = ()
) -> DatabaseInspected:
    """What a look at the database found, as it is reported.

    A word for which nothing ran (a person's, another tool's) says whether the up section holds,
    and is reported as such.
    """
    rights = found.rights
    return DatabaseInspected(
        database=command.database,
        command=command.command,
        reachable=found.reachable,
        tls=found.tls,
        server_version=found.server_version,
        in_recovery=found.in_recovery,
        identity=identity_of(found.identity) if found.identity is not None else None,
        place=DatabasePlace(system_identifier=found.place[0], database_oid=found.place[1])
        if found.place is not None
        else None,
        journal_head=found.journal_head,
        owner=found.owner,
        rights=Rights(
            create_schema=rights.create_schema,
            create_in_target=rights.create_in_target,
            superuser=rights.superuser,
            create_role=rights.create_role,
            reaches=rights.reaches,
        )
        if rights is not None
        else None,
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
        failure=failure_of(found.failure),
        backups=tuple(
            BackupFound(
                version=one.version,
                table=one.table,
                source=one.source,
                columns=one.columns,
                made_at=one.made_at,
                keep_until=one.keep_until,
                bytes=one.bytes,
            )
            for one in found.backups
        ),
        histories=tuple(
            HistoryFound(
                tool=one.tool.value,
                table=one.table,
                rows=tuple(
                    HistoryRow(
                        version=row.version,
                        name=row.name,
                        below=row.below,
                        repeatable=row.repeatable,
                        checksum=row.checksum,
                    )
                    for row in one.rows
                ),
                count=one.count,
                problem=one.problem,
            )
            for one in left
        ),
    )
