"""How a rehearsal went, for people and for programs: what failed first, then a line for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.cli.db.catalog import lines_of, row_of
from ledger.cli.lint.scope import shown_path
from ledger.domain.wording import number_of
from migrations.model.migration import Direction
from migrations.printable import escaped
from migrations.rehearsal.results import (
    Mark,
    MigrationRehearsal,
    PartResult,
    Rehearsal,
    RehearsalPart,
    RehearsalProblem,
    StatementTime,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrations.model.traces import Trace, TracedStatement

SHOWN = 40
"""Objects that differ, and statements, that people see of one problem; the JSON form has all."""
_TIMED = (RehearsalPart.UP, RehearsalPart.VERIFY, RehearsalPart.DOWN, RehearsalPart.UP_AGAIN)
COLUMNS = ("migration", "result", "up", "verify", "down", "up_again", "note")
"""What people see of a migration."""
FIELDS = ("migration", "result", "up_ms", "verify_ms", "down_ms", "up_again_ms", "note")
"""The same for spreadsheets."""


def place_of(problem: RehearsalProblem, folder: Path, files: frozenset[str]) -> str:
    """Where it is, as seen from where the program was started: `file:line`."""
    if not problem.file:
        return ""
    file = shown_path(folder, problem.file) if problem.file in files else problem.file
    return f"{escaped(file)}:{problem.line}" if problem.line else escaped(file)


def failures(found: Rehearsal, folder: Path, files: frozenset[str]) -> Iterator[str]:
    """Lines about everything that is wrong."""
    for one in found.failed:
        for part in one.parts:
            for problem in part.problems:
                place = place_of(problem, folder, files)
                lead = f"{place}: " if place else ""
                yield f"{escaped(one.label)}, {part.part}: {lead}{escaped(problem.message)}"
                yield from _details(problem)
                yield ""


def _details(problem: RehearsalProblem) -> Iterator[str]:
    yield from (f"  {escaped(one)}" for one in problem.details[:SHOWN])
    if len(problem.details) > SHOWN:
        yield f"  … and {len(problem.details) - SHOWN:,} more"
    if problem.difference is None:
        return
    for change in problem.difference.changes[:SHOWN]:
        yield from (f"  {line}" for line in lines_of(change))
    more = len(problem.difference.changes) - SHOWN + problem.difference.more
    if more > 0:
        yield f"  … and {more:,} more"
    if problem.remedy:
        yield "  -- What the down lacks:"
        for statement in problem.remedy[:SHOWN]:
            yield from (f"  {line}" for line in statement.split("\n"))


def text_of(problem: RehearsalProblem) -> str:
    """All of a problem in lines, for other programs' pages."""
    return "\n".join([escaped(problem.message), *_details(problem)])


def counted(found: Rehearsal) -> str:
    """How it went, in one line."""
    counts = {mark: sum(one.mark is mark for one in found.migrations) for mark in Mark}
    said = [f"{number_of(counts[Mark.PASSED], 'migration')} went well"]
    if counts[Mark.FAILED]:
        said.insert(0, f"{counts[Mark.FAILED]} failed")
    if counts[Mark.SKIPPED]:
        said.append(f"{counts[Mark.SKIPPED]} not reached")
    release = f"PostgreSQL {found.server_version // 10_000}.{found.server_version % 10_000}"
    return f"{', '.join(said)}, on {release}, in {found.duration_ms / 1000:.1f} s."


def row(
    one: MigrationRehearsal, folder: Path, files: frozenset[str], seen: Trace | None
) -> dict[str, Any]:
    """One migration as data; `seen` is what a trace says of its statements, if there is one."""
    times: Mapping[RehearsalPart, PartResult] = {part.part: part for part in one.parts}
    return {
        "migration": one.label,
        "version": one.version or None,
        "file": shown_path(folder, one.file) if one.file in files else one.file,
        "result": one.mark,
        **{f"{_key(part)}_ms": _duration_ms(times.get(part)) for part in _TIMED},
        "note": _note(one),
        "notes": list(one.notes),
        "parts": [_part(part, folder, files) for part in one.parts],
        "statements": [_statement(one, statement, folder, seen) for statement in one.statements],
    }


