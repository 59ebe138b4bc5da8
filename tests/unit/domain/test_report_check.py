"""Which of two reports under one id contradicts the other, and what later work teaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from ledger.contracts.reports import (
    AttemptFinished,
    BatchProgressed,
    CommandRefused,
    DatabaseIdentified,
    DatabaseInspected,
    HistoryAdopted,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    MigrationSkipped,
    Report,
)
from ledger.domain.belief import Belief, learn
from ledger.domain.report_check import claims_another_effect, contradicts
from migrations.model.attempt import (
    AdoptedMigration,
    Failure,
    FailureClass,
    Identity,
    Mode,
    Verdict,
)

COMMAND, EARLIER = UUID(int=1), UUID(int=2)
AWAY = Failure(FailureClass.UNAVAILABLE, "nobody answers")
SQL = Failure(FailureClass.SQL, "no")


def word(verdict: Verdict, changed: int = 0, head: str | None = None, **said: Any) -> Report:
    """A last word on the command."""
    return AttemptFinished(
        database="a",
        command=COMMAND,
        attempt=1,
        mode=Mode.UP,
        verdict=verdict,
        changed=changed,
        journal_head=head,
        **said,
    )


def about(kind: type[Report], **said: Any) -> Report:
    """A report on the command."""
    return kind(database="a", command=COMMAND, **said)


def applied(kind: type[Report] = MigrationApplied, **said: Any) -> Report:
    """A migration that is applied, or undone."""
    return about(
        kind, **{"version": "1", "checksum": "c", "duration_ms": 1, "statements": 1} | said
    )


def identified(uuid: int, server_version: int) -> Report:
    """Who was met."""
    identity = Identity(UUID(int=uuid), "7", 5)
    met = {"server_version": server_version, "first_contact": True}
    return about(DatabaseIdentified, identity=identity, **met)


def adopted(*versions: str, rows: int = 1) -> Report:
    """A history that was taken over."""
    taken = tuple(AdoptedMigration(version, "") for version in versions)
    return about(HistoryAdopted, source="flyway", table="t", rows=rows, taken=taken)


def progressed(left_s: int) -> Report:
    """How far a data migration is."""
    place = {"version": "1", "direction": "up", "batches": 1, "rows": 1, "total": None}
    return about(BatchProgressed, left_s=left_s, **place)


DONE = word(Verdict.DONE, 2, "h2")
FAILED = word(Verdict.FAILED, 1, "h1", failure=SQL)
UNREAD = word(Verdict.FAILED, failure=AWAY)


@dataclass(frozen=True)
class Pair:
    """Two reports under one id."""

    first: Report
    then: Report


ANOTHER_DELIVERY = {
    "done, and away when it came again": Pair(DONE, UNREAD),
    "done, and one that was cut short there": Pair(
        DONE, word(Verdict.FAILED, 1, None, failure=AWAY)
    ),
    "done, and refused": Pair(DONE, word(Verdict.REFUSED, failure=SQL)),
    "done, in other words": Pair(DONE, word(Verdict.DONE, 2, "h2", half_done=())),
    "away, and done when it came again": Pair(UNREAD, DONE),
    "away, and failed when it came again": Pair(UNREAD, FAILED),
    "away, and expired": Pair(UNREAD, word(Verdict.EXPIRED, 0, "h0", failure=SQL)),
    "a bad moment, and done": Pair(word(Verdict.REFUSED, 0, "h0", failure=SQL), DONE),
    "a bad moment, and failed": Pair(word(Verdict.REFUSED, 0, "h0", failure=SQL), FAILED),
    "expired by one clock, and done by another": Pair(word(Verdict.EXPIRED, 0, "h0"), DONE),
    "expired, and cancelled after that": Pair(
        word(Verdict.EXPIRED, 0, "h0"), word(Verdict.CANCELLED, 0, "h0")
    ),
    "expired, before and after an earlier order's end": Pair(
        word(Verdict.EXPIRED, 0, "h0"), word(Verdict.EXPIRED, 0, "h1")
    ),
    "cancelled, and further by another who did not hear it": Pair(
        word(Verdict.CANCELLED, 1, "h1"), DONE
    ),
    "two looks": Pair(
        about(DatabaseInspected, reachable=False),
        about(DatabaseInspected, reachable=True, journal_head="h"),
    ),
    "two reasons not to try": Pair(
        about(CommandRefused, failure=SQL), about(CommandRefused, failure=AWAY)
    ),
    "two words for a failure": Pair(
        about(MigrationFailed, version="1", direction="up", checksum="c", failure=SQL),
        about(MigrationFailed, version="1", direction="up", checksum="c", failure=AWAY),
    ),
    "two notes": Pair(
        about(MigrationSkipped, version="1", direction="up", checksum="c", note="before"),
        about(MigrationSkipped, version="1", direction="up", checksum="c", note="outside"),
    ),
    "two guesses how long it takes": Pair(progressed(1), progressed(2)),
    "a server that was upgraded meanwhile": Pair(identified(1, 170000), identified(1, 180000)),
}
OTHER_WORDS = {
    "applied in another time": Pair(applied(), applied(duration_ms=2)),
    "undone by more statements": Pair(
        applied(MigrationRolledBack), applied(MigrationRolledBack, statements=2)
    ),
    "of another number of rows": Pair(adopted("1"), adopted("1", rows=2)),
}
ANOTHER_EFFECT = {
    "done, and failed": Pair(DONE, word(Verdict.FAILED, 0, "h2", failure=SQL)),
    "done, and failed without a reason": Pair(DONE, word(Verdict.FAILED)),
    "done, and not begun": Pair(DONE, word(Verdict.EXPIRED, 0, "h0")),
    "two done, and one": Pair(DONE, word(Verdict.DONE, 1, "h2")),
    "two done, and three": Pair(DONE, word(Verdict.DONE, 3, "h3")),
    "another head": Pair(DONE, word(Verdict.DONE, 2, "h3")),
    "failed, and done": Pair(FAILED, DONE),
    "cancelled half way, and before it began": Pair(
        word(Verdict.CANCELLED, 1, "h1"), word(Verdict.CANCELLED, 0, "h0")
    ),
    "another text": Pair(applied(), applied(checksum="d")),
    "another text undone": Pair(
        applied(MigrationRolledBack), applied(MigrationRolledBack, checksum="d")
    ),
    "another database": Pair(identified(1, 180000), identified(2, 180000)),
    "another history": Pair(adopted("1"), adopted("1", "2")),
}


@pytest.mark.parametrize("pair", ANOTHER_DELIVERY.values(), ids=ANOTHER_DELIVERY)
def test_what_another_delivery_found_takes_nothing_back(pair: Pair) -> None:
    assert not contradicts(pair.first, pair.then)
    assert not claims_another_effect(pair.first, pair.then)


@pytest.mark.parametrize("pair", OTHER_WORDS.values(), ids=OTHER_WORDS)
def test_other_words_for_the_same_effect_contradict_and_claim_no_other(pair: Pair) -> None:
    assert contradicts(pair.first, pair.then)
    assert not claims_another_effect(pair.first, pair.then)


@pytest.mark.parametrize("pair", ANOTHER_EFFECT.values(), ids=ANOTHER_EFFECT)
def test_what_is_taken_back_contradicts_and_claims_another_effect(pair: Pair) -> None:
    assert contradicts(pair.first, pair.then)
    assert claims_another_effect(pair.first, pair.then)


ORDERED = Belief(journal_head="h0", command=COMMAND, unanswered=True)
ANSWERED = Belief(journal_head="h1", command=COMMAND)


@pytest.mark.parametrize(
    "fact",
    [
        applied(),
        applied(MigrationRolledBack),
        about(MigrationFailed, version="1", direction="up", checksum="c", failure=SQL),
        adopted("1"),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_work_that_is_told_after_the_last_word_leaves_the_head_unknown(fact: Report) -> None:
    assert learn(ORDERED, fact) is ORDERED
    moved = learn(ANSWERED, fact)
    assert moved.unanswered
    assert learn(moved, fact) is moved
    # The next answer that tells where the journal ends settles it.
    again = learn(moved._replace(command=EARLIER), DONE.model_copy(update={"command": EARLIER}))
    assert (again.journal_head, again.unanswered, again.doubted) == ("h2", False, False)


def test_work_of_an_order_before_is_in_doubt_until_the_latest_is_answered() -> None:
    stale = applied().model_copy(update={"command": EARLIER})
    doubted = learn(ORDERED, stale)
    assert doubted.doubted
    assert not learn(doubted, DONE).unanswered
    # What was answered since says where the journal ends: the fence kept the earlier one out.
    assert learn(ANSWERED, stale) is ANSWERED
    assert learn(Belief(journal_head="h0"), stale) == Belief(journal_head="h0")
