"""The way to run a data migration: through a table in batches, each committed by itself.

    check the table ─▶ begun (journal) ─▶ batch ─▶ batch ─▶ … ─▶ validate, verify, entry (journal)
                                            │
        begin · lock rows · save columns · statements · note what is left · progress · COMMIT

A batch and the row that says how far it went commit together, under the guards of
`migrations.target.target`, in one round trip. So whoever comes next, after a crash, a cancellation
or a failure, goes on behind the last committed batch: nothing is done twice, nothing is left out.

Pages are found by the key alone, a few dozen ends at a time, and each batch reads its rows as they
are then. Rows that are added behind the current page are not seen: let the application, a default
or a trigger write new rows the new way before the data moves. Memory does not grow with the table.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import asyncpg

from migrations.backfill.assertions import validate
from migrations.backfill.backups import drop_statements, kept_statement
from migrations.backfill.keyset import Page
from migrations.backfill.run import (
    BackfillRun,
    course_sql,
    moved_to,
    next_page,
    prepared,
    progress_of,
)
from migrations.backfill.throttle import Throttle
from migrations.backfill.transform import transform
from migrations.clock import elapsed_ms
from migrations.errors import Refused, RunError
from migrations.model.migration import Direction, Migration, Program, Statement
from migrations.running.plan import Execute
from migrations.running.retry import StatementFailed, failed_at, lost_at, may_pass, retrying
from migrations.running.telemetry import batch_span, statement_span
from migrations.running.transactional import begin, commit, final_entry
from migrations.running.verify_section import verify
from migrations.sql.literals import bind
from migrations.target.entries import NewEntry
from migrations.target.journal import statement as sql
from migrations.target.look import before_the_script
from migrations.target.session import is_connection_lost
from migrations.target.target import Target

STALE_AFTER_S = 5.0
"""A pause after which the ends of pages are looked up again: rows may have come in between."""
SPANS_FIRST = 20
SPANS_EVERY = 100
"""Batches that get a span: the first ones, then a sample."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a batch; `statement` is the author's, if it is one."""

    sql: str
    statement: Statement | None = None
    program: Program | None = None


async def run_batches(target: Target, run: Execute) -> NewEntry:
    """Run what is left of it; returns the final entry. Raises StatementFailed, RunError."""
    started = target.clock.monotonic()
    course = await prepared(target, run)
    throttle = Throttle(target, course.batches.pauses)
    while True:
        if await throttle.passed() > STALE_AFTER_S:
            course.ahead.clear()
        page = await next_page(course)
        if page is None:
            return await _finish(course, started)

        async def once(page: Page = page) -> None:
            number, sampled = course.count + 1, _is_sampled(course)
            try:
                with batch_span(number, page.rows, target.clock, sampled=sampled):
                    await _batch(course, page)
            except StatementFailed as failed:
                failed.failure = replace(failed.failure, batch=_named(course, page))
                raise

        await retrying(target, once)
        _went_on(course, page)


async def _batch(course: BackfillRun, page: Page) -> None:
    """One batch in one transaction. Raises StatementFailed; a lost connection as it is."""
    target, options = course.target, course.run.section.options
    if course.run.section.program is not None:
        return await _one_by_one(course, page)
    parts = _parts(course, page)
    script = [target.opening(options, batch=True), *(part.sql for part in parts)]
    script.append(_end(course, page))
    try:
        with _span(course):
            await target.run_script(";\n".join(script))
    except Refused:
        raise
    except RunError as error:
        raise failed_at(error, None) from None
    except asyncpg.PostgresError as error:
        if is_connection_lost(target.connection, error):
            raise lost_at(error, course.whole) from None
        await target.rollback()
        if may_pass(error):
            raise failed_at(error, course.whole) from None
        await _one_by_one(course, page)


async def _one_by_one(course: BackfillRun, page: Page) -> None:
    """A batch piece by piece: around a program, or to learn which one the server refuses."""
    target = course.target
    at: Statement | None = None
    await begin(target, course.run.section.options, batch=True)
    try:
        for part in _parts(course, page):
            at = part.statement
            if part.program is not None:
                await transform(course, page, part.program)
            else:
                await target.connection.execute(part.sql)
        at = None
        await target.run_script(_end(course, page))
    except asyncpg.PostgresError as error:
        if is_connection_lost(target.connection, error):
            raise lost_at(error, at or course.whole) from None
        raise failed_at(error, at or course.whole) from None


