"""Checks: looking at databases within a limit, and what a restored one lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from ledger.contracts.envelope import NAMESPACE, Metadata, Recorded, inspection_id
from ledger.contracts.events import CheckFinished, CheckRequested, MigrationRegressed, Purpose
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
    """A check as it goes on."""

    def __init__(self, purpose: Purpose = Purpose.CHECK, *names: str) -> None:
        self.now = START
        self.answers: dict[str, DatabaseInspected] = {}
        self.told = begun(checks.request_check(FLEET, "k1", names or NAMES, purpose))

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

    def look(self, in_flight: int = 2) -> list[str]:
        """The databases that are asked now."""
        found = checks.progress(self.told, self.situation, in_flight)
        self.told = checks.asked(self.told, found)
        return [one.database for one in found]

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
        answer = DatabaseInspected(
            database=database,
            command=command,
            reachable=reachable,
            identity=identity,
            entries=entries,
        )
        attempt = checks.attempt_of(self.told, answer)
        assert attempt is not None
        self.answers[database] = answer
        self.told = checks.answered(self.told, {database: (attempt, reachable)}, self.now)

    def lost(self) -> list[Event]:
        """What is lost of two versions that the log says are in force everywhere."""
        applied = {name: {"1": NOBODY, "2": NOBODY} for name in NAMES}
        found = checks.regressed(self.told, self.answers, applied, FLEET.databases.get)
        return [decided.event for decided in found]

    def summary(self, changed: int = 0, lost: int = 0) -> CheckFinished:
        decided = checks.finish(self.told, self.now, changed, lost)
        assert isinstance(decided.event, CheckFinished)
        return decided.event


def begun(events: Sequence[Event]) -> CheckState:
    (event,) = events
    return checks.begin(
        Recorded(1, "check-k1", 1, NAMESPACE, event, Metadata(), "ledger_operator", START)
    )


def test_a_look_before_adopting_says_which_table_is_looked_for() -> None:
    check, adoption = Check(Purpose.ADOPT), Adoption(source="goose", table="old")
    asked = begun(checks.request_check(FLEET, "k1", ["a"], Purpose.ADOPT, adoption))
    (order,) = checks.progress(asked, check.situation, 1)
    assert order.adoption == adoption


def test_a_check_asks_within_its_limit_and_goes_on_as_answers_come() -> None:
    check = Check()
    assert check.look() == ["a", "b"]
    assert check.look() == []
    check.answer("b")
    assert check.look() == ["c"]


def test_a_check_is_over_when_everybody_answered_and_then_says_how_many_there_were() -> None:
    check = Check()
    check.look(in_flight=3)
    for name in NAMES:
        assert not check.settled
        check.answer(name, reachable=name != "b")
    assert check.settled
    assert checks.next_wake(check.told, check.now) is None
    check.now += timedelta(seconds=3)
    assert check.summary(changed=2, lost=1) == CheckFinished(
        check="k1",
        asked_by="ledger_operator",
        databases=3,
        read=2,
        unread=1,
        silent=(),
        changed=2,
        lost=1,
        duration_ms=3000,
    )


def test_a_check_that_nobody_waits_for_any_more_asks_nothing_and_names_who_was_not_asked() -> None:
    check = Check()
    check.look(in_flight=1)
    check.answer("a")
    check.told = replace(check.told, given_up=True)
    assert check.look() == []
    assert check.settled
    assert check.summary().silent == ("b", "c")


def test_a_database_that_nobody_knows_keeps_no_check_going() -> None:
    check = Check()
    check.told = begun([CheckRequested(check="k1", purpose=Purpose.CHECK, databases=("a", "x"))])
    assert check.look() == ["a"]
    check.answer("a")
    assert check.settled
    assert check.summary().silent == ("x",)


def test_an_answer_belongs_to_a_look_that_the_request_asked_for_whoever_sent_it() -> None:
    check = Check(Purpose.CHECK, "a")
    stream = check.told.stream

    def attempt_of(command: UUID, database: str = "a") -> int | None:
        answer = DatabaseInspected(database=database, command=command, reachable=True)
        return checks.attempt_of(check.told, answer)

    assert attempt_of(inspection_id(stream, "a", 2)) == 2, "a leader before may have asked"
    check.look()
    assert attempt_of(inspection_id(stream, "a", 1)) == 1
    assert attempt_of(inspection_id(stream, "a", 9)) is None
    assert attempt_of(inspection_id("check-k2", "a", 1)) is None
    assert attempt_of(inspection_id(stream, "b", 1), "b") is None
    assert attempt_of(NOBODY) is None


def test_a_look_that_nobody_answers_is_asked_for_once_more_and_then_given_up() -> None:
    check = Check()
    check.look(in_flight=3)
    check.answer("a")
    check.answer("b", reachable=False)
    assert checks.next_wake(check.told, check.now) == START + timedelta(seconds=INSPECTION_S)
    settled = []
    for asked in (["c"], []):
        check.now += timedelta(seconds=INSPECTION_S)
        assert check.look() == asked
        settled.append(check.settled)
    assert settled == [False, True]
    assert check.summary().silent == ("c",)


def test_a_reinstated_database_tells_what_it_lost() -> None:
    check = Check(Purpose.REINSTATE)
    check.look(in_flight=3)
    check.answer("a", "1")
    check.answer("b", "1", "2")
    check.answer("c", reachable=False)
    assert check.lost() == [MigrationRegressed(database="a", version="2", command=NOBODY)]


def test_a_reinstated_database_that_is_silent_is_asked_until_its_journal_was_read() -> None:
    check = Check(Purpose.REINSTATE, "a")
    asked = 0
    while asked < 5:
        asked += len(check.look())
        assert not check.settled
        check.now = check.wakes_at
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


def test_a_plain_check_finds_what_the_database_that_is_known_lost() -> None:
    check = Check()
    check.look(in_flight=3)
    check.answer("a", "1", identity=FLEET.databases["a"].expected.identity)
    check.answer("b", "1")
    assert check.lost() == [MigrationRegressed(database="a", version="2", command=NOBODY)]


def test_what_was_undone_is_no_loss_for_a_plain_check() -> None:
    check = Check()
    check.look(in_flight=3)
    known = FLEET.databases["a"].expected.identity
    check.answer("a", "1", "2", identity=known, state="rolled_back")
    assert check.lost() == []


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
        checks.begin(recorded)


@pytest.mark.parametrize("size", [100, 5_000])
def test_what_follows_from_one_answer_does_not_walk_the_whole_check(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"db{number:05}" for number in range(size)]
    fleet = FleetState({name: record(name) for name in names})
    check = Check()
    check.told = begun(checks.request_check(fleet, "k1", names))
    situation = DecisionContext(check.now, 1, fleet.databases.get, {})
    check.told = checks.asked(check.told, checks.progress(check.told, situation))
    looked, original = [0], checks.Looks.__getitem__

    def counted(self: checks.Looks, database: str) -> checks.Lookup:
        looked[0] += 1
        return original(self, database)

    monkeypatch.setattr(checks.Looks, "__getitem__", counted)
    check.answer(names[0])
    assert len(checks.progress(check.told, situation)) <= 1
    checks.next_wake(check.told, check.now)
    assert not check.told.is_settled(fleet.databases.get, check.now)
    assert looked[0] < 10 * checks.IN_FLIGHT


def test_a_check_that_goes_on_leaves_what_was_known_as_it_was() -> None:
    check = Check()
    before = check.told
    check.look()
    check.answer("a")
    assert [look.attempt for look in before.looks.values()] == [0, 0, 0]
    assert (before.cursor, dict(before.owing)) == (0, {})
    assert list(check.told.owing) == ["b"]
