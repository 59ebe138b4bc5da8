"""What an audit finds: rows that are not what the log says, and events that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from ledger.domain.refusals import RequestRefusal


class DifferenceKind(StrEnum):
    """How a live row differs from the log."""

    MISSING = "missing"
    """The log says that there is such a row."""
    SURPLUS = "surplus"
    """The log knows nothing of this row."""
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One live row that is not what the log says; `columns` are those that differ."""

    table: str
    key: Mapping[str, str]
    kind: DifferenceKind
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found. `rows` counts the replayed rows per table.

    `position` is where the live tables stand, `head` where the log ends. `more` says that there
    are differences beyond those listed.
    """

    position: int
    head: int
    rows: Mapping[str, int]
    differences: tuple[Difference, ...]
    more: bool

    @property
    def agrees(self) -> bool:
        """Whether the live tables are what the log says."""
        return not self.differences


class UnreadableEvent(NamedTuple):
    """An event that could not be read, and, where a person has set it aside, what that is known by.

    `aside_by` is the role under which it was set aside, `aside_who` who that is by name.
    """

    position: int
    stream: str
    type: str
    recorded_at: datetime
    recorded_by: str
    aside_position: int | None = None
    aside_at: datetime | None = None
    aside_by: str | None = None
    aside_who: str | None = None
    aside_reason: str | None = None

    @property
    def aside(self) -> bool:
        """Whether a person has set it aside."""
        return self.aside_position is not None


class LogNotWhole(RequestRefusal):
    """Read models are to be built from a log that is not what was recorded."""

    def __init__(self, position: int, why: str) -> None:
        super().__init__(
            f"the log itself is broken at position {position}: {why}; what is built from it would "
            "say so too, so nothing was changed; first restore it, then repair what follows from it"
        )


class RepairNotPermitted(RequestRefusal):
    """A role is to build the read models that may not write them."""

    def __init__(self) -> None:
        super().__init__(
            "this role may read the read models and not write them; connect as a member of "
            "ledger_service"
        )


class ReadableEvent(RequestRefusal):
    """An event that can be read is to be set aside: what was recorded stays in force."""

    def __init__(self, position: int, kind: str) -> None:
        super().__init__(
            f"the event at position {position} ({kind}) can be read, so it stays in force; only "
            "what nobody can read is set aside, and `ledger audit unreadable` lists that"
        )


class UnreadablePlan(RequestRefusal):
    """What a rollout's stream begins with cannot be read, so there is no rollout to ask for."""

    def __init__(self, rollout: str, position: int) -> None:
        super().__init__(
            f"nothing runs of rollout {rollout}, because its plan, event {position}, cannot be "
            "read; if a newer program wrote it, upgrade this one, and if not, end the complaints "
            f"about it with `ledger audit set-aside {position} --reason WHY`"
        )


class OtherEvent(RequestRefusal):
    """Another event stands at a position than the one that was looked at."""

    def __init__(self, position: int, leaf: str) -> None:
        super().__init__(
            f"the hash of the event at position {position} is {leaf}: it is not the one that was "
            "meant; look at `ledger audit unreadable` again"
        )
