"""Whether a way back led where the way began: schema with schema, rows with rows; pure."""

from __future__ import annotations

from collections.abc import Sequence

from migrations.catalog.difference import difference
from migrations.catalog.remedy import remedy
from migrations.catalog.snapshot import Snapshot
from migrations.model.attempt import Failure
from migrations.model.migration import Migration, Section
from migrations.printable import escaped
from migrations.rehearsal.contents import Contents, changes_of
from migrations.rehearsal.fixtures import SeedFile
from migrations.rehearsal.results import MigrationRehearsal, RehearsalPart, RehearsalProblem
from migrations.rehearsal.rows import FilledTable

NO_ROWS = "no table had a row that could be lost"
OTHER_SCHEMA = "after the down the schema is not what it was before the up"
OTHER_ROWS = "after the down the rows are not what they were before the up"
DECLARE = (
    "write a down that brings them back, or declare in {file} what cannot come back: "
    "`-- ledger:loses TABLE.COLUMN WHY`"
)


def problem_of(failure: Failure) -> RehearsalProblem:
    """A failure of a run in the words of a rehearsal."""
    state = f" (SQLSTATE {failure.sqlstate})" if failure.sqlstate else ""
    blocker = f"; blocked by {failure.blocker}" if failure.blocker else ""
    batch = f"; {failure.batch}" if failure.batch else ""
    message = f"{failure.message}{state}{blocker}{batch}"
    return RehearsalProblem(message, failure.file or "", failure.line)


def left_behind(migration: Migration, before: Snapshot, after: Snapshot) -> RehearsalProblem | None:
    """How the schema is another than before, and what the down lacks; `None` if it is the same."""
    if before.fingerprint == after.fingerprint:
        return None
    found = difference(before.document, after.document)
    file, line = _place(migration, migration.down)
    lacking = tuple(remedy(found, after.names))
    return RehearsalProblem(OTHER_SCHEMA, file, line, difference=found, remedy=lacking)


def lost(
    migration: Migration, before: Contents, after: Contents, seeds: SeedFile | None
) -> tuple[tuple[RehearsalProblem, ...], str]:
    """What is wrong with the rows, and else what is of interest about them."""
    changes = changes_of(before, after)
    declared = seeds.losses if seeds is not None else ()
    wrong = [one for one in changes if not any(one.is_declared(loss) for loss in declared)]
    idle = [loss for loss in declared if not any(one.is_declared(loss) for one in changes)]
    problems = []
    if wrong:
        file, line = _place(migration, migration.down)
        name = seeds.name if seeds is not None else f"{migration.version}.before.sql"
        message = f"{OTHER_ROWS}; {DECLARE.format(file=name)}"
        problems.append(RehearsalProblem(message, file, line, tuple(map(str, wrong))))
    for loss in idle if seeds is not None else ():
        why = f"{escaped(loss.what)} is declared to be lost, and nothing of it is; take that out"
        problems.append(RehearsalProblem(why, seeds.name if seeds else "", loss.line))
    if problems:
        return tuple(problems), ""
    if before.tables and not before.rows:
        return (), NO_ROWS
    kept = [f"{escaped(loss.what)} does not come back: {escaped(loss.why)}" for loss in declared]
    return (), "; ".join(kept)


def notes_of(
    results: Sequence[MigrationRehearsal], filled: Sequence[FilledTable]
) -> tuple[str, ...]:
    """What whoever reads the result should know: tables without rows."""
    unlike = [
        f"not all values could be made in {one.table}: {one.why}" for one in filled if one.why
    ]
    bare = sum(
        1
        for one in results
        if (part := one.part(RehearsalPart.CONTENTS)) is not None and part.note == NO_ROWS
    )
    if not bare:
        return tuple(unlike)
    what = "1 migration was" if bare == 1 else f"{bare:,} migrations were"
    return (
        *unlike,
        f"{what} taken back while no table had a row, so nobody saw what the way back loses; "
        "rows come from VERSION.before.sql",
    )


def _place(migration: Migration, section: Section | None) -> tuple[str, int | None]:
    """The file of a section, and the line of its first statement."""
    names = [one.name for one in migration.files if not one.name.startswith("beside:")]
    file = (section.file if section is not None else "") or (names[-1] if names else "")
    statements = section.statements if section is not None else ()
    return file, statements[0].line if statements else None
