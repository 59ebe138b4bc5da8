"""`ledger report`: how often migrations ran and failed, and how long they took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import command, opened, tell_behind
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.moments import SinceOption, UntilOption, moments_between
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.options import SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.domain.wording import number_of, took_text

if TYPE_CHECKING:
    from ledger.cli.app.command import Session
    from ledger.service.performance import DurationReport, MigrationReport, ReportSubject

MIGRATIONS = 10
"""The last ones, unless others are asked for: each costs as much as it has databases."""
SIZED = 3
"""The same of durations by size, which cost three times as much."""
SLOWEST = 10
MIGRATION_COLUMNS = (
    "migration", "direction", "executions", "successes", "failed", "success_rate", "errors", "p50",
    "p95", "longest",
)  # fmt: skip
MIGRATION_FIELDS = (*MIGRATION_COLUMNS[:7], "p50_ms", "p95_ms", "max_ms")
SIZE_COLUMNS = ("migration", "direction", "tables", "executions", "p50", "p95", "longest")
SIZE_FIELDS = ("migration", "direction", "up_to_mb", "executions", "p50_ms", "p95_ms", "max_ms")
SLOW_COLUMNS = ("migration", "direction", "database", "took", "table_mb", "rollout", "at")

MigrationsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="VERSION...",
        help="Only these. Default: the last ones that ran.",
        autocompletion=completion.known_versions,
    ),
]
LimitOption = Annotated[
    int,
    typer.Option("--limit", metavar="N", min=1, max=1000, help="How many of the last migrations."),
]


@dataclass(frozen=True, slots=True)
class ReportOptions(OptionGroup):
    """When and where what is counted ran."""

    since: SinceOption = None
    until: UntilOption = None
    select: SelectOption = ""

    def asked(self, versions: list[str] | None) -> ReportSubject:
        """What the report is about. Raises `WrongArgument`."""
        from ledger.service.performance import ReportSubject

        since, until = moments_between(self.since, self.until)
        return ReportSubject(tuple(versions or ()), since, until, self.select)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    report = typer.Typer(
        cls=CommandGroup,
        no_args_is_help=True,
        help="How often migrations ran and failed, and how long they took, from the log.",
    )
    command(
        report,
        "migrations",
        examples=(
            "ledger report migrations",
            "ledger report migrations --since 30d -o csv",
            "ledger report migrations 20260601090000 --select tier=gold",
        ),
    )(migrations)
    command(
        report,
        "durations",
        examples=("ledger report durations", "ledger report durations 20260601090000 -o json"),
    )(durations)
    app.add_typer(report, name="report", rich_help_panel="Record")


async def migrations(
    ctx: typer.Context,
    which: ReportOptions,
    versions: MigrationsArgument = None,
    limit: LimitOption = MIGRATIONS,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show how often each migration ran, how that ended, and how long it took.

    One line for each direction. Of durations, where it succeeded: the middle (p50), what 95 of 100
    stayed below (p95), and the longest. A database on which a migration ran several times counts
    each time.
    """
    form = Output(output)
    async with opened(ctx) as session:
        asked = await _asked(session, which, versions)
        found = await session.ledger.performance.migrations(asked, limit)
        await tell_behind(session)
    form.rows(
        "report.migrations",
        (_migration(one, form) for one in found),
        MIGRATION_COLUMNS if form.for_people else MIGRATION_FIELDS,
        empty="Nothing ran that this is about.",
    )


async def durations(
    ctx: typer.Context,
    which: ReportOptions,
    versions: MigrationsArgument = None,
    limit: LimitOption = SIZED,
    slowest: Annotated[
        int,
        typer.Option("--slowest", min=0, max=10_000, help="How many of the slowest runs."),
    ] = SLOWEST,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show how long migrations took, by the size of the tables, and where they took the longest.

    The size is that of the largest table that the attempt was to touch, as it was asked before; it
    is not known where nothing was asked. Only what succeeded counts.
    """
    form = Output(output)
    async with opened(ctx) as session:
        asked = await _asked(session, which, versions)
        found = await session.ledger.performance.durations(asked, limit, slowest)
        await tell_behind(session)
    slow = list(_slowest(found, form))
    form.rows(
        "report.durations",
        _sizes(found, form),
        SIZE_COLUMNS if form.for_people else SIZE_FIELDS,
        empty="Nothing ran that this is about.",
        slowest=slow,
    )
    if form.for_people and slow:
        form.lines(["", f"The slowest {number_of(len(slow), 'run')}:"])
        form.rows("report.durations", slow, SLOW_COLUMNS, empty="")


async def _asked(
    session: Session, which: ReportOptions, versions: list[str] | None
) -> ReportSubject:
    """What the report is about. Raises `WrongArgument`, and for a selection as all commands do."""
    asked = which.asked(versions)
    if asked.select:
        # A selection that cannot be followed is refused; an empty report would hide it.
        await session.ledger.fleet.page(asked.select, limit=1)
    return asked


def _migration(one: MigrationReport, form: Output) -> dict[str, Any]:
    summary = one.summary
    errors = dict(one.failures)
    return {
        "migration": summary.version,
        "direction": summary.direction,
        "executions": summary.executions,
        "successes": summary.successes,
        "failed": one.failed,
        "success_rate": f"{one.success_rate:g} %" if form.for_people else one.success_rate,
        "errors": errors,
        **_spread(summary.spread, form),
        "first_at": summary.first_at,
        "last_at": summary.last_at,
    }


def _sizes(found: DurationReport, form: Output) -> Iterator[dict[str, Any]]:
    for one in found.sizes:
        upto = None if one.magnitude is None else 10**one.magnitude
        tables = "not known" if upto is None else f"up to {upto:,} MB"
        yield {
            "migration": one.version,
            "direction": one.direction,
            **({"tables": tables} if form.for_people else {"up_to_mb": upto}),
            "executions": one.executions,
            **_spread(one.spread, form),
        }


def _slowest(found: DurationReport, form: Output) -> Iterator[dict[str, Any]]:
    for one in found.slowest:
        took = {"took": took_text(one.duration_ms)} if form.for_people else {}
        yield {
            "migration": one.version,
            "direction": one.direction,
            "database": one.database,
            **(took or {"duration_ms": one.duration_ms}),
            "table_mb": one.table_mb,
            "rollout": one.rollout,
            "at": one.at,
        }


def _spread(spread: tuple[int, int, int] | None, form: Output) -> dict[str, Any]:
    values = spread or (None, None, None)
    if form.for_people:
        told = [None if one is None else took_text(one) for one in values]
        return dict(zip(("p50", "p95", "longest"), told, strict=True))
    return dict(zip(("p50_ms", "p95_ms", "max_ms"), values, strict=True))
