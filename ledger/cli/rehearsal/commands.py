"""`ledger test`: every migration up, down and up again, on a database that nobody needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ledger.cli.app.code_option import languages
from ledger.cli.app.command import command, flags_of, opened
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.schemas import schemas_in
from ledger.cli.app.scratch import EMPTY, FOLDER, ScratchOptions, say_left_over
from ledger.cli.app.variables import declared, names_said, reading_of
from ledger.cli.db.options import TimeoutOptions, refuse_unwritable
from ledger.cli.rehearsal.choice import RehearsalChoice, RehearsalWish, chosen
from ledger.cli.rehearsal.options import RehearsedOptions, ResultOptions
from ledger.errors import LedgerError, WrongArgument
from migrations.printable import escaped, why_unreadable

if TYPE_CHECKING:
    from ledger.contracts.registry import Variable
    from migrations.model.migration import Migration
    from migrations.model.traces import Trace
    from migrations.rehearsal.fixtures import Fixtures
    from migrations.rehearsal.results import MigrationRehearsal, Rehearsal
    from migrations.rehearsal.shapes import TableShape
    from migrations.scratch.builder import Lack
    from migrations.scratch.schema import Schema

LACKS_TOLD = 5
"""What the scratch database has not, that people are told; all of it is in the data."""
FIXTURES = "tests"
"""The folder beside that of the migrations in which fixtures stand."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "test",
        panel="Every day",
        examples=(
            "ledger test",
            "ledger test --all --junit rehearsal.xml",
            "ledger test --scratch env:SCRATCH_URL --after 20260401120000",
            "ledger test --schema-from file:schema.sql --after 20260401120000",
        ),
    )(rehearse_folder)


