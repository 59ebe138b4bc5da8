"""The views: what services and the leader ask of the rows that the log was projected to.

`ledger.store.views.queries` has them in PostgreSQL; those in memory are in
`tests/support/memory_stores.py`; that both answer alike shows `tests/conformance/test_views.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ledger.domain.differences import UnreadableEvent
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.pending import DatabaseVersions
from ledger.domain.selection import Term
from ledger.domain.selection_words import SelectedWord
from ledger.domain.states import DatabaseState, DatabaseStatus
from ledger.store.views.rows import (
    AppliedRow,
    BundleRow,
    CauseRow,
    DurationRow,
    FleetEntry,
    FleetRow,
    HeldText,
    PoolRow,
    QueueRow,
    RolloutRow,
    StandingRow,
    TollRow,
    TroubleRow,
)
from migrations.model.attempt import Expectation, HalfDone

PAGE = 1000
"""Rows of one page."""


class Views(Protocol):
    """What the log says, in rows: as far as it was projected, or up to its end."""

    def snapshot(self) -> AbstractAsyncContextManager[Views]:
        """The same as it is now, until the block ends: all answers are of one position."""

    async def caught_up(self) -> int:
        """Project everything that is in the log now; the position."""

    async def position(self) -> int:
        """Up to which position of the log the answers go."""

    async def reached(self, position: int) -> int:
        """Wait a little for whoever projects to come so far; how far it came.

        Raises ReadModelsBehind when it did not.
        """

    async def fleet(self, databases: Sequence[str] | None = None) -> list[FleetRow]:
        """These databases, or the whole fleet with its retired ones, by id."""

    async def fleet_entries(self, after: str = "", limit: int = PAGE) -> list[FleetEntry]:
        """The next databases behind the id `after`, retired ones too, in plain values."""

    async def fleet_named(self, databases: Sequence[str], names: Sequence[str]) -> list[FleetRow]:
        """Databases of these ids, or whose name on their server is one of those; in no order."""

    async def fleet_page(
        self, terms: Sequence[Term], *, retired: bool, after: str = "", limit: int = PAGE
    ) -> list[FleetRow]:
        """The next databases behind the id `after` for which all terms of a selection hold."""

    async def fleet_count(self, terms: Sequence[Term], *, retired: bool) -> int:
        """For how many databases all terms of a selection hold."""

    async def unheard(self, words: Sequence[SelectedWord], *, retired: bool) -> list[SelectedWord]:
        """Which of these words of a selection no database has; none where there is none at all."""

    async def near(self, word: SelectedWord, *, retired: bool) -> list[str]:
        """Values of a word's key, or labels, among which the nearest to it is to be found."""

    async def fleet_pools(self) -> list[PoolRow]:
        """How many databases there are, by status and pool; retired ones, too."""

    async def fleet_gaps(self, versions: Sequence[str]) -> list[str]:
        """Which of these versions some database lacks that has not retired; in their order."""

    async def fleet_standings(self, versions: Sequence[str]) -> list[StandingRow]:
        """What the databases that have not retired have of these versions, the most alike first."""

    async def fleet_lacking(
        self, versions: Sequence[str], after: str = "", limit: int = PAGE
    ) -> list[str]:
        """The next databases behind the id `after` that lack any of these versions."""

    async def fleet_troubles(self, versions: Sequence[str]) -> list[TroubleRow]:
        """Where these versions failed, were lost or are unknown, and why; the most first."""

    async def troubled_by(
        self, versions: Sequence[str], after: str = "", limit: int = PAGE
    ) -> list[str]:
        """The next databases behind the id `after` of which that is true."""

    async def records_at(
        self, databases: Sequence[str], places: Collection[tuple[str, int]]
    ) -> list[DatabaseRecord]:
        """Databases of these ids, or last known to be one of these: server's and object's id."""

    async def records(self, databases: Sequence[str] | None = None) -> list[DatabaseRecord]:
        """As `fleet`, in the words of the domain, with what the next order expects."""

    async def expected(self, databases: Sequence[str]) -> dict[str, Expectation]:
        """What the next order of each of these registered databases expects to find."""

    async def unmet(self, databases: Sequence[str]) -> frozenset[str]:
        """Which of these registered databases have a journal of which nothing is known.

        So are those that were reinstated or repointed until it is recorded what they lost.
        """

    async def latest_bundles(self) -> list[BundleRow]:
        """The bundle registered last of each history, the latest first."""

    async def bound(self) -> bool:
        """Whether any database was registered, or is labelled, for a history by name."""

    async def histories(self, databases: Sequence[str]) -> dict[str, frozenset[str]]:
        """The histories, by key, that what rollouts have applied in these databases comes from."""

    async def rollout(self, rollout: str) -> RolloutRow | None:
        """One rollout with its databases counted."""

    async def rollout_counts(self, rollout: str) -> dict[tuple[int, str], int]:
        """How many databases of a rollout are in each (wave, state)."""

    async def rollout_databases(
        self,
        rollout: str,
        states: Sequence[str] | None = None,
        *,
        troubled: bool = False,
        after: tuple[int, str] = (-1, ""),
        limit: int = PAGE,
    ) -> list[DatabaseState]:
        """A page of a rollout's databases by wave and id, behind the place `after`.

        Of those in these states and, with `troubled`, those that failed or wait for another
        attempt; or of all.
        """

    async def rollout_databases_named(
        self, rollout: str, databases: Sequence[str]
    ) -> list[DatabaseState]:
        """These databases of a rollout, as far as they are part of it; in no order."""

    async def rollout_done(self, rollout: str) -> dict[str, DatabaseStatus]:
        """The databases of a rollout that are done (`DatabaseState.done`), and how they went."""

    async def rollout_undone(
        self, rollout: str, *, after: tuple[int, str] = (-1, ""), limit: int = PAGE
    ) -> list[DatabaseState]:
        """A page of those that are neither done nor as they were planned.

        By wave and id, behind the place `after`.
        """

    async def count_troubled(self, rollout: str, states: Sequence[str]) -> int:
        """How many databases of a rollout are in these states, failed, or wait for an attempt."""

    async def rollout_toll(self, rollout: str) -> TollRow:
        """What its failures have cost a rollout so far."""

    async def rollout_causes(
        self,
        rollout: str,
        *,
        only: Sequence[str] | None = None,
        without: Sequence[str] = (),
        limit: int = PAGE,
    ) -> list[CauseRow]:
        """What went wrong in a rollout, by state and cause, the largest group first.

        Of all its databases, or only of these; and without those.
        """

    async def rollout_queues(self, rollout: str, limit: int = PAGE) -> list[QueueRow]:
        """Its unfinished databases with which nothing is wrong, by state, wave and pool."""

    async def rollouts(
        self,
        statuses: Sequence[str] | None = None,
        before: int | None = None,
        limit: int = PAGE,
    ) -> list[RolloutRow]:
        """Rollouts, newest first; `before` is the `planned_position` to go on from."""

    async def unfinished_rollouts(self) -> list[str]:
        """Rollouts that have not ended, oldest first."""

    async def unsettled_rollouts(self) -> list[str]:
        """Rollouts that a leader must know: those unfinished, at work, or undone now."""

    async def open_checks(self) -> list[str]:
        """Looks that were asked for and are not over, the oldest first."""

    async def unread(self, databases: Sequence[str] | None) -> frozenset[str]:
        """Which of these were reinstated or repointed, and what they lost was not said since."""

    async def half_done(self, databases: Sequence[str]) -> dict[str, tuple[HalfDone, ...]]:
        """What is half done, or in doubt, in those of these databases where anything is.

        Retired ones are left out.
        """

    async def unreadable(
        self, *, aside: bool | None = None, positions: Sequence[int] | None = None
    ) -> list[UnreadableEvent]:
        """The latest events that could not be read, or those at these positions.

        With `aside` only those that a person has set aside, or those that nobody has.
        """

    async def busy(self, databases: Sequence[str]) -> dict[str, str]:
        """Which of these databases are part of an unfinished rollout, and of which (the oldest)."""

    async def beginning(self, beginning: str) -> list[str]:
        """The rollouts whose id begins so, newest first."""

    async def applied(
        self, databases: Sequence[str] | None = None, versions: Sequence[str] | None = None
    ) -> list[AppliedRow]:
        """What is known of these migrations on these databases."""

    async def durations(self, versions: Sequence[str]) -> list[DurationRow]:
        """How long these migrations took where they are applied, by version and text."""

    async def held_texts(self, versions: Sequence[str]) -> list[HeldText]:
        """With which texts databases have these migrations, or may have them."""

    async def database_versions(
        self, versions: Sequence[str], databases: Sequence[str] | None = None
    ) -> list[DatabaseVersions]:
        """Each database against these versions: what is in force there and what is missing."""
