"""The way to run a section with statements that cannot run in a transaction.

Ordinary statements commit one by one, each together with its step entry; those of one transaction
of the script's own (`Statement.part`) commit together. A statement of the other kind is framed by
two entries:

    intent ──▶ statement, alone and outside of any transaction ──▶ step done
       │
       └─ after a crash: probe ─ valid: done ─ invalid: drop it, run again ─ absent: run again

Settings that a script makes for its session hold for the rest of it, though every statement starts
from clean ones: they are made again before each statement that follows (`migrations.carried`).

Which kind a statement is of, the grammar says of most. Of the others the server does, when it
refuses them in a transaction: REINDEX and CLUSTER of what is partitioned, CALL of a procedure that
commits, what extensions run alone. Nothing of it is left then, and it is run as the other kind.

Statements of that kind without a probe (VACUUM, REINDEX, CLUSTER) change no definition and are run
again; so is a procedure that commits, which has to cope with what it did before a crash. A valid
index that was there before anybody meant to build it is an error, unless the statement says IF NOT
EXISTS: then it counts, with a note, as it does for the server. For a concurrent index
`lock_timeout` is 0: a timeout while it waits for old snapshots would leave an invalid index behind.
The last transaction holds the Verify section and the final entry.

A section that one transaction takes comes here when its Verify section is to be asked after the
COMMIT (`Migration.verified_after`): it is one step, whatever the number of its statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import asyncpg

from migrations.clock import elapsed_ms
from migrations.errors import IndexFailed, InDoubt
from migrations.model.migration import (
    ConcurrentIndex,
    Direction,
    Language,
    Section,
    Statement,
    StatementKind,
)
from migrations.running.code import run_alone
from migrations.running.plan import Execute
from migrations.running.probe import IndexState, ProbeAnswer, drop_invalid, probe, probe_at_rest
from migrations.running.psql import run_psql
from migrations.running.retry import StatementFailed, failed_at, lost_at, may_pass, retrying
from migrations.running.telemetry import statement_span
from migrations.running.transactional import (
    TAKES_NO_TRANSACTION,
    begin,
    commit,
    final_entry,
    refuse_touched,
    run_section,
    run_statement,
)
from migrations.running.verify_section import verify, verify_by_psql
from migrations.sql import summary
from migrations.sql.session_settings import carried
from migrations.target.entries import NewEntry, State, entry_for
from migrations.target.session import is_connection_lost
from migrations.target.target import Target

Step: TypeAlias = Sequence[tuple[int, Statement]]
"""Statements that commit together, each with its number in the section."""
_AT_ONCE = (
    asyncpg.FeatureNotSupportedError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.DependentPrivilegeDescriptorsStillExistError,
)
"""What the server says of a DROP before it begins, whatever state the index is in."""
NOTHING_TOOK_EFFECT = "cleaned up; no statement had taken effect"


async def run_stepwise(target: Target, run: Execute) -> NewEntry:
    """Run what is not done yet; returns the final entry. Raises StatementFailed, RunError."""
    started = target.clock.monotonic()
    if run.section.program is not None:
        in_psql = run.section.program.language is Language.PSQL
        alone = run_psql if in_psql else run_alone
        count = await alone(target, run, run.section.program)
        await refuse_touched(target)
        return await _finish(target, run, started, count)
    if run.section.transactional:
        return await _finish(target, run, started, await _whole(target, run))
    done = run.resume.done if run.resume else frozenset[int]()
    intended = run.resume.intents if run.resume else frozenset[int]()
    notes = [run.note]
    for step in _steps(run.section):
        number, statement = step[-1]
        if number in done:
            continue
        outside = statement.kind is StatementKind.OUTSIDE or number in intended
        try:
            if outside or not await _ordinary(target, run, step):
                notes.append(await _outside(target, run, number, statement))
                await refuse_touched(target)
        except StatementFailed as failed:
            failed.beside = failed.beside or statement
            raise
        except asyncpg.PostgresError as error:
            if is_connection_lost(target.connection, error):
                raise
            ours = failed_at(error, None)
            ours.beside = statement
            raise ours from None
    run = replace(run, note="; ".join(filter(None, notes)))
    return await _finish(target, run, started, len(run.section.statements))


def _steps(section: Section) -> Sequence[Step]:
    """The statements with their numbers, those of one transaction of the script's together."""
    steps: list[list[tuple[int, Statement]]] = []
    part = 0
    for number, statement in enumerate(section.statements, start=1):
        if part and statement.part == part:
            steps[-1].append((number, statement))
        else:
            steps.append([(number, statement)])
        part = statement.part
    return steps