async def rehearse_folder(
    ctx: typer.Context,
    which: RehearsedOptions,
    where: ScratchOptions,
    patience: TimeoutOptions,
    why: ReasonOptions,
    results: ResultOptions,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Rehearse migrations on a scratch database: each goes up, down, and up again.

    What a down leaves behind, does not bring back, or loses is shown; so are checks that do not
    hold. Rows come from tests/VERSION.before.sql, checks from tests/VERSION.after.sql. The scratch
    database is dropped afterwards. Ends with 1 if a migration failed.
    """
    from ledger.domain.variables import refuse_unknown, samples
    from migrations.rehearsal.fixtures import load_fixtures

    settings, target = flags_of(ctx).load().settings, schemas_in(which.schema)[0]
    variables = declared(which.var, settings)
    refuse_unwritable(results.junit)
    migrations = await _loaded(which, variables)
    shapes = _shapes(which.rows_like)
    home = which.fixtures or _beside(which.folder)
    fixtures = load_fixtures(
        home, migrations, needed=which.fixtures is not None, variables=samples(variables)
    )
    refuse_unknown(names_said(which.var), migrations, fixtures.mentioned)
    kind = where.source[0]
    wanted = RehearsalWish(which.every, which.after, kind, where.fleet_database or "")
    choice = await chosen(ctx, which.folder, which.format, variables, migrations, wanted)
    if not {one.version for one in choice.migrations} - choice.ready:
        say(f"Nothing is rehearsed: {choice.said}; --all rehearses every migration.", always=True)
        return ExitCode.OK
    found, lacks = await _rehearsed(
        ctx, choice, fixtures, shapes, which, where, patience, target, why
    )
    seen = await _seen(ctx, choice, where, target, why) if results.statements else None
    recorded, wished = "", results.record
    if wished or (wished is None and settings.database_url is not None):
        recorded = await _record(ctx, which, variables, migrations, found, kind, why, wished)
    _show(Output(output), found, choice, which.folder, migrations, lacks, recorded, kind, seen)
    for name in fixtures.unread:
        say(f"nothing reads {name}; fixtures are called VERSION.before.sql and VERSION.after.sql")
    if results.junit is not None:
        _write(results.junit, found, which.folder, migrations)
    return ExitCode.OK if found.succeeded else ExitCode.FAILED


async def _loaded(which: RehearsedOptions, variables: Sequence[Variable]) -> tuple[Migration, ...]:
    """Every migration of the folder; a variable of a label stands there with its sample."""
    from ledger.domain.variables import samples
    from migrations.formats.bundle import load_folder

    reading = replace(reading_of(variables, psql=True), variables=samples(variables))
    return (await asyncio.to_thread(load_folder, which.folder, which.format, reading)).migrations


def _shapes(file: Path | None) -> tuple[TableShape, ...]:
    """The shapes in a file, if one is named. Raises `WrongArgument`."""
    from migrations.rehearsal.shapes import read

    if file is None:
        return ()
    try:
        return read(file.read_bytes())
    except OSError as error:
        why = f"cannot be read ({why_unreadable(error)})"
    except ValueError as error:
        why = str(error)
    raise WrongArgument(f"{escaped(str(file))}: {why}; write one with `ledger db shapes --to FILE`")


def _beside(folder: Path) -> Path:
    from migrations.formats.multi_folder import folders_of

    return folders_of(folder)[0].parent / FIXTURES


async def _rehearsed(
    ctx: typer.Context,
    choice: RehearsalChoice,
    fixtures: Fixtures,
    shapes: tuple[TableShape, ...],
    which: RehearsedOptions,
    where: ScratchOptions,
    patience: TimeoutOptions,
    target: str,
    why: ReasonOptions,
) -> tuple[Rehearsal, tuple[Lack, ...]]:
    from ledger.scratch import opened_scratch
    from migrations.model.folder_history import journal_key
    from migrations.rehearsal.rehearsal import RehearsalStage, rehearse

    say(f"Rehearsed: {choice.said}.")
    place, schema = where.place(ctx), await _schema(ctx, choice, where, target, why)
    async with opened_scratch(place, schema, say=say) as scratch:
        say_left_over(scratch)
        for lack in scratch.lacks[:LACKS_TOLD]:
            say(f"not in the scratch database: {lack.what}: {lack.why}")
        if len(scratch.lacks) > LACKS_TOLD:
            say(f"and {len(scratch.lacks) - LACKS_TOLD:,} more; `-o json` has all of them")
        stage = RehearsalStage(
            scratch.settings,
            target=journal_key(target),
            limits=patience.limits(ctx),
            programs=languages(which.allow_code),
            psql_shell=which.allow_shell,
            ready=choice.ready,
            shapes=shapes,
            rows_most=which.rows_most,
        )
        found = await rehearse(stage, choice.migrations, fixtures, RehearsalProgress())
        return found, scratch.lacks


async def _seen(
    ctx: typer.Context,
    choice: RehearsalChoice,
    where: ScratchOptions,
    target: str,
    why: ReasonOptions,
) -> Trace:
    """What the statements do to tables, seen on a scratch database of their own."""
    from ledger.scratch import opened_scratch
    from migrations.model.folder_history import journal_key
    from migrations.scratch.trace import trace

    schema = await _schema(ctx, choice, where, target, why)
    async with opened_scratch(where.place(ctx), schema, say=say) as scratch:
        return await trace(
            scratch,
            [one for one in choice.migrations if one.version not in choice.ready],
            applied=[one for one in choice.migrations if one.version in choice.ready],
            target=journal_key(target),
            together=False,
        )


async def _schema(
    ctx: typer.Context,
    choice: RehearsalChoice,
    where: ScratchOptions,
    target: str,
    why: ReasonOptions,
) -> Schema | None:
    """What the scratch database is set up with; of the folder's own, only what it may not make."""
    from ledger.cli.app.trace import fleet_schema
    from migrations.rehearsal.surroundings import surroundings

    if where.source[0] in (FOLDER, EMPTY):
        return surroundings(choice.migrations, target)
    if where.fleet_database is None:
        return await where.schema(target)
    async with opened(ctx) as session:
        return await fleet_schema(session, where, "", target, why.asked())


class RehearsalProgress:
    """Says on stderr how far it is."""

    def begun(self, label: str, number: int, total: int) -> None:
        """Say which migration is rehearsed."""
        say(f"{number}/{total} {label}")

    def ended(self, result: MigrationRehearsal) -> None:
        """Say at once what is wrong."""
        for problem in result.problems:
            say(f"  failed: {problem.message}")


async def _record(
    ctx: typer.Context,
    which: RehearsedOptions,
    variables: Sequence[Variable],
    migrations: Sequence[Migration],
    found: Rehearsal,
    kind: str,
    why: ReasonOptions,
    asked_for: bool | None,
) -> str:
    """Record the result; the bundle's digest, empty where that is not possible.

    Raises what keeps it from being recorded, if it was asked for in so many words.
    """
    from ledger.domain.refusals import RequestRefusal
    from ledger.service.rehearsals import RehearsedFolder

    folder = RehearsedFolder(which.folder, which.format, variables, migrations, kind)
    try:
        async with opened(ctx) as session:
            digest = await session.ledger.rollouts.record_rehearsal(folder, found, why.asked())
    except (LedgerError, RequestRefusal) as error:
        if asked_for:
            raise
        say(f"the result is not recorded: {error}", always=True)
        return ""
    if digest is None:
        say("the result is not recorded, for the folder was changed meanwhile", always=True)
    return digest or ""


def _show(
    output: Output,
    found: Rehearsal,
    choice: RehearsalChoice,
    folder: Path,
    migrations: Sequence[Migration],
    lacks: Sequence[Lack],
    recorded: str,
    kind: str,
    seen: Trace | None,
) -> None:
    from ledger.cli.rehearsal import page

    files = _files(migrations)
    if output.for_people and not found.succeeded:
        output.text("\n".join(page.failures(found, folder, files)))
    row_of = page.people_row if output.for_people else page.row
    output.rows(
        "test",
        [row_of(one, folder, files, seen) for one in found.migrations],
        page.COLUMNS if output.for_people else page.FIELDS,
        empty="",
        succeeded=found.succeeded,
        rehearsed=choice.said,
        server_version=found.server_version,
        schema_from=kind,
        duration_ms=found.duration_ms,
        notes=list(found.notes),
        lacks=[{"what": one.what, "why": one.why} for one in lacks],
        recorded_for=recorded or None,
    )
    if seen is not None and output.for_people:
        output.lines(list(page.statements(found, folder, seen)))
    for note in found.notes:
        say(f"note: {note}")
    output.tell(page.counted(found))
    if recorded:
        say(f"Recorded for bundle {recorded[:12]}.")


def _files(migrations: Sequence[Migration]) -> frozenset[str]:
    return frozenset(file.name for one in migrations for file in one.files)


def _write(file: Path, found: Rehearsal, folder: Path, migrations: Sequence[Migration]) -> None:
    from ledger.cli.rehearsal.junit import junit

    try:
        file.write_bytes(junit(found, folder, _files(migrations)))
    except OSError as error:
        raise WrongArgument(
            f"{escaped(str(file))} cannot be written ({why_unreadable(error)}); name another file "
            "with --junit"
        ) from None
