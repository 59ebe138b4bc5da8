"""The fleet's registry: what may be registered, changed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from ledger.contracts.envelope import NAMESPACE, Metadata, Recorded
from ledger.contracts.events import (
    DatabaseRegistered,
    DatabaseReinstated,
    DatabaseRelabelled,
    DatabaseRepointed,
)
from ledger.contracts.registry import Connection
from ledger.contracts.reports import Event
from ledger.domain import fleet
from ledger.domain.description import check_password
from ledger.domain.fleet import DatabaseRecord, FleetState, FleetStatus
from ledger.domain.refusals import (
    AddressTaken,
    AlreadyRegistered,
    InvalidDatabase,
    LiteralPassword,
    ReasonRequired,
    RetiredDatabase,
    UnknownDatabase,
)
from tests.support.spec import START

HERE = Connection.at(host="db.internal", database="acme", user="app", password="env:ACME_PASSWORD")
THERE = Connection.at(**(HERE.parts | {"host": "other.internal"}))


def after(*requests: Callable[[FleetState], tuple[Event, ...]]) -> FleetState:
    state = FleetState()
    for request in requests:
        for event in request(state):
            version = state.version + 1
            recorded = Recorded(
                version, "fleet", version, NAMESPACE, event, Metadata(), "tests", START
            )
            state = fleet.fold(state, [recorded])
    return state


def registered(state: FleetState) -> tuple[Event, ...]:
    return fleet.register(state, "acme", "main", HERE, {"tier": "gold"})


def suspended(state: FleetState) -> tuple[Event, ...]:
    return fleet.suspend(state, "acme")


def retired(state: FleetState) -> tuple[Event, ...]:
    return fleet.retire(state, "acme")


def test_a_registered_database_is_active() -> None:
    state = after(registered)
    assert state.databases["acme"] == DatabaseRecord("acme", "main", HERE, {"tier": "gold"})
    assert (state.databases["acme"].active, state.version) == (True, 1)


def test_registering_the_same_again_changes_nothing() -> None:
    assert registered(after(registered)) == ()


def test_registering_another_database_under_a_known_id_is_refused_and_names_what_to_use() -> None:
    with pytest.raises(AlreadyRegistered, match=r"differs in host; .*fleet repoint.*fleet label"):
        fleet.register(after(registered), "acme", "main", THERE, {"tier": "gold"})


def test_a_retired_id_cannot_come_back() -> None:
    gone = after(registered, retired)
    for request in (registered, suspended, lambda state: fleet.reinstate(state, "acme", "why")):
        with pytest.raises(RetiredDatabase, match="under a new id"):
            request(gone)
    assert retired(gone) == ()


def test_an_unknown_database_is_refused() -> None:
    for request in (suspended, retired, lambda state: fleet.relabel(state, "acme", {})):
        with pytest.raises(UnknownDatabase, match="ledger fleet list"):
            request(FleetState())


def test_labels_are_replaced() -> None:
    state = after(registered, lambda state: fleet.relabel(state, "acme", {"tier": "tin"}))
    assert state.databases["acme"].labels == {"tier": "tin"}
    assert fleet.relabel(state, "acme", {"tier": "tin"}) == ()
    assert isinstance(fleet.relabel(state, "acme", {})[0], DatabaseRelabelled)


def test_a_repointed_database_is_reached_elsewhere() -> None:
    state = after(registered, lambda state: fleet.repoint(state, "acme", "edge", THERE, "moved"))
    assert (state.databases["acme"].pool, state.databases["acme"].connection) == ("edge", THERE)
    assert fleet.repoint(state, "acme", "edge", THERE, "moved") == ()
    assert isinstance(fleet.repoint(state, "acme", "main", HERE, "x")[0], DatabaseRepointed)


def test_repoint_and_reinstate_must_say_why() -> None:
    with pytest.raises(ReasonRequired, match="--reason"):
        fleet.repoint(after(registered), "acme", "main", THERE, " ")
    with pytest.raises(ReasonRequired, match="--reason"):
        fleet.reinstate(after(registered), "acme", None)


def test_a_suspended_database_is_reinstated() -> None:
    state = after(registered, suspended)
    assert state.databases["acme"].status is FleetStatus.SUSPENDED
    assert suspended(state) == ()
    (event,) = fleet.reinstate(state, "acme", "restored")
    assert isinstance(event, DatabaseReinstated)
    state = after(registered, suspended, lambda state: fleet.reinstate(state, "acme", "restored"))
    assert state.databases["acme"].active


def test_reinstating_an_active_database_takes_it_as_it_is_now() -> None:
    assert fleet.reinstate(after(registered), "acme", "restored in place")


def test_a_fold_leaves_the_state_before_as_it_was() -> None:
    before = FleetState()
    after(registered)
    assert before.databases == {}


@pytest.mark.parametrize(
    "database", ["", "-x", "..", "a/b", "a b", 'x"; DROP', "ü", "a" * 201, "a\n"]
)
def test_an_id_that_is_no_safe_word_is_refused(database: str) -> None:
    with pytest.raises(InvalidDatabase, match="choose another id"):
        fleet.register(FleetState(), database, "main", HERE)


@for_all(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", fullmatch=True))
def test_every_safe_word_is_an_id(database: str) -> None:
    (event,) = fleet.register(FleetState(), database, "main", HERE)
    assert isinstance(event, DatabaseRegistered)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": ""}, "host is empty"),
        ({"host": "postgres://u:hunter2@h/d"}, "looks like a connection string"),
        ({"host": "a b"}, "spaces"),
        ({"database": ""}, "dbname is empty"),
        ({"user": ""}, "user is empty"),
        ({"user": "a\0b"}, "control characters"),
        ({"database": "ü" * 32}, "63 bytes"),
        ({"role": ""}, "role is empty"),
        ({"schema": "s" * 64}, "63 bytes"),
        ({"schema": "@" + "s" * 62}, "schema and an @ make a key of more than 63 bytes"),
        ({"schema": "s" * 59, "history": "shop"}, "history and an @ make a key of more"),
        ({"schema": "migration_ledger"}, "where the journal stands"),
        ({"schema": "a", "further_schemas": ("b", "migration_ledger")}, "where the journal stands"),
        ({"port": 0}, "from 1 to 65535"),
        ({"sslmode": "maybe"}, "verify-full"),
    ],
)
def test_an_incomplete_connection_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidDatabase, match=message) as refused:
        fleet.register(FleetState(), "acme", "main", Connection.at(**(HERE.parts | change)))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "s" * 63},
        {"schema": "@" + "s" * 61},
        {"schema": "s" * 58, "history": "shop"},
        {"schema": "Migration_Ledger"},
        {"history": "migration_ledger"},
    ],
)
def test_a_schema_that_a_journals_key_can_hold_is_taken(change: dict[str, object]) -> None:
    assert fleet.register(FleetState(), "acme", "main", Connection.at(**(HERE.parts | change)))


@pytest.mark.parametrize("pool", ["", "Main", "a b", "a.b", "x" * 64])
def test_a_pool_that_cannot_be_part_of_a_topic_is_refused(pool: str) -> None:
    with pytest.raises(InvalidDatabase, match="pool"):
        fleet.register(FleetState(), "acme", pool, HERE)


@pytest.mark.parametrize(
    "labels", [{"": "x"}, {"a b": "x"}, {"id": "x"}, {"pool": "x"}, {"a": ""}, {"a": "x,y"}]
)
def test_a_label_that_a_selection_could_not_name_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidDatabase, match="label"):
        fleet.register(FleetState(), "acme", "main", HERE, labels)


@pytest.mark.parametrize(
    "password", ["hunter2", "", "env:", "file:", "env:a b", "p:env:X", "ENV:X"]
)
def test_a_literal_password_is_refused_explained_and_not_repeated(password: str) -> None:
    with pytest.raises(LiteralPassword, match=r"never stores a literal password: write env:NAME"):
        fleet.register(FleetState(), "acme", "main", HERE.model_copy(update={"password": password}))
    with pytest.raises(LiteralPassword) as refused:
        check_password("acme", "hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "password", [None, "env:PGPASSWORD", "file:/run/secrets/acme", "file:secrets/{database}"]
)
def test_references_and_no_password_are_accepted(password: str | None) -> None:
    check_password("acme", password)


def test_one_target_has_one_id() -> None:
    state = after(registered)
    same = Connection.at(**(HERE.parts | {"host": "DB.internal.", "user": "other"}))
    with pytest.raises(AddressTaken, match="in the fleet as 'acme' already"):
        fleet.register(state, "acme2", "main", same)
    another = Connection.at(**(HERE.parts | {"schema": "two"}))
    assert fleet.register(state, "acme2", "main", another)


def test_a_database_cannot_move_to_where_another_one_is() -> None:
    def other(state: FleetState) -> tuple[Event, ...]:
        return fleet.register(state, "bolt", "main", THERE)

    with pytest.raises(AddressTaken, match="'bolt'"):
        fleet.repoint(after(registered, other), "acme", "main", THERE, "moved")


def test_a_place_is_free_again_when_its_database_moved_or_retired() -> None:
    def moved(state: FleetState) -> tuple[Event, ...]:
        return fleet.repoint(state, "acme", "main", THERE, "moved")

    assert fleet.register(after(registered, moved), "bolt", "main", HERE)
    assert fleet.register(after(registered, retired), "bolt", "main", HERE)
    assert fleet.repoint(after(registered, moved), "acme", "main", HERE, "moved back")
