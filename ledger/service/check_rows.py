"""What agents answered in a check: a row for each database, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, overload

from ledger.contracts.reports import DatabaseInspected
from ledger.domain.checks import Lookup
from ledger.store.log.decode import read


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One database of a check; `look.answer` is `None` until an agent answered."""

    database: str
    pool: str
    role: str | None
    look: Lookup


class FoldedRow(NamedTuple):
    """A row whose answer stays as the log has it: version and body, or nothing yet."""

    database: str
    pool: str
    role: str | None
    look: Lookup
    answer: tuple[int, bytes] | None


class CheckRows(Sequence[CheckRow]):
    """The rows of a check, each made when it is looked at: the answers of a fleet are many."""

    def __init__(self, rows: Sequence[FoldedRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> CheckRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CheckRow]: ...
    def __getitem__(self, index: int | slice) -> CheckRow | Sequence[CheckRow]:
        if isinstance(index, slice):
            return CheckRows(self._rows[index])
        database, pool, role, look, said = self._rows[index]
        if said is not None and look.answered:
            answer = read(DatabaseInspected.__name__, *said)
            if isinstance(answer, DatabaseInspected):
                look = replace(look, answer=answer)
        return CheckRow(database, pool, role, look)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found so far, by id."""

    check: str
    finished: bool
    rows: Sequence[CheckRow]