async def cleaned(target: Target, run: Execute) -> Execute:
    """Take away what half-done statements of the other direction left; the run that remains.

    Raises InDoubt when the journal speaks of another text than the one at hand.
    """
    if run.clean is None:
        return run
    if run.clean.checksum != run.migration.up.checksum:
        raise InDoubt("the migration is half done with another text of its up section")
    if run.migration.up.batches is not None:
        # Some batches are committed, others are not: the way back looks at each row anyway.
        return run
    if run.migration.up.program is not None:
        # Nobody can tell how far it came; its `down` must cope with any part of `up`.
        return run
    effects = bool(run.clean.done)
    up = run.migration.up
    for number in sorted(run.clean.open):
        index = up.statements[number - 1].concurrent_index
        if index is not None and index.action == "create":
            await _settings_of(target, up, number, index)
            found = await probe_at_rest(target, index)
            if found.state is IndexState.INVALID:
                await target.set_alone(up.options, lock_timeout_s=0)
                await drop_invalid(target, found)
            effects = effects or found.state is IndexState.VALID
        else:
            effects = True
    if effects:
        return run
    return replace(run, section=replace(run.section, statements=()), note=NOTHING_TOOK_EFFECT)


async def _whole(target: Target, run: Execute) -> int:
    """All of the section and its step entry in one transaction; how many statements that are.

    Raises StatementFailed.
    """
    count = len(run.section.statements)
    if run.resume is not None and 1 in run.resume.done:
        return count

    async def once() -> None:
        started = target.clock.monotonic()
        await run_section(target, run)
        entry = entry_for(run.migration, run.direction, 1, State.STEP_DONE)
        duration_ms = elapsed_ms(target.clock, started)
        await commit(target, replace(entry, statements=count, duration_ms=duration_ms))

    await retrying(target, once, run.section.statements)
    return count


async def _ordinary(target: Target, run: Execute, step: Step) -> bool:
    """A step and its entry in one transaction; `False` if the server takes its statement in none.

    Raises StatementFailed.
    """
    total = len(run.section.statements)
    last, closing = step[-1]

    async def once() -> None:
        started = target.clock.monotonic()
        await begin(target, run.section.options)
        await _carry(target, run.section, step[0][0])
        for number, statement in step:
            await run_statement(target, run.migration, statement, number, total)
        done = _step_done(run, last, closing, elapsed_ms(target.clock, started))
        await commit(target, replace(done, statements=len(step)), closing)

    try:
        await retrying(target, once)
    except StatementFailed as failed:
        # At the end, it was no statement but a trigger that said so.
        alone = isinstance(failed.cause, TAKES_NO_TRANSACTION) and not failed.at_the_end
        if len(step) == 1 and alone:
            return False
        raise
    return True


async def _outside(target: Target, run: Execute, number: int, statement: Statement) -> str:
    """One statement that cannot run in a transaction, between its intent and its completion.

    Returns what is to be noted of it.
    """
    started = target.clock.monotonic()
    intended = run.resume is not None and number in run.resume.intents
    index = statement.concurrent_index
    # A long statement must not run under an epoch that only this process knows.
    await target.keep_epoch()
    there, note = False, ""
    if index is not None:
        await _settings_of(target, run.section, number, index)
        try:
            there, note = await _holds_already(target, run, statement, index, intended)
        except asyncpg.PostgresError as error:
            if is_connection_lost(target.connection, error):
                raise
            # Its name alone, for one, may be what the server cannot take.
            raise failed_at(error, statement) from None
    if not there:
        if not intended:
            entry = entry_for(run.migration, run.direction, -number, State.INTENT)
            await target.record(replace(entry, statement=summary.normalized(statement.text)))
        await retrying(target, lambda: _alone(target, run, number, statement))
    await target.record(_step_done(run, number, statement, elapsed_ms(target.clock, started)))
    total = len(run.section.statements)
    duration_ms = elapsed_ms(target.clock, started)
    target.observer.statement_finished(run.migration, statement, number, total, duration_ms)
    return note


async def _holds_already(
    target: Target, run: Execute, statement: Statement, index: ConcurrentIndex, intended: bool
) -> tuple[bool, str]:
    """Whether the statement's effect is there and may be, with a note if it is not by our doing.

    What is broken by our doing is taken away. The session has the settings of the statement.

    Raises StatementFailed when an index of that name was there before anybody meant to build it.
    """
    found = await probe_at_rest(target, index)
    ours = intended or index.name in _indexes_half_done(run)
    if index.action == "drop":
        return found.state is IndexState.ABSENT and (intended or run.clean is not None), ""
    match found.state:
        case IndexState.VALID if ours:
            return True, ""
        case IndexState.VALID if index.if_not_exists:
            return True, f"the index {found.name} was there before, whatever it is on"
        case IndexState.INVALID if ours:
            await target.set_alone(run.section.options, lock_timeout_s=0)
            await drop_invalid(target, found)
            return False, ""
        case IndexState.VALID | IndexState.INVALID:
            raise failed_at(_there_before(found), statement)
        case _:
            # Absent, or the name of something else: the server has the last word.
            return False, ""


