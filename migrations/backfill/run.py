"""One run of a data migration through its table: where it stands, and where it goes next.

Begun is said in the journal once per command; how far it went stands in a row of its own, which
every batch moves in its own transaction.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import asyncpg

from migrations.backfill.backups import (
    drop_statements,
    entered,
    place,
    refuse_left_over,
    saved_of,
    stored_in,
)
from migrations.backfill.keyset import Key, Keyset, Page, Paged, key_of, key_text
from migrations.backfill.paging import fitting_table, rows_estimated
from migrations.backfill.saved_rows import SHARED, Saved, SharedSaved
from migrations.errors import DataRefused
from migrations.model.attempt import HalfDone, Mode
from migrations.model.migration import Batches, Conflict, Direction, Statement, StatementKind
from migrations.model.work import BatchProgress
from migrations.running.plan import Execute, half_done, left_half_done
from migrations.running.retry import failed_at
from migrations.running.transactional import begin
from migrations.sql.literals import Expression, SqlValue, bind, quote_ident, quote_literal
from migrations.sql.named_statements import named_statements
from migrations.target.entries import Entry, State, entry_for
from migrations.target.journal import (
    DATA_TABLES,
    Circumstances,
    publications,
    refuse_foreign,
    statement,
)
from migrations.target.look import before_the_script, looking
from migrations.target.session import Connection, is_connection_lost, server_version
from migrations.target.target import Target

AHEAD_ROWS = 100_000
"""Keys that one look ahead goes through: milliseconds on an index."""
AHEAD_PAGES = 50
_EMPTIED = (
    "the backup was lost when the server crashed or failed over, because it is not logged where a "
    "publication would send it away; this migration cannot be taken back"
)
_SQL = named_statements("migrations.backfill", "data.sql")


@dataclass(slots=True)
class BackfillRun:
    """One run through the table."""

    target: Target
    run: Execute
    batches: Batches
    keyset: Keyset
    saved: Saved | None
    stored: str | None
    """The table in which this migration's backup was when the run began."""
    paged: tuple[Paged, ...] = ()
    after: Key | None = None
    rows: int = 0
    count: int = 0
    total: int | None = None
    ahead: deque[Page] = field(default_factory=deque)
    rows_before: int = 0
    started: float = field(init=False)
    mover: str = field(init=False)
    """The session's prepared statement that writes how far it went."""

    def __post_init__(self) -> None:
        self.started = self.target.clock.monotonic()
        self.mover = quote_ident(f"migration_ledger_{self.target.chance.uuid().hex}")

    def reading(self, text: str) -> str:
        """A statement of the author's, which may read what was saved."""
        return text if self.saved is None else self.saved.reading(text)

    @property
    def source(self) -> Keyset:
        """What is paged through: the table, or on the way back its backup."""
        return self.saved.pages if self.batches.restore and self.saved else self.keyset

    @property
    def whole(self) -> Statement:
        """Stands for a batch where no single statement can be named."""
        statements = self.run.section.statements
        if statements:
            return statements[0]
        text = f"SELECT FROM {self.keyset.table} FOR UPDATE"
        return Statement(text, 1, StatementKind.TRANSACTIONAL, f"SELECT {self.batches.table}")


async def without_idle(target: Target) -> Sequence[Entry]:
    """The journal without data migrations that began with another text and committed no batch.

    Nothing of them is in effect, so the corrected text may begin from the beginning.
    """
    begun = half_done(target.entries) if target.work.mode is Mode.UP else {}
    changed = {
        one.version
        for one in target.work.migrations
        if (progress := begun.get(one.version)) is not None
        and progress.direction is Direction.UP
        and progress.checksum != one.up.checksum
        and not progress.done | progress.intents
    }
    if not changed:
        return target.entries
    return await without_idle_of(target.connection, target.work.target, target.entries, changed)


async def without_idle_of(
    connection: Connection, target: str, entries: Sequence[Entry], versions: Collection[str]
) -> Sequence[Entry]:
    """A journal without those of these data migrations that committed no batch."""
    rows = await connection.fetch(bind(_SQL["moved"], {"target": target}))
    idle = set(versions) - {row["migration"] for row in rows}
    return [
        entry
        for entry in entries
        if entry.migration not in idle or entry.state is not State.BATCHING
    ]


async def what_is_half_done(
    connection: Connection, target: str, entries: Sequence[Entry]
) -> tuple[HalfDone, ...]:
    """What a journal leaves half done or in doubt; a batch that nobody committed is nothing.

    Asks the server where a data migration was begun, and nothing otherwise.
    """
    found = left_half_done(entries)
    batching = {entry.migration for entry in entries if entry.state is State.BATCHING}
    batching &= {one.version for one in found if one.direction == Direction.UP}
    if not batching:
        return found
    return left_half_done(await without_idle_of(connection, target, entries, batching))


