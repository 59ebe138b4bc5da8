"""What adopting another tool's history would find: the agents' answers against a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.service.check_rows import CheckResult, CheckRow

if TYPE_CHECKING:
    from ledger.contracts.reports import DatabaseInspected
    from migrations.adoption.match import Match
    from migrations.model.attempt import Adoption
    from migrations.model.foreign_history import ForeignHistory
    from migrations.model.migration import Migration


@dataclass(frozen=True, slots=True)
class AdoptionMatch:
    """One database's history against the folder, or `problem`: why it could not be taken over.

    `taken` and `pending` count the folder's migrations, and are `None` where nothing was matched;
    `no_file` are rows of the history that no file stands for.
    """

    database: str
    table: str | None = None
    taken: int | None = None
    pending: int | None = None
    no_file: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None


def adoption_matches(
    result: CheckResult, migrations: Sequence[Migration], adoption: Adoption
) -> tuple[AdoptionMatch, ...]:
    """What `adoption` would find in each database that was looked at."""
    return tuple(_match_of(row, migrations, adoption) for row in result.rows)


def _match_of(row: CheckRow, migrations: Sequence[Migration], adoption: Adoption) -> AdoptionMatch:
    answer = row.answer
    if answer is None:
        return AdoptionMatch(row.database, problem="no answer")
    if answer.failure is not None:
        return AdoptionMatch(row.database, problem=answer.failure.message or None)
    history, problem = _chosen(answer, adoption)
    if history is None:
        return AdoptionMatch(row.database, problem=problem)
    found = _matched(history, migrations, adoption)
    return AdoptionMatch(
        row.database,
        table=history.table,
        taken=len(found.taken),
        pending=len(found.pending),
        no_file=tuple(row.label for row in found.unmatched),
        notes=tuple(found.notes),
        problem=found.problem or None,
    )


def _chosen(answer: DatabaseInspected, adoption: Adoption) -> tuple[ForeignHistory | None, str]:
    """The history that would be taken over, or why there is none."""
    wanted = [one for one in answer.histories if adoption.source in ("auto", one.tool)]
    if len(wanted) == 1:
        return wanted[0], ""
    if not wanted:
        return None, "no history table was found; `ledger baseline` marks what is applied"
    names = ", ".join(one.tool for one in wanted)
    return None, f"several tools left a history here: {names}; say which with --from"


def _matched(found: ForeignHistory, migrations: Sequence[Migration], adoption: Adoption) -> Match:
    from migrations.adoption.match import match

    return match(
        found, migrations, through=adoption.through, accept_missing=adoption.accept_missing
    )
