"""Spans of one migration on one database, through opentelemetry-api alone.

Names and attributes follow the semantic conventions for databases (1.44); a name of ours starts
with `migration_ledger.`, as do those in the ledger's registry (`ledger/telemetry.py`), which this
package cannot import. Without a configured provider no span is made at all: one of the API's own
no-op spans costs 9 µs per statement, none costs 3 (seen).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Final

import asyncpg
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from migrations.clock import Clock
from migrations.model.folder_history import schema_of
from migrations.model.migration import Direction, Migration, Statement
from migrations.model.work import StepOutcome, StepResult, Work
from migrations.sql import summary
from migrations.target.session import ConnectionSettings

STEP_SPAN: Final = "migrate {version} {direction}"
"""INTERNAL; one per migration, below what the caller has open. Statements are below it."""
PREFLIGHT_SPAN: Final = "preflight"
"""A database is asked whether this is a good moment; INTERNAL."""
VERIFY_SPAN: Final = "verify"
"""A Verify section; INTERNAL, its statements are below it."""
JOURNAL_SPAN: Final = "journal"
"""An entry of the journal is written and committed, with deferred constraints; INTERNAL."""
BATCH_SPAN: Final = "batch"
"""A batch of a data migration; INTERNAL. The first ones, then a sample, and each that failed."""
VERSION: Final = "migration_ledger.migration.version"
DIRECTION: Final = "migration_ledger.migration.direction"
ROLLOUT: Final = "migration_ledger.rollout.id"
COMMAND: Final = "migration_ledger.command.id"
SCHEMA: Final = "migration_ledger.target.schema"
RESULT: Final = "migration_ledger.step.result"
BATCH: Final = "migration_ledger.batch.number"
BATCH_ROWS: Final = "migration_ledger.batch.rows"

DB_SYSTEM: Final = "db.system.name"
DB_NAMESPACE: Final = "db.namespace"
DB_TEXT: Final = "db.query.text"
DB_SUMMARY: Final = "db.query.summary"
DB_STATUS: Final = "db.response.status_code"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"

SLOW_BATCH_S: Final = 10.0
"""A batch that takes as long always has a span."""

_TRACER = trace.get_tracer("migration-ledger.migrations")
_NOTHING = nullcontext()


@contextmanager
def step_span(work: Work, migration: Migration, direction: Direction) -> Iterator[Span]:
    """The span of one migration; `finish_step` says how it ended."""
    if not _configured():
        yield trace.INVALID_SPAN
        return
    attributes = {
        VERSION: migration.version,
        DIRECTION: direction.value,
        ROLLOUT: work.rollout,
        COMMAND: str(work.command_id),
        SCHEMA: schema_of(work.target),
    }
    with _TRACER.start_as_current_span(
        STEP_SPAN.format(version=migration.version, direction=direction.value),
        kind=SpanKind.INTERNAL,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def finish_step(span: Span, outcome: StepOutcome) -> None:
    """Say how the migration ended; an error only when it failed."""
    if not span.is_recording():
        return
    span.set_attribute(RESULT, outcome.result.value)
    if outcome.result is StepResult.FAILED and outcome.failure is not None:
        span.set_attribute(ERROR_TYPE, outcome.failure.sqlstate or outcome.failure.kind)
        # No text: what a server says may quote what a tenant stored.
        span.set_status(Status(StatusCode.ERROR))


def statement_span(
    settings: ConnectionSettings, target: str, statement: Statement
) -> AbstractContextManager[None]:
    """The span of one statement; the text is the one without literals."""
    if not _configured():
        return _NOTHING
    namespace = f"{settings.database}|{target}" if target else settings.database
    attributes: dict[str, str | int] = {
        DB_SYSTEM: "postgresql",
        DB_NAMESPACE: namespace,
        DB_TEXT: summary.normalized(statement.text),
        DB_SUMMARY: statement.summary,
        SERVER_ADDRESS: settings.host,
        SERVER_PORT: settings.port,
    }
    return MarkedSpan(statement.summary, SpanKind.CLIENT, attributes)


def part_span(
    name: str, attributes: Mapping[str, str | int] | None = None
) -> AbstractContextManager[None]:
    """The span of a part of the work that is no statement; of what it raises it has the class."""
    return MarkedSpan(name, SpanKind.INTERNAL, attributes) if _configured() else _NOTHING


@contextmanager
def batch_span(
    number: int, rows: int, clock: Clock, *, sampled: bool, slow_s: float = SLOW_BATCH_S
) -> Iterator[None]:
    """The span of one batch. One that is not `sampled` has one when it fails, or takes long."""
    attributes = {BATCH: number, BATCH_ROWS: rows}
    if sampled or not _configured():
        with part_span(BATCH_SPAN, attributes):
            yield
        return
    began_at, began = clock.now(), clock.monotonic()
    failed: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failed = error
        raise
    finally:
        if failed is not None or clock.monotonic() - began >= slow_s:
            span = _TRACER.start_span(
                BATCH_SPAN,
                attributes=attributes,
                start_time=round(began_at.timestamp() * 1_000_000) * 1_000,
            )
            if failed is not None:
                _mark(span, failed)
            span.end()


class MarkedSpan(AbstractContextManager[None]):
    """The current span inside a block. What an exception says may hold tenant data: its class and
    its SQLSTATE are kept. A generator for each statement of each database costs more than the span.
    """

    __slots__ = ("_current", "_span")

    def __init__(
        self, name: str, kind: SpanKind, attributes: Mapping[str, str | int] | None
    ) -> None:
        self._current = _TRACER.start_as_current_span(
            name,
            kind=kind,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )

    def __enter__(self) -> None:
        """Begin."""
        self._span = self._current.__enter__()

    def __exit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, marked where something was raised."""
        if error is not None:
            _mark(self._span, error)
        self._current.__exit__(type_, error, traceback)


def _configured() -> bool:
    """Whether somebody has set a provider; the API's own stand-in is a proxy for one to come."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _mark(span: Span, error: BaseException) -> None:
    if not span.is_recording():
        return
    cause = getattr(error, "cause", error)
    state = cause.sqlstate if isinstance(cause, asyncpg.PostgresError) else None
    if state:
        span.set_attribute(DB_STATUS, state)
    span.set_attribute(ERROR_TYPE, state or type(cause).__name__)
    span.set_status(Status(StatusCode.ERROR))
