"""Checks: looking at databases within a limit, and what a restored one lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from ledger.contracts.envelope import NAMESPACE, Metadata, Recorded
from ledger.contracts.events import CheckRequested, InspectionOrdered, MigrationRegressed, Purpose
from ledger.contracts.reports import DatabaseInspected, Event, JournalEntry
from ledger.domain import checks
from ledger.domain.checks import CheckState
from ledger.domain.fleet import FleetState, FleetStatus
from ledger.domain.orders import INSPECTION_S, DecisionContext
from ledger.domain.outcomes import LOOK_AGAIN_MOST_S
from ledger.domain.refusals import EmptySelection, UnknownDatabase
from migrations.model.attempt import Adoption, Identity
from tests.support.spec import START, record

NAMES = ("a", "b", "c")
FLEET = FleetState({name: record(name) for name in NAMES})
NOBODY = UUID(int=0)


class Check:
    """A check's log as it is being told."""

    def __init__(self, purpose: Purpose = Purpose.CHECK, *names: str) -> None:
        self.now, self.log, self.state = START, 0, None
        for event in checks.request_check(FLEET, "k1", names or NAMES, purpose):
            self.append(event)

    state: CheckState | None

    @property
    def told(self) -> CheckState:
        assert self.state is not None
        return self.state

    @property
    def situation(self) -> DecisionContext:
        return DecisionContext(self.now, 1, FLEET.databases.get, {})

    @property
    def settled(self) -> bool:
        return self.told.is_settled(FLEET.databases.get, self.now)

    @property
    def wakes_at(self) -> datetime:
        moment = checks.next_wake(self.told, self.now)
        assert moment is not None
        return moment

    def append(self, event: Event) -> None:
        self.log += 1
        recorded = Recorded(
            self.log, "check-k1", self.log, NAMESPACE, event, Metadata(), "tests", self.now
        )
        self.state = checks.evolve(self.state, recorded)

    def look(self, in_flight: int = 2) -> list[str]:
        """The databases that are asked now."""
        found = checks.progress(self.told, self.situation, in_flight)
        for decided in found:
            self.append(decided.event)
        return [d.event.database for d in found if isinstance(d.event, InspectionOrdered)]

    def answer(
        self,
        database: str,
        *in_force: str,
        reachable: bool = True,
        identity: Identity | None = None,
        state: str = "applied",
    ) -> None:
        command = self.told.looks[database].command
        assert command is not None
        entries = tuple(
            JournalEntry(version=version, state=state, direction="up", rollout="r0",
                         command=command, checksum="x", finished_at=None)
            for version in in_force
        )  # fmt: skip
        self.append(
            DatabaseInspected(
                database=database,
                command=command,
                reachable=reachable,
                identity=identity,
                entries=entries,
            )
        )


def test_a_look_before_adopting_says_which_table_is_looked_for() -> None:
    check, adoption = Check(Purpose.ADOPT), Adoption(source="goose", table="old")
    for event in checks.request_check(FLEET, "k1", ["a"], Purpose.ADOPT, adoption):
        check.append(event)
    (decided,) = checks.progress(check.told, check.situation, 1)
    assert isinstance(decided.event, InspectionOrdered)
    assert decided.event.adoption == adoption


def test_a_check_asks_within_its_limit_and_goes_on_as_answers_come() -> None:
    check = Check()
    assert check.look() == ["a", "b"]
    assert check.look() == []
    check.answer("b")
    assert check.look() == ["c"]


def test_a_check_is_finished_when_everybody_answered() -> None:
    check = Check()
    check.look(in_flight=3)
    for name in NAMES:
        assert not check.told.is_finished(check.now)
        check.answer(name)
    assert check.told.is_finished(check.now)
    assert checks.next_wake(check.told, check.now) is None


def test_a_look_that_nobody_answers_is_asked_for_once_more_and_then_given_up() -> None:
    check = Check()
    check.look(in_flight=3)
    check.answer("a")
    check.answer("b", reachable=False)
    assert checks.next_wake(check.told, check.now) == START + timedelta(seconds=INSPECTION_S)
    check.now += timedelta(seconds=INSPECTION_S)
    assert check.look() == ["c"]
    assert not check.told.is_finished(check.now)
    check.now += timedelta(seconds=INSPECTION_S)
    assert check.look() == []
    assert check.told.is_finished(check.now)
    assert check.told.looks["c"].is_silent(check.now)


def test_a_reinstated_database_tells_what_it_lost() -> None:
    check = Check(Purpose.REINSTATE)
    check.look(in_flight=3)
    check.answer("a", "1")
    check.answer("b", "1", "2")
    check.answer("c", reachable=False)
    applied = {name: {"1": NOBODY, "2": NOBODY} for name in NAMES}
    found = [
        decided.event for decided in checks.regressed(check.told, applied, FLEET.databases.get)
    ]
    assert found == [MigrationRegressed(database="a", version="2", command=NOBODY)]
    again = checks.regressed(check.told, applied, FLEET.databases.get)
    assert again == checks.regressed(check.told, applied, FLEET.databases.get), "ids are derived"