async def prepared(target: Target, run: Execute) -> BackfillRun:
    """Check that the table fits, say that it begins, and find the place to go on from."""
    batches = run.section.batches
    if batches is None:
        raise AssertionError("the caller runs only sections with batches here")
    await target.clear()
    # Tables of ours that a tenant has made before us would run his code.
    await refuse_foreign(target.connection, target.settings.role)
    # The table is found as a script finds it, and goes by its whole name from then on.
    async with looking(target.connection, as_the_script=True):
        table = await fitting_table(target.connection, batches)
    stored, around = await stored_in(target, run.migration.version), await _around(target)
    saved = None
    if batches.backup:
        begins = not batches.restore and run.resume is None and not _is_begun(target, run)
        shared = around.heard if begins else stored == SHARED
        saved = saved_of(target, run.migration, batches, table, shared=shared)
    course = BackfillRun(target, run, batches, table.keyset, saved, stored)
    texts = (course.reading(statement.text) for statement in run.section.statements)
    course.paged = tuple(map(Paged.of, texts))
    if batches.restore:
        await _check_restorable(course)
    await _say_begun(course, around)
    await _find_place(course)
    if course.rows and not batches.restore:
        await _give_up_lost_backup(course)
    await _prepare_mover(course)
    return course


def _is_begun(target: Target, run: Execute) -> bool:
    """Whether this very command has said so before."""
    mine = (target.work.command_id, run.migration.version, run.direction.value, State.BATCHING)
    return mine in ((e.command, e.migration, e.direction, e.state) for e in target.entries)


async def _say_begun(course: BackfillRun, around: _TablesAround) -> None:
    """The entry of this command; with the first one, what it needs beside it."""
    target, run, saved = course.target, course.run, course.saved
    version = run.migration.version
    begun = entry_for(run.migration, run.direction, -1, State.BATCHING)
    if _is_begun(target, run):
        return
    parts: list[str] = []
    if run.resume is None:
        again = run.direction is Direction.UP and version in half_done(target.entries)
        # Begun before without a single batch: its backup is empty, and may be of other columns.
        ddl = [drop_statements(target.work, version, course.stored)] if again else []
        made = {name: statement(DATA_TABLES[name]) for name in around.missing}
        behind = [bind(_SQL["progress_over"], place(target.work, version))]
        if saved is not None and not course.batches.restore:
            behind.append(entered(saved, target.work, version))
            if not isinstance(saved, SharedSaved):
                made[saved.table] = saved.create(unlogged=around.of.publications is not None)
            elif course.stored == SHARED and not again:
                raise refuse_left_over(saved.table, version)
        ddl += made.values()
        if ddl:
            private = around.of.made_private(*made) + _owned(around.of, made)
            parts = [statement("for_ddl"), *ddl, private + statement("behind_ddl")]
        parts += behind
    try:
        await target.record(begun, first=";\n".join(parts))
    except asyncpg.DuplicateTableError:
        await target.rollback()
        raise refuse_left_over(saved.table if saved else "", version) from None


@dataclass(frozen=True, slots=True)
class _TablesAround:
    """What of the database has a say in the tables of a data migration, and which are missing."""

    of: Circumstances
    missing: tuple[str, ...]

    @property
    def heard(self) -> bool:
        """Whether event triggers would hear of a table for this migration alone.

        Where a publication would send the table for all, there is one, which is not logged.
        """
        return self.of.event_triggers and self.of.publications is None


async def _around(target: Target) -> _TablesAround:
    """Asked once per data migration, before its tables are made."""
    connection = target.connection
    query = bind(
        _SQL["around"],
        {
            "default_grants": Expression(statement("default_grants")),
            "event_triggers": Expression(statement("event_triggers")),
            "publications": Expression(publications(server_version(connection))),
        },
    )
    (row,) = await connection.fetch(query)
    values = dict(row)
    missing = tuple(values.pop("missing"))
    found = Circumstances(**values)
    if target.journal_exists:
        return _TablesAround(found, missing)
    # They come with the journal.
    return _TablesAround(replace(found, owner=target.to_be_owned_by), ())


def _owned(around: Circumstances, tables: Iterable[str]) -> str:
    """Statements that hand new tables to the journal's owner."""
    if around.owner is None:
        return ""
    return "".join(f"ALTER TABLE {table} OWNER TO {around.owner};\n" for table in tables)


