"""What `--trace` adds to a command: statements run in a scratch database, and how large the tables
of the fleet are that they read through or write anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.help_page import OUTPUT
from ledger.cli.app.local_work import at_work, say_heard
from ledger.cli.app.output import say
from ledger.cli.app.scratch import FOLDER, ScratchOptions, say_left_over
from ledger.domain.wording import number_of
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.cli.app.command import Session
    from ledger.domain.table_sizes import FleetTableSize
    from ledger.scratch import ScratchPlace
    from ledger.service.outlook import PlanEvidence
    from ledger.service.request_context import RequestContext
    from migrations.lint.outlook import TracedMigration
    from migrations.model.migration import Migration
    from migrations.model.traces import LockMode, Trace, TracedStatement
    from migrations.scratch.schema import Schema

PATIENCE_S = 60.0
"""For agents to say how large tables are."""
TABLES_AT_MOST = 20
"""That agents are asked about."""
_LACKS_TOLD = 5

TraceOption = Annotated[
    bool,
    typer.Option(
        "--trace",
        help="Run each statement in a scratch database, and say what it locks, rewrites and reads.",
        rich_help_panel=OUTPUT,
    ),
]


@dataclass(frozen=True, slots=True)
class Traced:
    """A trace, and how large its tables are; `unsized` says why that is not known of some."""

    trace: Trace
    sizes: tuple[FleetTableSize, ...] = ()
    unsized: str = ""

    def evidence(self) -> PlanEvidence:
        """What it shows of each migration, for what a plan would mean."""
        from ledger.service.outlook import PlanEvidence

        versions = dict.fromkeys(one.version for one in self.trace.statements)
        return PlanEvidence({one: _seen(self.trace.of(one)) for one in versions})

    def document(self) -> dict[str, Any]:
        """All of it as data."""
        return {
            "server": self.trace.server,
            "statements": [_row(one) for one in self.trace.statements],
            "lacks": [{"what": what, "why": why} for what, why in self.trace.lacks],
            "sizes": [
                {
                    "table": one.table,
                    "limit_mb": one.limit_mb,
                    "databases": one.known,
                    "above": one.above,
                    "largest_mb": one.largest_mb if one.known else None,
                    "largest_in": one.largest_in or None,
                }
                for one in self.sizes
            ],
            "sizes_problem": self.unsized or None,
        }

    def lines(self) -> Iterator[str]:
        """All of it for people: by file, a line for each statement and one for what it does."""
        yield f"Traced on PostgreSQL {self.trace.server}, in a scratch database:"
        file = ""
        for one in self.trace.statements:
            if one.file != file:
                file = one.file
                yield f"  {escaped(file)}"
            yield f"    line {one.line}: {escaped(one.statement)}"
            for line in effect_lines(one):
                yield f"      {line}"
        for size in self.sizes:
            yield f"  {size_text(size)}"
        if self.unsized:
            yield f"  how large the tables are is not known: {self.unsized}"
        for what, why in self.trace.lacks[:_LACKS_TOLD]:
            yield f"  not in the scratch database: {what}: {why}"
        if (more := len(self.trace.lacks) - _LACKS_TOLD) > 0:
            yield f"  and {more:,} more are not; `-o json` has all of them"


def _seen(statements: Sequence[TracedStatement]) -> TracedMigration:
    """A migration by its statements: of each table the strongest lock."""
    from migrations.lint.finding import Effect
    from migrations.lint.outlook import Consequence, LockedTable, TracedMigration

    modes: dict[str, LockMode] = {}
    for lock in (lock for one in statements for lock in one.locks):
        modes[lock.table] = max(lock.mode, modes.get(lock.table, lock.mode))
    consequences = []
    for one in statements:
        scans = tuple(table for table in one.scans if table not in one.rewrites)
        for effect, tables in ((Effect.REWRITES, one.rewrites), (Effect.SCANS, scans)):
            if tables:
                consequences.append(Consequence(effect, one.statement, tables))
    return TracedMigration(
        tuple(LockedTable(table, mode.catalog_name) for table, mode in modes.items()),
        tuple(consequences),
        tuple(f"{one.statement}: {one.untraced}" for one in statements if one.untraced),
    )


def effect_lines(one: TracedStatement) -> Iterator[str]:
    """What one statement does to tables, the worst first."""
    if one.untraced:
        yield f"not traced: {one.untraced}"
    for table in one.rewrites:
        yield f"rewrites {escaped(table)}"
    for table in one.scans:
        if table not in one.rewrites:
            yield f"reads all of {escaped(table)}"
    for lock in one.locks:
        blocked = (
            "; blocks reads and writes"
            if lock.mode.blocks_reads
            else "; blocks writes"
            if lock.mode.blocks_writes
            else ""
        )
        yield f"{lock.mode.words} on {escaped(lock.table)}{blocked}"
    if not (one.untraced or one.locks):
        yield "locks no table that is in use"


def size_text(one: FleetTableSize) -> str:
    """How large a table is over the fleet."""
    table = escaped(one.table)
    if not one.known:
        return f"{table}: no database says how large it is"
    return (
        f"{table}: above the limit of {one.limit_mb:,.12g} MB in {one.above:,} of "
        f"{number_of(one.known, 'database')}; the largest has {one.largest_mb:,.12g} MB, in "
        f"{escaped(one.largest_in)}"
    )


async def run_trace(
    place: ScratchPlace,
    schema: Schema | None,
    pending: Sequence[Migration],
    *,
    applied: Sequence[Migration] = (),
    target: str = "",
    together: bool = True,
) -> Trace:
    """Trace these migrations in a scratch database that is set up with a schema.

    Without one it is set up with what `applied` makes.
    """
    from ledger.scratch import opened_scratch
    from migrations.scratch.schema import FolderSchema
    from migrations.scratch.trace import trace

    made = schema or FolderSchema(tuple(applied), target=target, applied=False)
    before = applied if schema is None else ()
    async with opened_scratch(place, made, say=say) as database:
        say_left_over(database)
        return await trace(database, pending, applied=before, target=target, together=together)


def say_where_from(trace: Trace, options: ScratchOptions) -> None:
    """Tell how more could be traced, where the folder alone did not make what it builds on."""
    if options.schema_from == FOLDER and any(one.fails for one in trace.statements):
        say(
            "What fails may build on what no file of the folder makes; set the scratch database up "
            "like a real one with --schema-from database:ID"
        )


async def fleet_schema(
    session: Session, options: ScratchOptions, usual: str, target: str, asked: RequestContext
) -> Schema | None:
    """The schema that the options name; of a database of the fleet, its agent says it.

    `usual` is the one that is meant where none is named. Raises what both ways raise.
    """
    from migrations.scratch.schema import CatalogSchema

    named = options.fleet_database
    if named is None:
        return await options.schema(target)
    database = named or usual
    (record,) = await session.ledger.fleet.list(f"id={database}") or (None,)
    if record is None:
        await session.ledger.fleet.check_known(database)
    own = record.connection.target.schema if record is not None else ""
    document = await _document(session, database, asked)
    # A schema that is the target is called as the one that the migrations run in.
    return CatalogSchema(document, target=target or own)


async def _document(session: Session, database: str, asked: RequestContext) -> bytes:
    """The catalog of a database, from its agent. Raises `SchemaUnusable`."""
    from ledger.contracts.events import Purpose
    from migrations.scratch.errors import SchemaUnusable

    check = await session.ledger.fleet.check(f"id={database}", asked, Purpose.SNAPSHOT)
    async with at_work(session):
        why = "nobody leads, so nobody looks until `ledger serve` runs"
        if await session.ledger.leader():
            document, why = await session.ledger.drift.document(check, database, PATIENCE_S)
            if document:
                return document
    raise SchemaUnusable(
        f"the schema of {escaped(database)} cannot be had: {escaped(why)}; or set the scratch "
        "database up otherwise, with --schema-from"
    )


async def with_sizes(
    session: Session,
    trace: Trace,
    select: str,
    asked: RequestContext,
    target: str = "",
) -> Traced:
    """Ask the agents how large the tables are that the statements rewrite or read through."""
    from ledger.domain.table_sizes import table_sizes
    from migrations.model.folder_history import schema_of
    from migrations.model.preflight import PreflightCheck, PreflightRequest, TouchedTables
    from migrations.model.traces import heavy_tables

    heavy = heavy_tables(trace.statements)[:TABLES_AT_MOST]
    if not heavy:
        return Traced(trace)
    policy, own = session.settings.preflight.policy, bool(schema_of(target))
    limit = policy.bounds_of(PreflightCheck.TABLE_SIZE).warn or 0.0
    request = PreflightRequest(policy, TouchedTables(tuple(_touched(heavy, target))))
    check = await session.ledger.fleet.check(select, asked, preflight=request)
    async with at_work(session) as cut_short:
        if not await session.ledger.leader():
            return Traced(trace, unsized="nobody leads, so nobody looks until `ledger serve` runs")
        result = await session.ledger.checks.answers(check, PATIENCE_S, say_heard)
        if not result.finished:
            cut_short()
    answers = [(row.database, row.answer.preflight) for row in result.rows if row.answer]
    silent = sum(row.answer is None for row in result.rows)
    sizes = table_sizes(heavy, answers, limit, by_own_name=own)
    why = f"{number_of(silent, 'database')} did not answer" if silent else ""
    return Traced(trace, sizes, why)


def _touched(tables: Sequence[str], target: str) -> Iterator[Any]:
    """The tables as each database looks them up: in its own schema, if that is the target."""
    from migrations.model.folder_history import schema_of
    from migrations.model.preflight import TouchedTable
    from migrations.sql.literals import quote_where_needed

    schema = schema_of(target)
    own = f"{quote_where_needed(schema)}." if schema else ""
    for table in tables:
        yield TouchedTable(table.removeprefix(own), wanted=1)


def _row(one: TracedStatement) -> dict[str, Any]:
    return {
        "migration": one.label,
        "file": one.file,
        "line": one.line,
        "statement": one.statement,
        "transactional": one.transactional,
        "locks": [{"table": lock.table, "mode": lock.mode.words} for lock in one.locks],
        "rewrites": list(one.rewrites),
        "scans": list(one.scans),
        "blocks_reads": list(one.blocks_reads),
        "blocks_writes": list(one.blocks_writes),
        "not_traced": one.untraced or None,
    }