def _statement(
    one: MigrationRehearsal, statement: StatementTime, folder: Path, seen: Trace | None
) -> dict[str, Any]:
    traced = _traced(one, statement, seen)
    locks = (
        {
            "locks": [{"table": lock.table, "mode": lock.mode.words} for lock in traced.locks],
            "rewrites": list(traced.rewrites),
            "scans": list(traced.scans),
            "untraced": traced.untraced or None,
        }
        if traced is not None
        else {}
    )
    return {
        "direction": statement.direction,
        "file": shown_path(folder, statement.file),
        "line": statement.line,
        "statement": statement.summary,
        "duration_ms": statement.duration_ms,
        **locks,
    }


def _traced(
    one: MigrationRehearsal, statement: StatementTime, seen: Trace | None
) -> TracedStatement | None:
    """What a trace saw of a statement on its way up."""
    if seen is None or statement.direction is not Direction.UP:
        return None
    place = statement.file, statement.line, statement.summary
    found = seen.of(one.version)
    return next((each for each in found if (each.file, each.line, each.statement) == place), None)


def statements(found: Rehearsal, folder: Path, seen: Trace) -> Iterator[str]:
    """A line for each statement: where, how long, and what it does to tables in use."""
    for one in found.migrations:
        if one.statements:
            yield ""
            yield escaped(one.label)
        for statement in one.statements:
            traced = _traced(one, statement, seen)
            place = escaped(f"{shown_path(folder, statement.file)}:{statement.line}")
            what = f"{statement.direction}, {place}: {escaped(statement.summary)}"
            yield f"  {what}, {statement.duration_ms:,} ms{_effects(traced)}"


def _effects(traced: TracedStatement | None) -> str:
    if traced is None:
        return ""
    said = [f"{one.mode.words} on {escaped(one.table)}" for one in traced.locks]
    said += [f"rewrites {escaped(table)}" for table in traced.rewrites]
    said += [f"reads all of {escaped(table)}" for table in traced.scans]
    said += [f"not traced: {escaped(traced.untraced)}"] if traced.untraced else []
    return f"; {', '.join(said)}" if said else ""


def people_row(
    one: MigrationRehearsal, folder: Path, files: frozenset[str], seen: Trace | None
) -> dict[str, Any]:
    """One migration for a table: times with their unit, and whether they ended well."""
    times = {part.part: part for part in one.parts}
    shown = {_key(part): _took(times.get(part)) for part in _TIMED}
    return row(one, folder, files, seen) | shown


def _duration_ms(part: PartResult | None) -> int | None:
    return None if part is None or part.mark is Mark.SKIPPED else part.duration_ms


def _key(part: RehearsalPart) -> str:
    return part.value.replace(" ", "_")


def _took(part: PartResult | None) -> str | None:
    if part is None or part.mark is Mark.SKIPPED:
        return None
    return f"{part.duration_ms:,} ms" + (" failed" if part.mark is Mark.FAILED else "")


def _note(one: MigrationRehearsal) -> str | None:
    """What a person should know of a migration that did not fail: why a part was not done."""
    down = one.part(RehearsalPart.DOWN)
    if down is not None and down.mark is Mark.SKIPPED and one.mark is Mark.PASSED:
        return down.note
    if one.mark is Mark.SKIPPED:
        return one.parts[0].note if one.parts else None
    contents = one.part(RehearsalPart.CONTENTS)
    return contents.note or None if contents is not None else None


def _part(part: PartResult, folder: Path, files: frozenset[str]) -> dict[str, Any]:
    return {
        "part": _key(part.part),
        "result": part.mark,
        "duration_ms": part.duration_ms,
        "note": part.note or None,
        "problems": [
            {
                "message": problem.message,
                "place": place_of(problem, folder, files) or None,
                "details": list(problem.details),
                "difference": [row_of(change) for change in problem.difference.changes]
                if problem.difference is not None
                else None,
                "remedy": list(problem.remedy),
            }
            for problem in part.problems
        ],
    }
