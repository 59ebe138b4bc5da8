"""What single events change in the read models."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.registry import DatabaseIdentity, FailureDetail, Mode
from ledger.store.views.patches import Patch, PatchKind
from ledger.store.views.projected_rows import EventPlace, rollout_of
from ledger.store.views.projections import NAMING_SEVERAL, RULES, databases_of, patches
from ledger.store.views.tables import APPLIED, ATTEMPT, FLEET_DATABASE, SPOKEN_HEAD, Table

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
PLACE = EventPlace(7, "rollout-r1/reports", "ledger_service", AT, b"{}")
COMMAND = UUID(int=1)
IDENTITY = DatabaseIdentity(uuid=UUID(int=2), system_identifier="7", database_oid=5)
EXPECTATION = {"identity_uuid", "system_identifier", "database_oid", "journal_head"}
"""What the next order expects; with `command`, who may say the head."""


def only(event: r.Event, table: Table) -> Patch:
    (patch,) = [patch for patch in patches(event, PLACE) if patch.table is table]
    return patch


def finished(verdict: r.Verdict, head: str | None = "abc") -> r.AttemptFinished:
    return r.AttemptFinished(
        database="acme",
        command=COMMAND,
        attempt=1,
        mode=Mode.UP,
        verdict=verdict,
        changed=1,
        journal_head=head,
    )


def test_every_event_of_the_contracts_has_a_rule() -> None:
    assert set(RULES) == {*e.EVENTS.values(), r.Unreadable}


def test_an_event_belongs_to_the_history_of_every_database_it_names() -> None:
    assert databases_of(e.RetryRequested(rollout="r1", databases=("acme", "bolt", "acme"))) == (
        "acme",
        "bolt",
    )
    assert databases_of(finished(r.Verdict.DONE)) == ("acme",)
    assert databases_of(e.RolloutStarted(rollout="r1")) == ()


def test_every_event_with_a_list_of_databases_names_them() -> None:
    several = {
        type_
        for type_ in e.EVENTS.values()
        if str(type_.__annotations__.get("databases", "int")) != "int"
    }

    assert several == set(NAMING_SEVERAL)


@pytest.mark.parametrize("event", [e.DatabaseReinstated(database="acme")])
def test_a_reinstated_database_is_to_be_learned_again(event: r.Event) -> None:
    patch = only(event, FLEET_DATABASE)

    assert {name for name, value in patch.sets.items() if value is None} == {
        *EXPECTATION,
        "command",
        "head_command",
    }
    assert patch.sets["status"] == "active"


def test_a_first_contact_teaches_an_identity_and_never_replaces_one() -> None:
    event = r.DatabaseIdentified(
        database="acme",
        command=COMMAND,
        identity=IDENTITY,
        server_version=180000,
        first_contact=True,
    )

    patch = only(event, FLEET_DATABASE)

    assert patch.fills is not None
    assert patch.fills["identity_uuid"] == IDENTITY.uuid
    assert EXPECTATION.isdisjoint(patch.sets)


def test_a_look_teaches_only_what_is_unknown() -> None:
    event = r.DatabaseInspected(
        database="acme", command=COMMAND, reachable=True, identity=IDENTITY, journal_head="abc"
    )

    patch = only(event, FLEET_DATABASE)

    assert set(patch.fills or {}) == EXPECTATION
    assert EXPECTATION.isdisjoint(patch.sets)


def test_a_look_that_reached_nothing_teaches_nothing() -> None:
    event = r.DatabaseInspected(database="acme", command=COMMAND, reachable=False)

    assert [patch for patch in patches(event, PLACE) if patch.table is FLEET_DATABASE] == []


def test_an_attempt_that_believed_the_journal_moves_the_expected_head() -> None:
    for verdict in (r.Verdict.DONE, r.Verdict.FAILED, r.Verdict.CANCELLED, r.Verdict.EXPIRED):
        patch = only(finished(verdict), SPOKEN_HEAD)
        told = {"journal_head": "abc", "head_command": COMMAND}
        assert (patch.key, patch.sets) == (("acme", COMMAND), told)


@pytest.mark.parametrize("answer", [finished(r.Verdict.REFUSED), finished(r.Verdict.EXPIRED, None)])
def test_an_attempt_that_believed_no_journal_moves_nothing(answer: r.AttemptFinished) -> None:
    assert {patch.table.name for patch in patches(answer, PLACE)} == {ATTEMPT.name}


def test_a_report_changes_the_attempt_of_its_own_command_alone() -> None:
    patch = only(finished(r.Verdict.DONE), ATTEMPT)

    assert (patch.kind, patch.key) == (PatchKind.CHANGE, (COMMAND,))


def test_what_was_applied_by_something_else_is_noted_without_taking_it_over() -> None:
    event = r.MigrationSkipped(
        database="acme", command=COMMAND, version="1", direction="up", checksum="c"
    )

    patch = only(event, APPLIED)

    assert patch.kind is PatchKind.ENSURE
    assert (patch.sets["outside"], patch.sets["rollout"]) == (True, None)


@pytest.mark.parametrize(
    ("direction", "kind", "state"),
    [
        ("up", "sql", "failed"),
        ("down", "sql", "rollback_failed"),
        ("up", "in_doubt", "unknown"),
        ("down", "in_doubt", "unknown"),
    ],
)
def test_a_failure_leaves_a_migration_as_far_as_it_is_known(
    direction: str, kind: str, state: str
) -> None:
    event = r.MigrationFailed(
        database="acme",
        command=COMMAND,
        version="1",
        direction=direction,
        checksum="c",
        failure=FailureDetail(kind=kind, message="no"),
    )

    assert only(event, APPLIED).sets["state"] == state


def test_a_stream_names_its_rollout() -> None:
    assert rollout_of("rollout-r1") == rollout_of("rollout-r1/reports") == "r1"
    assert rollout_of("fleet") is None
