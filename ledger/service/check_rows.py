"""What agents answered in a check: a row for each database, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from ledger.contracts.reports import DatabaseInspected
from ledger.store.log.decode import read


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One database of a check; `answer` is `None` until an agent answered."""

    database: str
    pool: str
    role: str | None
    answer: DatabaseInspected | None


class FoldedRow(NamedTuple):
    """A row whose answer stays as it is kept: version and body, or nothing yet."""

    database: str
    pool: str
    role: str | None
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
        database, pool, role, said = self._rows[index]
        answer = read(DatabaseInspected.__name__, *said) if said is not None else None
        found = answer if isinstance(answer, DatabaseInspected) else None
        return CheckRow(database, pool, role, found)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found so far, by id; it was asked for at `position` of the log."""

    check: str
    finished: bool
    position: int
    rows: Sequence[CheckRow]


@dataclass(frozen=True, slots=True)
class JournalReading:
    """What the look at a database found that is to be taken as it is.

    `finished` says that its journal was read and compared; `problem` why it could not be. `lost`
    are the versions that were in force by the log and are not by the journal; `busy` is the
    unfinished rollout that it is part of.
    """

    finished: bool = False
    problem: str | None = None
    in_force: int = 0
    lost: tuple[str, ...] = ()
    busy: str | None = None
