"""What the leader believes of each database."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.events import (
    DatabaseReinstated,
    DatabaseRepointed,
    DatabaseRetired,
    DatabaseSuspended,
    MigrationOrdered,
)
from ledger.contracts.reports import AttemptFinished, DatabaseIdentified, DatabaseInspected, Event
from ledger.domain.belief import Belief
from ledger.domain.fleet import FLEET
from ledger.leader.fleet_cache import Roster
from ledger.store.views.columns import to_entry
from migrations.model.attempt import Expectation, Failure, FailureClass, Limits, Mode, Verdict
from tests.support.house import identity_of
from tests.support.story import BUNDLE, START, record

KNOWN = record("acme")
OLD, NEW = uuid4(), uuid4()


def roster() -> Roster:
    known = Roster()
    for one in (KNOWN, record("bolt")):
        known.load([to_entry(one, Belief(one.expected.identity, one.expected.journal_head))])
    return known


def unanswered(fleet: Roster) -> list[str]:
    return [name for name, known in fleet.items() if known.unanswered]


def told(event: Event, stream: str = "rollout-r1/reports") -> Recorded:
    return Recorded(7, stream, 1, uuid4(), event, Metadata(), "service", START)


def finished(
    command: UUID, head: str | None, verdict: Verdict = Verdict.DONE, kind: str = ""
) -> Recorded:
    return told(
        AttemptFinished(
            database="acme",
            command=command,
            attempt=1,
            mode=Mode.UP,
            verdict=verdict,
            changed=1,
            journal_head=head,
            failure=Failure(kind=FailureClass(kind), message="no") if kind else None,
        )
    )


def ordered(command: UUID) -> Recorded:
    return told(
        MigrationOrdered(
            rollout="r1",
            database="acme",
            pool="main",
            wave=0,
            attempt=1,
            command=command,
            term=1,
            bundle=BUNDLE,
            mode=Mode.UP,
            steps=(),
            connection=KNOWN.connection,
            expected=KNOWN.expected,
            limits=Limits(),
            expires_at=START,
            deadline_at=START,
        ),
        "rollout-r1",
    )


@pytest.mark.parametrize(
    ("verdict", "moved"),
    [
        (Verdict.DONE, True),
        (Verdict.FAILED, True),
        (Verdict.CANCELLED, True),
        (Verdict.REFUSED, False),
        (Verdict.EXPIRED, True),
    ],
)
def test_the_journals_head_moves_with_every_attempt_that_believed_it(
    verdict: Verdict, moved: bool
) -> None:
    fleet = roster()
    fleet.saw([ordered(NEW), finished(NEW, "head-1", verdict)])
    assert fleet["acme"].expected.journal_head == ("head-1" if moved else "head-0")
    assert fleet["bolt"].expected.journal_head == "head-0"


def test_an_answer_to_an_older_order_moves_no_head() -> None:
    fleet = roster()
    fleet.saw([ordered(OLD), ordered(NEW), finished(NEW, "head-2"), finished(OLD, "head-1")])
    assert fleet["acme"].expected.journal_head == "head-2"


def test_after_a_restart_an_answer_to_an_older_order_moves_no_head_either() -> None:
    fleet = Roster()
    belief = Belief(KNOWN.expected.identity, "head-0", NEW, unanswered=True)
    fleet.load([to_entry(KNOWN, belief)])
    fleet.saw([finished(OLD, "head-1")])
    assert fleet["acme"].expected.journal_head == "head-0"
    fleet.saw([finished(NEW, "head-2")])
    assert fleet["acme"].expected.journal_head == "head-2"


def test_an_unanswered_order_is_known_until_a_later_answer_tells_the_head() -> None:
    fleet = roster()
    fleet.saw([ordered(OLD)])
    assert unanswered(fleet) == ["acme"]
    fleet.saw([ordered(NEW), finished(NEW, None, Verdict.EXPIRED)])
    assert unanswered(fleet) == ["acme"], "the order before it may still have run"
    newest = uuid4()
    fleet.saw([ordered(newest), finished(newest, "head-3")])
    assert unanswered(fleet) == []


def test_an_order_that_ran_out_and_said_so_leaves_nothing_unanswered() -> None:
    fleet = roster()
    fleet.saw([ordered(NEW), finished(NEW, None, Verdict.EXPIRED)])
    assert not fleet["acme"].unanswered


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        (Verdict.FAILED, "unreachable"),
        (Verdict.FAILED, "internal"),
        (Verdict.FAILED, "lock_lost"),
        (Verdict.EXPIRED, "unreachable"),
        (Verdict.CANCELLED, "unreachable"),
    ],
)
def test_an_answer_that_does_not_know_the_head_leaves_it_in_doubt(
    verdict: Verdict, kind: str
) -> None:
    fleet = roster()
    fleet.saw([ordered(OLD), finished(OLD, None, verdict, kind)])
    assert unanswered(fleet) == ["acme"]
    fleet.saw([ordered(NEW), finished(NEW, None, Verdict.REFUSED, "reference")])
    assert unanswered(fleet) == ["acme"], "a refusal settles nothing of before"
    newest = uuid4()
    fleet.saw([ordered(newest), finished(newest, "head-2")])
    assert unanswered(fleet) == []


def test_a_refusal_or_a_look_at_a_journal_that_is_not_ours_raises_no_doubt() -> None:
    fleet = roster()
    fleet.saw([ordered(OLD), finished(OLD, None, Verdict.REFUSED, "identity")])
    fleet.saw([ordered(NEW), finished(NEW, None, Verdict.CANCELLED, "cancelled")])
    assert unanswered(fleet) == []


@pytest.mark.parametrize("how", ["repoint", "reinstate"])
def test_a_database_that_moved_is_learned_again_and_not_from_answers_on_the_old_one(
    how: str,
) -> None:
    fleet = roster()
    moved: Event = DatabaseReinstated(database="acme")
    if how == "repoint":
        moved = DatabaseRepointed(database="acme", pool="main", connection=KNOWN.connection)
    fleet.saw([ordered(OLD), told(moved, FLEET), finished(OLD, "head-1")])
    assert fleet["acme"].expected == Expectation()
    look = DatabaseInspected(
        database="acme",
        command=uuid4(),
        reachable=True,
        identity=identity_of("elsewhere"),
        journal_head="head-9",
    )
    fleet.saw([told(look)])
    expected = fleet["acme"].expected
    assert (expected.identity, expected.journal_head) == (identity_of("elsewhere"), "head-9")


def test_what_was_seen_before_a_database_moved_is_forgotten_with_the_move() -> None:
    fleet = roster()
    look = DatabaseInspected(
        database="acme", command=uuid4(), reachable=True, identity=identity_of("the old one")
    )
    again = told(DatabaseReinstated(database="acme"), FLEET)
    fleet.saw([again, told(look), again])
    assert fleet["acme"].expected == Expectation()


def test_what_is_known_is_not_overwritten_by_what_was_merely_seen() -> None:
    fleet = roster()
    other = identity_of("a clone")
    seen = DatabaseInspected(
        database="acme", command=uuid4(), reachable=True, identity=other, journal_head="head-9"
    )
    identified = DatabaseIdentified(
        database="acme", command=uuid4(), identity=other, server_version=18, first_contact=False
    )
    fleet.saw([told(seen), told(identified)])
    assert fleet["acme"].expected == KNOWN.expected


def test_who_leaves_the_fleet_is_not_active_any_more() -> None:
    fleet = roster()
    fleet.saw([told(DatabaseSuspended(database="acme"), FLEET)])
    fleet.saw([told(DatabaseRetired(database="bolt"), FLEET)])
    assert not fleet["acme"].active
    assert not fleet["bolt"].active
    assert len(fleet) == 2


def test_reports_on_databases_that_nobody_knows_are_passed_over() -> None:
    fleet = roster()
    identified = DatabaseIdentified(
        database="gone",
        command=uuid4(),
        identity=identity_of("gone"),
        server_version=18,
        first_contact=True,
    )
    fleet.saw([told(identified)])
    assert "gone" not in fleet


def test_the_pools_of_a_fleet_are_counted_and_not_looked_for() -> None:
    fleet = roster()
    before = fleet.pools
    moved = KNOWN.connection
    fleet.saw([told(DatabaseRepointed(database="acme", pool="other", connection=moved), FLEET)])
    assert fleet.pools == before | {"other"}
    fleet.saw([told(DatabaseRepointed(database="bolt", pool="other", connection=moved), FLEET)])
    assert fleet.pools == {"other"}
