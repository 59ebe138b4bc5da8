"""What single events change in the rows of the read models."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.envelope import Metadata, Recorded
from ledger.contracts.registry import Connection
from ledger.domain.belief import NOTHING, TAUGHT, Belief
from ledger.domain.fleet import DatabaseRecord
from ledger.store.views.projection import (
    ABOUT_ONE,
    NAMING_SEVERAL,
    Projection,
    databases_of,
    keys_of,
    rollout_of,
)
from ledger.store.views.rows import AppliedRow, FleetRow, OrderRow
from ledger.store.views.versions import SPEAKING
from migrations.model.attempt import Failure, FailureClass, HalfDone, Identity, Mode, Verdict

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLD, COMMAND = UUID(int=1), UUID(int=2)
IDENTITY = Identity(uuid=UUID(int=2), system_identifier="7", database_oid=5)
HERE = Connection.at(host="db-1", database="app", user="migrator", password="env:P")
ACME = DatabaseRecord("acme", "main", HERE)
ORDERED = Belief(command=COMMAND, unanswered=True)


def told(event: r.Event, position: int = 50, stream: str = "rollout-r1/reports") -> Recorded:
    return Recorded(position, stream, 1, uuid4(), event, Metadata(), "ledger_service", AT)


def knowing(belief: Belief = ORDERED) -> Projection:
    """A projection that holds one database, with an old and a new order of it."""
    projection = Projection()
    projection.fleet.restore("acme", FleetRow(ACME, belief, None, None, None, 1, AT, "ada"))
    projection.orders.restore(OLD, OrderRow("r0", "acme", 1, 10, "ledger_service"))
    projection.orders.restore(COMMAND, OrderRow("r1", "acme", 1, 20, "ledger_service"))
    return projection


def believed(event: r.Event, belief: Belief, stream: str = "r") -> Belief:
    projection = knowing(belief)
    projection.take(told(event, stream=stream))
    return projection.fleet.rows["acme"].belief


def said(*events: r.Event) -> AppliedRow:
    projection = knowing()
    for number, event in enumerate(events):
        projection.take(told(event, 50 + number))
    (row,) = projection.applied.rows.values()
    return row


def applied(command: UUID = COMMAND) -> r.MigrationApplied:
    return r.MigrationApplied(
        database="acme", command=command, version="1", checksum="c", duration_ms=1, statements=1
    )


def rolled_back(command: UUID) -> r.MigrationRolledBack:
    return r.MigrationRolledBack(**applied(command).model_dump())


def skipped(command: UUID = COMMAND, direction: str = "up") -> r.MigrationSkipped:
    return r.MigrationSkipped(
        database="acme", command=command, version="1", direction=direction, checksum="c"
    )


def finished(verdict: Verdict, head: str | None = "abc") -> r.AttemptFinished:
    return r.AttemptFinished(
        database="acme",
        command=COMMAND,
        attempt=1,
        mode=Mode.UP,
        verdict=verdict,
        changed=1,
        journal_head=head,
    )


def test_an_event_belongs_to_the_history_of_every_database_it_names() -> None:
    assert databases_of(e.RetryRequested(rollout="r1", databases=("acme", "bolt", "acme"))) == (
        "acme",
        "bolt",
    )
    assert databases_of(finished(Verdict.DONE)) == ("acme",)
    assert databases_of(e.RolloutStarted(rollout="r1")) == ()


def test_every_event_with_a_list_of_databases_names_them_but_a_request_to_look_at_them() -> None:
    several = {
        type_
        for type_ in e.EVENTS.values()
        if str(type_.__annotations__.get("databases", "")).startswith("tuple")
    }

    assert several == {*NAMING_SEVERAL, e.CheckRequested}


def test_every_event_that_teaches_or_speaks_names_its_database() -> None:
    assert {*TAUGHT, *SPEAKING} <= ABOUT_ONE


def test_what_a_journal_leaves_half_done_is_kept_until_it_says_otherwise() -> None:
    half = (HalfDone("1", "up", "c", "r1"),)
    known = believed(finished(Verdict.FAILED).model_copy(update={"half_done": half}), ORDERED)
    assert known.half_done == half

    unsaid = finished(Verdict.FAILED)
    assert believed(unsaid, known._replace(command=COMMAND, unanswered=True)).half_done == half
    over = finished(Verdict.DONE).model_copy(update={"half_done": ()})
    assert believed(over, known).half_done == ()


def test_a_reinstated_database_is_to_be_learned_again() -> None:
    known = Belief(IDENTITY, "abc", COMMAND, unanswered=True, doubted=True)

    assert believed(e.DatabaseReinstated(database="acme"), known, "fleet") == NOTHING


@pytest.mark.parametrize("known", [None, replace(IDENTITY, database_oid=6)])
def test_a_first_contact_teaches_an_identity_and_never_replaces_one(
    known: Identity | None,
) -> None:
    event = r.DatabaseIdentified(
        database="acme",
        command=COMMAND,
        identity=IDENTITY,
        server_version=180000,
        first_contact=True,
    )

    assert believed(event, Belief(known)).identity == (known or IDENTITY)


@pytest.mark.parametrize("reachable", [True, False])
def test_only_a_look_that_reached_a_database_counts_as_a_contact(reachable: bool) -> None:
    projection = knowing()
    projection.take(
        told(r.DatabaseInspected(database="acme", command=COMMAND, reachable=reachable))
    )

    assert projection.fleet.rows["acme"].last_contact_at == (AT if reachable else None)


def test_what_was_applied_by_something_else_is_noted_without_taking_it_over() -> None:
    alone, known = said(skipped()), said(applied(), skipped())

    assert (alone.state, alone.outside, alone.rollout) == ("applied", True, None)
    assert (known.outside, known.rollout) == (False, "r1")


def test_what_was_not_there_to_be_undone_says_nothing() -> None:
    projection = knowing()
    projection.take(told(skipped(direction="down")))

    assert projection.applied.rows == {}


@pytest.mark.parametrize("late", [applied(OLD), rolled_back(OLD), skipped(OLD)])
def test_what_an_earlier_command_says_late_replaces_nothing(late: r.Event) -> None:
    row = said(rolled_back(COMMAND), late)

    assert (row.state, row.command, row.position) == ("rolled_back", COMMAND, 50)


def test_of_one_command_the_later_word_holds() -> None:
    assert said(applied(), rolled_back(COMMAND)).state == "rolled_back"


def test_a_persons_word_is_replaced_only_by_what_is_ordered_later() -> None:
    word = e.OutcomeResolved(rollout="r1", database="acme", version="1", applied=False)

    row = said(word, applied())

    assert (row.state, row.command, row.ordered_position) == ("not_applied", None, 50)


def test_a_migration_says_who_ordered_it_and_where() -> None:
    row = said(applied())

    assert (row.ordered_position, row.ordered_by) == (20, "ledger_service")


@pytest.mark.parametrize(
    ("direction", "kind", "state"),
    [
        ("up", FailureClass.SQL, "failed"),
        ("down", FailureClass.SQL, "rollback_failed"),
        ("up", FailureClass.IN_DOUBT, "unknown"),
        ("down", FailureClass.IN_DOUBT, "unknown"),
    ],
)
def test_a_failure_leaves_a_migration_as_far_as_it_is_known(
    direction: str, kind: FailureClass, state: str
) -> None:
    event = r.MigrationFailed(
        database="acme",
        command=COMMAND,
        version="1",
        direction=direction,
        checksum="c",
        failure=Failure(kind=kind, message="no"),
    )

    assert said(event).state == state


def test_events_of_a_rollout_that_was_never_planned_change_no_rollout() -> None:
    projection = knowing()
    projection.take(told(e.RolloutStarted(rollout="r1"), stream="rollout-r1"))

    assert projection.rollouts == {}


def test_a_projection_asks_for_every_row_that_it_then_touches() -> None:
    events = [told(applied()), told(finished(Verdict.DONE), 51)]

    keys = keys_of(events)

    assert keys.fleet == {"acme"}
    assert keys.databases == {"r1": {"acme"}}
    assert keys.orders == {COMMAND}
    assert keys.applied == {("acme", "1")}


def test_a_row_that_was_loaded_and_not_touched_is_not_written() -> None:
    projection = knowing()
    assert projection.fleet.changed() == []

    projection.take(told(finished(Verdict.DONE)))

    assert [key for key, _ in projection.fleet.changed()] == ["acme"]
    assert projection.orders.changed() == []


def test_a_stream_names_its_rollout() -> None:
    assert rollout_of("rollout-r1") == rollout_of("rollout-r1/reports") == "r1"
    assert rollout_of("fleet") is None