def _parts(course: BackfillRun, page: Page) -> list[_Part]:
    """The pieces of a batch, in order."""
    section, saved, batches = course.run.section, course.saved, course.batches
    source = course.source
    own = [
        _Part(paged.over(source.rows(page)), statement)
        for paged, statement in zip(course.paged, section.statements, strict=True)
    ]
    if section.program is not None:
        own = [_Part("", program=section.program)]
    if batches.restore and saved is not None:
        # Nobody but the owner may read the backup, so a role of the author's is left here.
        parts = [_Part(f"{_given_up(course)}{saved.restore(page, batches.conflict)}"), *own]
        return [*parts, _Part(f"{_given_up(course)}{saved.given_back(page)}")]
    parts = own
    if _needs_lock(course):
        parts = [_Part(source.locked(page)), *parts]
    if saved is not None:
        parts.insert(1, _Part(_as_owner(course, saved.save(page, course.count))))
        parts.append(_Part(f"{_given_up(course)}{saved.note_left(page, course.count)}"))
    return parts


def _needs_lock(course: BackfillRun) -> bool:
    """Whether the rows must stand still while the batch looks at them more than once.

    One INSERT reads them once; everything else reads a row and then writes by what it has read.
    """
    statements = course.run.section.statements
    one_insert = len(statements) == 1 and statements[0].summary.startswith("INSERT")
    return course.saved is not None or not one_insert


def _as_owner(course: BackfillRun, sql: str) -> str:
    role = course.run.section.options.role or course.target.settings.role
    if role is None:
        return sql
    back = bind("SET LOCAL ROLE :role", {"role": role})
    return f"{_given_up(course)}{sql};\n{back}"


def _given_up(course: BackfillRun) -> str:
    """What gives up the author's role, in front of what only the backup's owner may do."""
    return f"{before_the_script(course.target.connection)};\n"


def _end(course: BackfillRun, page: Page) -> str:
    """Deferred constraints, the guarded row that says how far it went, and COMMIT."""
    return f"{course.target.settling()};\n{moved_to(course, page)};\n{sql('commit')}"


def _named(course: BackfillRun, page: Page) -> str:
    """Which batch it is, of the whole way through the table: its number, its rows, its key."""
    first, last = course.rows + 1, course.rows + page.rows
    rows = f"row {first:,}" if first == last else f"rows {first:,} to {last:,}"
    where = course.source.named(page)
    return f"{course.count + 1:,} ({rows}{f', WHERE {where}' if where else ''})"


def _went_on(course: BackfillRun, page: Page) -> None:
    course.after = page.upto
    course.rows += page.rows
    course.count += 1
    target, run = course.target, course.run
    target.progress = progress_of(course)
    target.observer.batch_finished(run.migration, run.direction, target.progress)


async def _finish(course: BackfillRun, started: float) -> NewEntry:
    """Validate, verify, clean up, and write the entry that says that all of it holds."""
    run = course.run
    done = f"{course.rows} rows in {course.count} batches"
    duration_ms = elapsed_ms(course.target.clock, started)
    entry = final_entry(run, duration_ms, len(run.section.statements))
    entry = replace(entry, note=f"{done}; {entry.note}" if entry.note else done)

    async def once() -> None:
        await begin(course.target, run.section.options)
        await validate(course.target, course.batches.validate, course.reading)
        if run.direction is Direction.UP:
            await verify(course.target, _readable(course))
        await course.target.connection.execute(_cleaned_up(course))
        await commit(course.target, entry)

    await retrying(course.target, once)
    return entry


def _readable(course: BackfillRun) -> Migration:
    """The migration, its Verify section reading what was saved where that stands."""
    migration = course.run.migration
    if migration.verify is None:
        return migration
    statements = tuple(
        replace(one, text=course.reading(one.text)) for one in migration.verify.statements
    )
    return replace(migration, verify=replace(migration.verify, statements=statements))


def _cleaned_up(course: BackfillRun) -> str:
    work, version = course.target.work, course.run.migration.version
    parts = [before_the_script(course.target.connection), course_sql(course, "progress_over")]
    if course.batches.restore:
        parts.append(drop_statements(work, version, course.stored))
    elif course.saved is not None:
        parts.append(kept_statement(work, version, course.batches.keep_s, course.rows))
    return ";\n".join(parts)


def _is_sampled(course: BackfillRun) -> bool:
    return course.count < SPANS_FIRST or not course.count % SPANS_EVERY


def _span(course: BackfillRun) -> AbstractContextManager[None]:
    if not _is_sampled(course):
        return nullcontext()
    target = course.target
    return statement_span(target.settings, target.work.target, course.whole)