async def _find_place(course: BackfillRun) -> None:
    rows = await course.target.connection.fetch(course_sql(course, "progress"))
    if rows:
        (row,) = rows
        course.after = key_of(row["last_key"])
        course.rows, course.count, course.total = row["rows"], row["batches"], row["total"]
    else:
        connection = course.target.connection
        try:
            async with looking(connection):
                course.total = await rows_estimated(connection, course.source)
        except asyncpg.PostgresError as error:
            if is_connection_lost(connection, error):
                raise
            raise failed_at(error, course.whole) from None
    course.rows_before = course.rows
    if course.count:
        course.target.progress = progress_of(course)


async def _give_up_lost_backup(course: BackfillRun) -> None:
    """Go on without a backup that has lost what it held: half of one would bring back a mixture."""
    target, run, saved = course.target, course.run, course.saved
    if saved is None or not await _is_emptied(course, saved):
        return
    version = run.migration.version
    async with target.connection.transaction():
        dropping = drop_statements(target.work, version, course.stored)
        await target.connection.execute(f"{statement('for_ddl')};\n{dropping}")
    course.saved = None
    course.run = replace(run, note="; ".join(filter(None, (run.note, _EMPTIED))))


async def _is_emptied(course: BackfillRun, saved: Saved) -> bool:
    """Whether rows were saved, and are gone."""
    query = course_sql(course, "emptied", table=Expression(saved.table), called=saved.table)
    return bool(await course.target.connection.fetchval(query))


async def _prepare_mover(course: BackfillRun) -> None:
    moved = course_sql(course, "progress_moved", **course.target.guards())
    types = "pg_catalog.text, bigint, bigint, bigint, pg_catalog.text, bigint"
    await course.target.connection.execute(f"PREPARE {course.mover} ({types}) AS {moved}")


def moved_to(course: BackfillRun, page: Page) -> str:
    """The guarded statement of a batch's transaction that says that it goes as far as `page`."""
    guards = course.target.guards()
    rows, batches = course.rows + page.rows, course.count + 1
    values = (key_text(page.upto), rows, batches, course.total, guards["marker"], guards["seq"])
    return f"EXECUTE {course.mover} ({', '.join(map(quote_literal, values))})"


async def _check_restorable(course: BackfillRun) -> None:
    """Raises DataRefused where nothing is saved, and StatementFailed for rows written since."""
    target, saved = course.target, course.saved
    if saved is None:
        raise AssertionError("a restore has the columns that it restores")
    lost = course.stored is not None and await _is_emptied(course, saved)
    if course.stored is None or lost:
        raise DataRefused(
            f"{_EMPTIED if lost else 'the backup of this migration is gone'}, so write what should "
            "happen now as a new migration"
        )
    if course.batches.conflict is Conflict.REFUSE and course.run.resume is None:
        try:
            await begin(target, course.run.section.options)
            given_up = before_the_script(target.connection)
            await target.connection.execute(f"{given_up};\n{saved.first_change()}")
        except asyncpg.PostgresError as error:
            if is_connection_lost(target.connection, error):
                raise
            raise failed_at(error, course.whole) from None
        await target.rollback()


async def next_page(course: BackfillRun) -> Page | None:
    """The next batch; `None` behind the last row."""
    if not course.ahead:
        size = course.batches.size
        ahead = max(1, min(AHEAD_PAGES, AHEAD_ROWS // size))
        after, place_before = course.after, 0
        connection = course.target.connection
        try:
            # A look, because operators of the key's types may be a tenant's.
            async with looking(connection, as_the_script=True):
                ends = await connection.fetch(course.source.full_pages(after, size, ahead))
                ends = ends or await connection.fetch(course.source.last_page(after, size))
        except asyncpg.PostgresError as error:
            if is_connection_lost(course.target.connection, error):
                raise
            raise failed_at(error, course.whole) from None
        for end in ends:
            upto = tuple(end["upto"])
            if upto == after:
                raise DataRefused(
                    f"the key {', '.join(course.source.columns)} of {course.batches.table} does "
                    "not go on behind the last batch: its text does not tell two rows apart; name "
                    "another key on the Data marker"
                )
            course.ahead.append(Page(after, upto, end["place"] - place_before))
            after, place_before = upto, end["place"]
    return course.ahead.popleft() if course.ahead else None


def progress_of(course: BackfillRun) -> BatchProgress:
    """How far it is, as it is reported."""
    elapsed = course.target.clock.monotonic() - course.started
    done = course.rows - course.rows_before
    total = None if course.total is None else max(course.total, course.rows)
    left = None if total is None or not done else (total - course.rows) * elapsed / done
    return BatchProgress(course.rows, total, course.count, left)


def course_sql(course: BackfillRun, name: str, **values: SqlValue) -> str:
    """A statement of `data.sql` about this migration and direction."""
    run = course.run
    named = place(course.target.work, run.migration.version)
    return bind(_SQL[name], {**named, "direction": run.direction.value, **values})
