"""The SQL that a plan would run, as one of its databases gets it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledger.contracts.events import RolloutPlanned, WavePlanned
from ledger.domain.variables import ordered_values, samples
from migrations.model.migration import Migration

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef
    from ledger.service.plans import Plan
    from migrations.model.migration import Section, SourceFile


@dataclass(frozen=True, slots=True)
class StepText:
    """What one migration runs on `database`; `remark` is how, where that is not one transaction."""

    migration: str
    database: str
    file: str
    sql: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class PlannedMigrations:
    """A plan's migrations with their statements, as `database` gets them.

    `applied` are those of the bundle that it has, in order.
    """

    database: str
    pending: tuple[Migration, ...]
    applied: tuple[Migration, ...] = ()


async def texts_of(plan: Plan, stored: Callable[[str], Awaitable[bytes]]) -> tuple[StepText, ...]:
    """What the plan's migrations run on its first database, in order; none where it has none.

    `stored` gives the text with a SHA-256, for a bundle that is registered. Raises `LoadError`.
    """
    if not plan.databases:
        return ()
    from migrations.model.migration import Direction

    direction = Direction.UP if plan.direction == "up" else Direction.DOWN
    found = []
    for ref, migration in zip(plan.steps, await _read(plan, plan.steps, stored), strict=True):
        section = migration.section(direction)
        if section is not None:
            found.append(_told(ref, plan.databases[0], section))
    return tuple(found)


async def migrations_of(plan: Plan, stored: Callable[[str], Awaitable[bytes]]) -> PlannedMigrations:
    """The plan's migrations as its first database gets them, and what it has of the bundle.

    Of a plan for no database, nothing. Raises `LoadError`.
    """
    if not plan.databases:
        return PlannedMigrations("", ())
    from migrations.model.phases import through

    steps = {ref.version for ref in plan.steps}
    last = max(at for at, ref in enumerate(plan.bundle.migrations) if ref.version in steps)
    before, _ = through(plan.bundle.migrations[:last], plan.request.phase)
    # A baseline stands in the place of what is there already.
    had = [ref for ref in before if ref.version not in steps and ref.replaces is None]
    return PlannedMigrations(
        plan.databases[0],
        await _read(plan, plan.steps, stored),
        await _read(plan, had, stored),
    )


async def _read(
    plan: Plan, refs: Sequence[MigrationRef], stored: Callable[[str], Awaitable[bytes]]
) -> tuple[Migration, ...]:
    values = _values(plan, plan.databases[0])
    return tuple(_loaded(ref, files, values) for ref, files in await _files(plan, refs, stored))


async def bundle_migrations(
    plan: Plan, stored: Callable[[str], Awaitable[bytes]]
) -> tuple[Migration, ...]:
    """All migrations of the plan's folder or bundle, in order, with samples of its variables.

    Those that cannot be read with them are left out.
    """
    found = await _files(plan, plan.bundle.migrations, stored)
    return await asyncio.to_thread(_readable, found, samples(plan.request.variables))


async def _files(
    plan: Plan, refs: Sequence[MigrationRef], stored: Callable[[str], Awaitable[bytes]]
) -> list[tuple[MigrationRef, list[SourceFile]]]:
    """What each of these is read from: the folder that was planned with, or what is stored."""
    from migrations.model.migration import SourceFile

    read = plan.folder.texts if plan.folder else ()
    own = {hashlib.sha256(text).hexdigest(): text for text in read}
    return [
        (
            ref,
            [
                SourceFile(
                    file.name, own[one] if (one := file.sha256) in own else await stored(one)
                )
                for file in ref.files
            ],
        )
        for ref in refs
    ]


def _readable(
    found: Sequence[tuple[MigrationRef, Sequence[SourceFile]]], values: Mapping[str, str]
) -> tuple[Migration, ...]:
    from migrations.errors import LoadError

    loaded = []
    for ref, files in found:
        with suppress(LoadError):
            loaded.append(replace(_loaded(ref, files, values), unit=ref.unit, phase=ref.phase))
    return tuple(loaded)


def _loaded(ref: MigrationRef, files: Sequence[SourceFile], values: Mapping[str, str]) -> Migration:
    """One migration with what its placeholders stand for. Raises `LoadError`."""
    from migrations.formats import Reading
    from migrations.formats.bundle import load_files

    mine = {name: values[name] for name in ref.variables if name in values}
    return load_files(
        ref.format,
        files,
        version=ref.version,
        name=ref.name,
        reading=Reading(mine, programs=True),
    )


def _values(plan: Plan, database: str) -> dict[str, str]:
    """What placeholders stand for there."""
    variables = next((one.variables for one in plan.events if isinstance(one, RolloutPlanned)), ())
    for event in plan.events:
        for one in event.values if isinstance(event, WavePlanned) else ():
            if one.database == database:
                return dict(ordered_values(variables, one.values))
    return dict(ordered_values(variables, ()))


def _told(ref: MigrationRef, database: str, section: Section) -> StepText:
    remark = ""
    if section.batches is not None:
        remark = f"in batches of {section.batches.size:,} over {section.batches.table}"
    elif section.program is not None:
        remark = f"runs {section.program.language.value}"
    elif not section.transactional:
        remark = "statement by statement, not in one transaction"
    if section.program is not None:
        sql = section.program.text
    else:
        sql = "".join(f"{statement.text.strip()};\n" for statement in section.statements)
    file = section.file or (ref.files[0].name if ref.files else "")
    return StepText(ref.label, database, file, sql, remark)