def _indexes_half_done(run: Execute) -> set[str]:
    """Names of the indexes that a half-done run of the other direction was working on."""
    if run.clean is None:
        return set()
    begun = (run.migration.up.statements[number - 1] for number in run.clean.open)
    return {item.concurrent_index.name for item in begun if item.concurrent_index}


async def _settings_of(
    target: Target, section: Section, number: int, index: ConcurrentIndex | None
) -> None:
    """Clean settings, and then the script's own, as its statement of this number finds them.

    Names are looked up with them, before the statement and after a crash. Raises StatementFailed.
    """
    await target.set_alone(section.options, lock_timeout_s=0 if index else None)
    await _carry(target, section, number)
    if index:
        await target.connection.execute("SET lock_timeout = 0")


async def _carry(target: Target, section: Section, number: int) -> None:
    """Make the settings again that the statements before this one made. Raises StatementFailed."""
    for setting in carried(section.statements[: number - 1]):
        try:
            await target.connection.execute(setting.text)
        except asyncpg.PostgresError as error:
            if is_connection_lost(target.connection, error):
                raise
            raise failed_at(error, setting) from None


async def _alone(target: Target, run: Execute, number: int, statement: Statement) -> None:
    """Run one statement outside of any transaction. Raises StatementFailed."""
    index = statement.concurrent_index
    await _settings_of(target, run.section, number, index)
    try:
        with statement_span(target.settings, target.work.target, statement):
            await target.connection.execute(statement.text)
    except asyncpg.PostgresError as error:
        if is_connection_lost(target.connection, error):
            raise lost_at(error, statement) from None
        failed = failed_at(error, statement)
        # A procedure that commits may have; what else runs alone has none when it fails.
        remedy, effect = "", statement.kind is StatementKind.TRANSACTIONAL
        if index is not None:
            remedy, effect = await _after_failure(target, index, error)
        failed.failure = replace(failed.failure, message=failed.failure.message + remedy)
        failed.without_effect = 0 if effect else number
        raise failed from None
    if index is not None and index.action == "create":
        found = await probe(target, index)
        if found.state is not IndexState.VALID:
            raise failed_at(IndexFailed(f"the index {index.name} is not valid{_FIX}"), statement)


async def _after_failure(
    target: Target, index: ConcurrentIndex, error: asyncpg.PostgresError
) -> tuple[str, bool]:
    """How to go on after a statement about an index has failed, and whether it had an effect.

    Before a retry what is broken is taken away; otherwise the evidence stays.
    """
    found = await probe_at_rest(target, index)
    if index.action == "drop":
        remedy = _DROP_WHOLE if isinstance(error, asyncpg.FeatureNotSupportedError) else ""
        return remedy, found.state is IndexState.INVALID and not isinstance(error, _AT_ONCE)
    if found.state is IndexState.INVALID:
        if not may_pass(error):
            return f"; the build left the invalid index {found.name}{_FIX}", True
        await drop_invalid(target, found)
    if isinstance(error, asyncpg.FeatureNotSupportedError):
        return _BY_PARTITION, False
    return "", False


async def _finish(target: Target, run: Execute, started: float, count: int) -> NewEntry:
    """Verify, and write the entry that says that all of it holds."""
    entry = final_entry(run, elapsed_ms(target.clock, started), count)

    async def once() -> None:
        try:
            if run.direction is Direction.UP:
                await verify_by_psql(target, run.migration)
            await begin(target, run.section.options)
            if run.direction is Direction.UP:
                await verify(target, run.migration)
        except StatementFailed as failed:
            failed.committed = run.direction is Direction.UP and run.migration.verified_after
            raise
        await commit(target, entry)

    await retrying(target, once)
    return entry


def _step_done(run: Execute, number: int, statement: Statement, duration_ms: int) -> NewEntry:
    entry = entry_for(run.migration, run.direction, number, State.STEP_DONE)
    return replace(
        entry,
        statements=1,
        statement=summary.normalized(statement.text),
        duration_ms=duration_ms,
    )


def _there_before(found: ProbeAnswer) -> IndexFailed:
    what = "an invalid index" if found.state is IndexState.INVALID else "an index"
    return IndexFailed(
        f"{what} {found.name} was there before; drop it with DROP INDEX CONCURRENTLY "
        f"{found.name}, or give the new one another name"
    )


_BY_PARTITION = (
    "; a partitioned table gets its index with CREATE INDEX … ON ONLY the table, which reads no "
    "row; then build each partition's with CREATE INDEX CONCURRENTLY and tie it to the first with "
    "ALTER INDEX … ATTACH PARTITION"
)
_DROP_WHOLE = (
    "; an index of a partitioned table goes with DROP INDEX without CONCURRENTLY, which takes its "
    "partitions' along: give it a short lock_timeout"
)
_FIX = (
    "; correct the data and order the migration again: the next attempt drops the invalid index "
    "first; before the statement itself can change, roll the migration back (a Down section may be "
    "added for that)"
)
