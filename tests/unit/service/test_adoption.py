"""What an adoption would find is told for every database that was looked at, and why if nothing."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from ledger.contracts.reports import DatabaseInspected
from ledger.service.adoption import AdoptionMatch, adoption_matches
from ledger.service.check_rows import CheckResult, CheckRow
from migrations.formats.bundle import load_files
from migrations.model.attempt import Adoption, Failure, FailureClass
from migrations.model.foreign_history import ForeignHistory, ForeignRow, Tool
from migrations.model.migration import SourceFile

FOLDER = tuple(
    load_files("sql-migrate", [SourceFile(f"{version}_m.sql", b"-- +migrate Up\nSELECT 1;\n")])
    for version in ("001", "002")
)
GOOSE = ForeignHistory(
    tool=Tool.GOOSE, table="public.goose_db_version", rows=(ForeignRow(version="1"),), count=1
)
RAILS = replace(GOOSE, tool=Tool.RAILS, table="public.schema_migrations")


def match_of(answer: DatabaseInspected | None, source: str = "auto") -> AdoptionMatch:
    """What is told of one database that gave this answer."""
    row = CheckRow("acme", "main", None, answer)
    result = CheckResult("c", finished=answer is not None, position=1, rows=(row,))
    (found,) = adoption_matches(result, FOLDER, Adoption(source=source))
    return found


def inspected(*histories: ForeignHistory, failure: str = "") -> DatabaseInspected:
    """A look that found these histories, or failed."""
    return DatabaseInspected(
        database="acme",
        command=UUID(int=1),
        reachable=not failure,
        failure=Failure(kind=FailureClass.UNREACHABLE, message=failure) if failure else None,
        histories=histories,
    )


def test_a_history_is_matched_with_the_folder() -> None:
    found = match_of(inspected(GOOSE))
    assert (found.database, found.table) == ("acme", "public.goose_db_version")
    assert (found.taken, found.pending, found.no_file, found.problem) == (1, 1, (), None)


def test_a_row_without_a_file_is_named_and_is_a_problem() -> None:
    rows = (*GOOSE.rows, ForeignRow(version="7"))
    found = match_of(inspected(replace(GOOSE, rows=rows, count=2)))
    assert found.no_file == ("7",)
    assert found.problem


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (None, "no answer"),
        (inspected(failure="no route to host"), "no route to host"),
        (
            inspected(),
            "no history table was found; `ledger baseline` marks what is applied",
        ),
        (
            inspected(GOOSE, RAILS),
            "several tools left a history here: goose, rails; say which with --from",
        ),
    ],
)
def test_where_nothing_can_be_matched_it_is_said_why(
    answer: DatabaseInspected | None, problem: str
) -> None:
    assert match_of(answer) == AdoptionMatch("acme", problem=problem)


def test_of_several_histories_the_one_that_is_named_is_taken() -> None:
    assert match_of(inspected(GOOSE, RAILS), "rails").table == "public.schema_migrations"