def test_a_reinstated_database_that_is_silent_is_asked_until_its_journal_was_read() -> None:
    check = Check(Purpose.REINSTATE, "a")
    asked = 0
    while asked < 5:
        asked += len(check.look())
        assert not check.settled
        check.now = check.wakes_at
    assert check.told.is_finished(check.now), "who waits for the check is told"
    check.answer("a", "1")
    assert check.settled
    assert check.look() == []


def test_a_reinstated_database_that_cannot_be_reached_is_asked_again_later() -> None:
    check = Check(Purpose.REINSTATE, "a")
    check.look()
    check.answer("a", reachable=False)
    assert check.look() == []
    assert not check.settled
    waits_s = []
    for _ in range(6):
        waits_s.append((check.wakes_at - check.now).total_seconds())
        check.now = check.wakes_at
        assert check.look() == ["a"]
        check.answer("a", reachable=False)
    assert waits_s == sorted(waits_s), "the intervals grow"
    assert waits_s[-1] == LOOK_AGAIN_MOST_S


def test_a_database_that_was_retired_is_asked_no_more() -> None:
    check = Check(Purpose.REINSTATE, "a")
    check.look()
    check.answer("a", reachable=False)
    check.now = check.wakes_at
    gone = replace(FLEET.databases["a"], status=FleetStatus.RETIRED)
    situation = replace(check.situation, records={"a": gone}.get)
    assert checks.progress(check.told, situation) == ()
    assert check.told.is_settled({"a": gone}.get, check.now)


def test_what_was_applied_after_a_look_was_first_asked_for_is_no_matter_of_it() -> None:
    check = Check(Purpose.REINSTATE, "a")
    check.look()
    first = check.told.looks["a"].asked_position
    check.now = check.wakes_at
    check.look()
    assert check.told.looks["a"].asked_position == first


def test_a_plain_check_finds_what_the_database_that_is_known_lost() -> None:
    check = Check()
    check.look(in_flight=3)
    check.answer("a", "1", identity=FLEET.databases["a"].expected.identity)
    check.answer("b", "1")
    applied = {name: {"1": NOBODY, "2": NOBODY} for name in NAMES}
    found = [d.event for d in checks.regressed(check.told, applied, FLEET.databases.get)]
    assert found == [MigrationRegressed(database="a", version="2", command=NOBODY)]


def test_what_was_undone_is_no_loss_for_a_plain_check() -> None:
    check = Check()
    check.look(in_flight=3)
    known = FLEET.databases["a"].expected.identity
    check.answer("a", "1", "2", identity=known, state="rolled_back")
    applied = {"a": {"1": NOBODY, "2": NOBODY}}
    assert checks.regressed(check.told, applied, FLEET.databases.get) == ()


def test_a_check_of_nothing_or_of_nobody_known_is_refused() -> None:
    with pytest.raises(EmptySelection):
        checks.request_check(FLEET, "k1", [])
    with pytest.raises(UnknownDatabase):
        checks.request_check(FLEET, "k1", ["z"])


def test_a_database_is_asked_once_however_often_it_is_named() -> None:
    (event,) = checks.request_check(FLEET, "k1", ["a", "a"])
    assert isinstance(event, CheckRequested)
    assert event.databases == ("a",)


def test_a_stream_that_does_not_start_with_a_request_is_no_check() -> None:
    answer = DatabaseInspected(database="a", command=NOBODY, reachable=True)
    recorded = Recorded(1, "check-k1", 1, NAMESPACE, answer, Metadata(), "tests", START)
    with pytest.raises(ValueError, match="does not start with CheckRequested"):
        checks.evolve(None, recorded)


@pytest.mark.parametrize("size", [100, 5_000])
def test_what_follows_from_one_answer_does_not_walk_the_whole_check(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"db{number:05}" for number in range(size)]
    fleet = FleetState({name: record(name) for name in names})
    (asked,) = checks.request_check(fleet, "k1", names)
    check = Check()
    check.log, check.state = 0, None
    check.append(asked)
    situation = DecisionContext(check.now, 1, fleet.databases.get, {})
    for decided in checks.progress(check.told, situation):
        check.append(decided.event)
    looked, original = [0], checks.Looks.__getitem__

    def counted(self: checks.Looks, database: str) -> checks.Lookup:
        looked[0] += 1
        return original(self, database)

    monkeypatch.setattr(checks.Looks, "__getitem__", counted)
    check.answer(names[0])
    assert len(checks.progress(check.told, situation)) <= 1
    checks.next_wake(check.told, check.now)
    assert not check.told.is_finished(check.now)
    assert looked[0] < 10 * checks.IN_FLIGHT


def test_a_check_that_was_folded_stays_as_it_was() -> None:
    check = Check()
    before = check.told
    check.look()
    check.answer("a")
    assert [look.attempt for look in before.looks.values()] == [0, 0, 0]
    assert (before.cursor, dict(before.owing)) == (0, {})
    assert list(check.told.owing) == ["b"]
