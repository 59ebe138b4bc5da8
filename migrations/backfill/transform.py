"""A batch that a Python function transforms: its rows go in, what to write comes out.

rows locked and saved ─▶ transform(rows, conn) ─▶ UPDATE by key, for the rows of this batch alone
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from migrations.backfill.keyset import Page
from migrations.backfill.run import BackfillRun
from migrations.errors import DataRefused
from migrations.model.migration import Program
from migrations.running.code import transformed
from migrations.running.retry import failed_at
from migrations.sql.literals import quote_ident
from migrations.target.session import is_connection_lost


async def transform(course: BackfillRun, page: Page, program: Program) -> None:
    """Run the function over one page in the open transaction. Raises StatementFailed."""
    batches, connection = course.batches, course.target.connection
    columns = batches.backup if batches.restore else batches.columns
    listed = ", ".join(map(quote_ident, dict.fromkeys((*batches.key, *columns))))
    try:
        rows = await connection.fetch(
            f"{course.source.rows(page, listed)} ORDER BY {course.source.names}"
        )
    except asyncpg.PostgresError as error:
        if is_connection_lost(connection, error):
            raise
        raise failed_at(error, course.whole) from None
    answer = await transformed(course.target, course.run, program, rows)
    await _write(course, program, _checked(course, program, rows, answer))


def _checked(
    course: BackfillRun, program: Program, rows: Sequence[asyncpg.Record], answer: object
) -> dict[tuple[str, ...], list[tuple[object, ...]]]:
    """The values to write, by the columns that they are for. Raises StatementFailed."""
    key, backup = course.batches.key, course.batches.backup
    known = {tuple(row[name] for name in key) for row in rows}
    wanted: dict[tuple[str, ...], list[tuple[object, ...]]] = defaultdict(list)
    for one in _mappings(program, answer):
        if not all(isinstance(name, str) for name in one):
            raise _refused(program, "returned a row whose columns are not named by texts")
        if any(name not in one for name in key):
            raise _refused(program, f"returned a row without its key ({', '.join(key)})")
        place = tuple(one[name] for name in key)
        if not _is_in(place, known):
            raise _refused(program, "returned a row that is not of this batch")
        columns = tuple(name for name in one if name not in key)
        unsaved = [name for name in columns if backup and name not in backup]
        if unsaved:
            raise _refused(program, f"sets {unsaved[0]}, which backup= does not save")
        if columns:
            wanted[columns].append((*place, *(one[name] for name in columns)))
    return wanted


def _is_in(place: tuple[object, ...], known: set[tuple[object, ...]]) -> bool:
    try:
        return place in known
    except TypeError:
        return False  # What cannot be hashed is no value of a key.


def _mappings(program: Program, answer: object) -> Iterable[Mapping[str, object]]:
    if answer is None:
        return
    if not isinstance(answer, Iterable):
        raise _refused(program, "returned something else than rows")
    for one in answer:
        if not isinstance(one, Mapping):
            raise _refused(program, "returned a row that is no mapping")
        yield one


async def _write(
    course: BackfillRun,
    program: Program,
    wanted: Mapping[tuple[str, ...], Sequence[tuple[object, ...]]],
) -> None:
    connection, key = course.target.connection, course.batches.key
    for columns, values in wanted.items():
        sets = ", ".join(
            f"{quote_ident(name)} = ${number}"
            for number, name in enumerate(columns, start=len(key) + 1)
        )
        where = " AND ".join(
            f"{quote_ident(name)} = ${number}" for number, name in enumerate(key, start=1)
        )
        try:
            await connection.executemany(
                f"UPDATE {course.keyset.table} SET {sets} WHERE {where}",  # noqa: S608
                values,
            )
        except asyncpg.DataError:
            # The driver's own text repeats the value.
            raise _refused(program, f"sets {', '.join(columns)} to what does not fit") from None
        except asyncpg.PostgresError as error:
            if is_connection_lost(connection, error):
                raise
            raise failed_at(error, course.whole) from None


def _refused(program: Program, problem: str) -> Exception:
    return failed_at(
        DataRefused(
            f"{program.entry} in {program.file} {problem}; return a mapping per row with the key "
            "and the columns to set"
        ),
        None,
    )
