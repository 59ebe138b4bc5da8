"""The SQL that a plan would run, as one of its databases gets it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledger.contracts.events import RolloutPlanned, WavePlanned
from ledger.domain.variables import ordered_values, samples

if TYPE_CHECKING:
    from ledger.contracts.registry import MigrationRef
    from ledger.service.plans import Plan
    from migrations.model.migration import Migration, Section


@dataclass(frozen=True, slots=True)
class StepText:
    """What one migration runs on `database`; `remark` is how, where that is not one transaction."""

    migration: str
    database: str
    file: str
    sql: str
    remark: str = ""


async def texts_of(plan: Plan, stored: Callable[[str], Awaitable[bytes]]) -> tuple[StepText, ...]:
    """What the plan's migrations run on its first database, in order; none where it has none.

    `stored` gives the text with a SHA-256, for a bundle that is registered. Raises `LoadError`.
    """
    if not plan.databases:
        return ()
    from migrations.formats import Reading
    from migrations.formats.bundle import load_files
    from migrations.model.migration import Direction, SourceFile

    database = plan.databases[0]
    direction = Direction.UP if plan.direction == "up" else Direction.DOWN
    read = plan.folder.texts if plan.folder else ()
    own = {hashlib.sha256(text).hexdigest(): text for text in read}
    values = _values(plan, database)
    found = []
    for ref in plan.steps:
        files = [
            SourceFile(file.name, own[one] if (one := file.sha256) in own else await stored(one))
            for file in ref.files
        ]
        mine = {name: value for name, value in values.items() if name in ref.variables}
        migration = load_files(
            ref.format,
            files,
            version=ref.version,
            name=ref.name,
            reading=Reading(mine, programs=True),
        )
        section = migration.section(direction)
        if section is not None:
            found.append(_told(ref, database, section))
    return tuple(found)


async def migrations_of(
    plan: Plan, stored: Callable[[str], Awaitable[bytes]]
) -> tuple[Migration, ...]:
    """All migrations of the plan's folder or bundle, in order, with samples of its variables.

    Those that cannot be read with them are left out.
    """
    read = {
        hashlib.sha256(text).hexdigest(): text
        for text in (plan.folder.texts if plan.folder else ())
    }
    found = []
    for ref in plan.bundle.migrations:
        files = [
            (file.name, read.get(file.sha256) or await stored(file.sha256)) for file in ref.files
        ]
        found.append((ref, files))
    values = samples(plan.request.variables)
    return await asyncio.to_thread(_loaded, found, values)


def _loaded(
    found: Sequence[tuple[MigrationRef, Sequence[tuple[str, bytes]]]], values: Mapping[str, str]
) -> tuple[Migration, ...]:
    from migrations.errors import LoadError
    from migrations.formats import Reading
    from migrations.formats.bundle import load_files
    from migrations.model.migration import SourceFile

    loaded = []
    for ref, files in found:
        reading = Reading(
            {name: values[name] for name in ref.variables if name in values}, programs=True
        )
        try:
            migration = load_files(
                ref.format,
                [SourceFile(*file) for file in files],
                version=ref.version,
                name=ref.name,
                reading=reading,
            )
        except LoadError:
            continue
        loaded.append(replace(migration, unit=ref.unit, phase=ref.phase))
    return tuple(loaded)


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
        remark = f"in batches of {section.batches.size} over {section.batches.table}"
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
