"""What each unfinished database waits for: the nearest cause, and the command that would help."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import inf

import pytest

from ledger.contracts.heartbeat import Busy, Heartbeat
from ledger.domain.surroundings import LeadingProcess, Seen, Surroundings
from ledger.domain.waiting import Reason, WaitReason, waiting
from migrations.model.attempt import Verdict
from tests.support.spec import (
    DEADLINE_S,
    START,
    Story,
    aborted,
    applied,
    begun,
    failed,
    finished,
    given,
    in_doubt,
    ordered,
    paused,
    planned,
    seen,
    step_failed,
    wave_opened,
)

LEADER = LeadingProcess("ledger-1", "host", START)


def reasons(
    story: Story,
    *,
    leader: LeadingProcess | None = LEADER,
    broker: bool | None = True,
    pool: str = "main",
    silent_s: float = 0.0,
    ahead_s: float = 0.0,
    busy: dict[str, object] | None = None,
    refuses: str = "",
    broker_s: float = inf,
) -> dict[str, WaitReason]:
    """What is said of each database; `busy` is what an agent says of database a."""
    works: tuple[Busy, ...] = ()
    if busy is not None:
        command = story.database("a").command
        body = {"database": "a", "command": command, "since": START, "phase": "running", **busy}
        works = (Busy.model_validate(body),)
    about = {"agent": "a1", "pool": pool, "host": "h", "version": "1"}
    heartbeat = Heartbeat.model_validate(
        {**about, "started_at": START, "at": START, "busy": works, "refuses": refuses}
    )
    agents = [Seen(heartbeat, silent_s, ahead_s)]
    undone = story.beside[0].state if story.beside else None
    around = Surroundings(leader, broker, agents, story.records, undone, broker_s)
    return {found.database: found for found in waiting(story.state, around)}


def running() -> Story:
    return given(planned(["a", "b"], ["c"], in_flight=1)).when()


def test_a_planned_rollout_waits_for_its_start() -> None:
    found = reasons(given(planned(["a"], started=False)), leader=None)["a"]
    assert (found.reason, found.command) == (Reason.NOT_STARTED, "ledger rollout abort r1")


def test_without_a_leader_nothing_moves() -> None:
    found = reasons(running(), leader=None)
    assert {known.reason for known in found.values()} == {Reason.NO_LEADER}
    assert found["a"].command == "ledger serve"


def test_without_a_broker_nothing_is_published() -> None:
    assert reasons(running(), broker=False)["a"].reason is Reason.NO_BROKER


def test_without_a_broker_nobody_hears_what_an_agent_has_in_hand() -> None:
    story = running().when(begun("a"))
    found = reasons(story, broker=False, busy={"migration": "1_change"})["a"]
    assert (found.reason, found.command) == (Reason.NO_BROKER, "ledger-agent check")
    assert found.text == (
        "the broker cannot be reached; what an agent has in hand goes on, and is reported when it "
        "is back"
    )


def test_a_broker_that_has_just_come_back_has_not_brought_word_of_the_agents_yet() -> None:
    assert reasons(running(), pool="edge", broker_s=3.0)["a"].reason is Reason.NOT_TAKEN
    assert reasons(running(), pool="edge", broker_s=11.0)["a"].reason is Reason.NO_AGENT


def test_in_one_process_there_is_no_broker_to_miss() -> None:
    assert reasons(running(), broker=None)["a"].reason is Reason.NOT_TAKEN


@pytest.mark.parametrize("missing", [{"pool": "edge"}, {"silent_s": 31.0}])
def test_a_pool_without_an_agent_is_named_with_what_to_start(missing: dict[str, object]) -> None:
    found = reasons(running(), **missing)["a"]  # type: ignore[arg-type]
    assert (found.reason, found.text) == (Reason.NO_AGENT, "no agent in pool main")
    assert found.command == "ledger-agent run --pool main"


def test_what_holds_it_up_is_named_since_when_and_until_the_next_try() -> None:
    next_try = START + timedelta(seconds=9)
    held_up = {"waits_for": "the target's lock, held by pid 7", "waiting_since": START,
               "migration": "1_change", "statement": 2, "statements": 3}  # fmt: skip
    found = reasons(
        running(), busy={**held_up, "phase": "waiting", "next_try_at": next_try}
    )["a"]  # fmt: skip
    assert found.reason is Reason.HELD_UP
    assert found.text == (
        "the target's lock, held by pid 7, since 2026-11-23 09:00:00Z, "
        "next retry at 2026-11-23 09:00:09Z; "
        "migration 1_change, statement 2 of 3"
    )
    assert (found.since, found.until) == (START, next_try)
    again = reasons(running(), busy=held_up)["a"]
    assert again.text.startswith(
        "the target's lock, held by pid 7, since 2026-11-23 09:00:00Z, trying again now; "
    )
    inside = reasons(running(), busy={**held_up, "phase": "waiting"})["a"]
    assert inside.text.startswith(
        "the target's lock, held by pid 7, since 2026-11-23 09:00:00Z; migration "
    )


def test_texts_that_have_not_come_are_named() -> None:
    found = reasons(running(), busy={"phase": "queued", "waits_for": "migration texts"})["a"]
    assert (found.text, found.since) == ("migration texts", START)


def test_an_agent_at_work_says_what_it_does() -> None:
    assert reasons(running(), busy={"phase": "queued"})["a"].reason is Reason.QUEUED
    found = reasons(running(), busy={"migration": "1_change"})["a"]
    assert (found.reason, found.text) == (Reason.RUNNING, "running: migration 1_change")
    begun = {"migration": "1_change", "statement": 0, "statements": 1}
    assert reasons(running(), busy=begun)["a"].text == "running: migration 1_change"
    first = reasons(running(), busy={"phase": "connecting"})["a"]
    assert (first.reason, first.text) == (Reason.RUNNING, "connecting to its server")


def test_an_order_that_no_agent_took_says_until_when_it_may() -> None:
    story = running()
    found = reasons(story)["a"]
    assert (found.reason, found.until) == (Reason.NOT_TAKEN, story.database("a").expires_at)


def test_a_started_order_says_until_when_it_may_run() -> None:
    story = running().when(begun("a"))
    found = reasons(story)["a"]
    assert (found.reason, found.until) == (Reason.RUNNING, story.database("a").deadline_at)


def test_a_failure_that_has_not_had_its_last_word_holds_the_others_back() -> None:
    story = given(planned(["a", "b"], ["c"]), wave_opened(0), ordered("a"), step_failed("a"))
    found = reasons(story)
    text = "1 database reported a failure that would spend the budget, and has not ended yet"
    assert {found[one].reason for one in ("b", "c")} == {Reason.VERDICT}
    assert {found[one].text for one in ("b", "c")} == {text}


def test_others_come_first() -> None:
    found = reasons(running())
    assert (found["b"].reason, found["b"].text) == (
        Reason.IN_FLIGHT,
        "in-flight limit: 1 database at once",
    )
    assert (found["c"].reason, found["c"].text) == (Reason.WAVE, "wave 2 is not open yet")


def test_a_paused_rollout_names_resume_and_what_runs_is_still_explained() -> None:
    found = reasons(running().when(paused()))
    assert (found["b"].reason, found["b"].command) == (Reason.PAUSED, "ledger rollout resume r1")
    assert found["a"].reason is Reason.NOT_TAKEN


def test_a_halted_rollout_says_why() -> None:
    found = reasons(running().when(failed("a")))
    assert set(found) == {"b", "c"}
    assert found["b"].text == (
        "halted: 1 of 1 ordered database had failed by then (3 in the rollout), budget is 0"
    )


def test_a_database_in_doubt_names_resolve_whatever_else_is_missing() -> None:
    found = reasons(running().when(in_doubt("a")), leader=None)
    assert found["a"].reason is Reason.BLOCKED
    assert found["a"].command == ("ledger resolve a MIGRATION --applied|--not-applied --reason …")
    assert "1 of them blocked or unknown" in reasons(running().when(in_doubt("a")))["b"].text


def test_an_unknown_database_says_when_its_journal_was_asked_and_will_be() -> None:
    story = running().when(begun("a")).later(DEADLINE_S)
    found = reasons(story)["a"]
    assert found.reason is Reason.UNKNOWN
    assert found.text == "unknown; its journal was asked at 2026-11-23 09:10:00Z"
    found = reasons(story.when(seen("a", reachable=False)))["a"]
    assert found.text.startswith("unknown: no route; ")
    assert found.command == "ledger resolve a MIGRATION --applied|--not-applied --reason …"
    assert found.until == story.now + timedelta(seconds=30)


def test_what_finishes_before_it_goes_back_says_so() -> None:
    story = running().when(begun("a"))
    undo = story.go_back().when()
    command = story.database("a").command
    found = reasons(undo, busy={"migration": "1_change", "command": command})
    assert set(found) == {"a"}
    assert found["a"].reason is Reason.FINISHING
    assert found["a"].text == "finishing migration 1_change before it goes back"
    found = reasons(undo)
    assert found["a"].reason is Reason.FINISHING
    assert found["a"].until == story.database("a").deadline_at
    story.when(applied("a"))
    assert reasons(undo.when())["a"].reason is Reason.NOT_TAKEN


def test_a_rollback_explains_whoever_has_not_gone_back() -> None:
    story = running().when(applied("a")).when(applied("b"))
    undo = story.go_back().when()
    assert set(reasons(undo)) == {"a", "b", "c"}
    assert set(reasons(story)) == {"c"}
    undo.later(100).when(applied("b"))
    assert set(reasons(undo)) == {"a", "c"}


def test_what_is_undone_leaves_its_doubts_to_what_undoes_it() -> None:
    story = running().when(in_doubt("a"))
    story.go_back()
    assert reasons(story) == {}


def test_a_rollout_that_ended_owes_nothing_but_what_still_runs() -> None:
    assert set(reasons(running().when(aborted()))) == {"a"}
    done = given(planned(["a"])).when().when(applied("a"))
    assert reasons(done) == {}


SILENT = replace(LEADER, heard_at=START, silent_s=40.0)


def test_a_silent_leader_is_the_nearest_cause_of_what_it_alone_would_do() -> None:
    found = reasons(running(), leader=SILENT, pool="edge", broker=False)
    assert {one.reason for one in found.values()} == {Reason.LEADER_SILENT}
    assert found["a"].text == (
        "ledger-1 leads and has not given a sign of life since 2026-11-23 09:00:00Z: "
        "it is frozen, or cannot reach the ledger's database"
    )
    assert (found["a"].command, found["a"].since) == ("ledger serve --take-over", START)


def test_what_an_agent_said_is_as_old_as_the_leaders_silence() -> None:
    busy: dict[str, object] = {"migration": "1_change"}
    assert reasons(running(), leader=SILENT, busy=busy)["a"].reason is Reason.LEADER_SILENT
    assert reasons(running(), busy=busy)["a"].reason is Reason.RUNNING


def test_a_stopped_rollout_is_a_nearer_cause_than_a_silent_leader() -> None:
    story = running().when(paused())
    found = reasons(story, leader=SILENT)
    assert (found["a"].reason, found["b"].reason) == (Reason.LEADER_SILENT, Reason.PAUSED)


def test_a_leader_that_has_just_begun_has_not_heard_of_every_agent_yet() -> None:
    begun_now = replace(LEADER, led_s=3.0)
    assert reasons(running(), leader=begun_now, pool="edge")["a"].reason is Reason.NOT_TAKEN
    later = replace(LEADER, led_s=30.0)
    assert reasons(running(), leader=later, pool="edge")["a"].reason is Reason.NO_AGENT


@pytest.mark.parametrize(("ahead_s", "how"), [(7200.0, "2 h ahead of"), (-300.0, "5 min behind")])
def test_an_agent_whose_clock_is_wrong_is_named_with_it(ahead_s: float, how: str) -> None:
    found = reasons(running(), ahead_s=ahead_s)["a"]
    assert found.reason is Reason.CLOCK
    assert found.text.startswith(f"the clock of agent a1 on h is {how} the ledger's")


def test_a_clock_that_is_a_little_wrong_explains_nothing() -> None:
    assert reasons(running(), ahead_s=20.0)["a"].reason is Reason.NOT_TAKEN


def test_who_is_put_off_says_why_and_when_it_is_tried_again() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    refused = finished("a", verdict=Verdict.REFUSED, kind="clock", changed=0)
    story.when(refused).when(refused)
    found = reasons(story)["a"]
    assert found.reason is Reason.CLOCK
    assert found.text == "clock error; attempt 3 in a row at 2026-11-23 09:00:05Z"
    assert found.until == START + timedelta(seconds=5)
    assert found.command == "ledger rollout retry r1 a"


def test_who_was_taken_back_is_put_off_for_no_clock() -> None:
    story = given(planned(["a"]), wave_opened(0), ordered("a"))
    cancelled = finished("a", verdict=Verdict.CANCELLED, kind="cancelled", changed=0)
    assert reasons(story.when(cancelled).when(cancelled))["a"].reason is Reason.PUT_OFF


def test_an_agent_that_puts_orders_aside_says_why_nobody_has_taken_one() -> None:
    story = running().when(wave_opened(0), ordered("a"))
    why = "it is signed by the key 1, which is not known here"
    found = reasons(story, refuses=why)["a"]
    assert (found.reason, found.command) == (Reason.REFUSED, "ledger keys list")
    assert found.text == f"agent a1 puts orders aside: {why}"
    assert reasons(story, refuses=why, pool="other")["a"].reason is not Reason.REFUSED
    assert reasons(story, refuses=why, busy={})["a"].reason is Reason.RUNNING
    assert len(reasons(story, refuses="x" * 9_999)["a"].text) < 400
