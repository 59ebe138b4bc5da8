"""What makes the fleet as it is described."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from ledger.contracts.events import (
    DatabaseRegistered,
    DatabaseRelabelled,
    DatabaseRepointed,
    DatabaseRetired,
)
from ledger.contracts.registry import Connection
from ledger.domain.fleet import DatabaseRecord, FleetState, FleetStatus
from ledger.domain.fleet_changes import (
    FleetChanges,
    FleetMoved,
    UnfitDescription,
    compare,
    refuse_moved,
    relabelled,
)
from ledger.domain.refusals import AddressTaken, InvalidDatabase, RetiredDatabase


@dataclass(frozen=True)
class WantedTenant:
    """A database as it is to be."""

    database: str
    connection: Connection
    labels: dict[str, str] = field(default_factory=dict)
    pool: str = "default"
    line: int = 0


def at(host: str, name: str) -> Connection:
    return Connection.at(host, name, user="app", password="env:APP")


def wanted(database: str, host: str = "db1", **labels: str) -> WantedTenant:
    return WantedTenant(database, at(host, database), labels)


def fleet(*databases: WantedTenant, version: int = 7) -> FleetState:
    records = {
        one.database: DatabaseRecord(one.database, one.pool, one.connection, one.labels)
        for one in databases
    }
    addresses = {one.connection.target.canonical: name for name, one in records.items()}
    return FleetState(records, version, addresses)


ACME, BOLT, CYAN = wanted("acme", tier="gold"), wanted("bolt"), wanted("cyan")


def test_what_joins_changes_and_leaves_is_shown_with_the_values_before_and_after() -> None:
    moved = wanted("acme", "db2", tier="silver", region="eu")
    changes = compare(fleet(ACME, BOLT, CYAN), [moved, wanted("dora"), BOLT], prune=True)
    shown = {one.database: (one.kind.value, dict(one.fields)) for one in changes.changes}
    assert shown["acme"] == (
        "change",
        {
            "host": ("db1", "db2"),
            "label region": (None, "eu"),
            "label tier": ("gold", "silver"),
        },
    )
    assert shown["dora"][0] == "add"
    assert shown["dora"][1]["password"] == (None, "env:APP")
    assert shown["cyan"][0] == "remove"
    assert (changes.version, changes.unchanged, changes.absent) == (7, ("bolt",), ())
    assert changes.moved == ["acme"]
    assert [type(event) for event in changes.events] == [
        DatabaseRetired,
        DatabaseRepointed,
        DatabaseRelabelled,
        DatabaseRegistered,
    ]


def test_the_same_description_again_changes_nothing() -> None:
    state = fleet(ACME, BOLT)
    assert compare(state, [BOLT, ACME], prune=True) == FleetChanges(7, (), ("acme", "bolt"))


def test_without_prune_who_is_not_described_stays_and_is_named() -> None:
    changes = compare(fleet(ACME, BOLT), [ACME], prune=False)
    assert (changes.changes, changes.absent) == ((), ("bolt",))


def test_a_label_alone_makes_nobody_read_a_journal_again() -> None:
    changes = compare(fleet(ACME), [wanted("acme", tier="tin")], prune=False)
    assert (changes.moved, len(changes.events)) == ([], 1)


def test_two_databases_may_change_places() -> None:
    state = fleet(WantedTenant("acme", at("db1", "one")), WantedTenant("bolt", at("db1", "two")))
    swapped = [WantedTenant("acme", at("db1", "two")), WantedTenant("bolt", at("db1", "one"))]
    assert compare(state, swapped, prune=False).moved == ["acme", "bolt"]


def test_the_place_of_one_who_stays_is_taken_and_of_one_who_leaves_is_free() -> None:
    heir = WantedTenant("heir", CYAN.connection)
    with pytest.raises(AddressTaken, match="is in the fleet as 'cyan' already"):
        compare(fleet(ACME, CYAN), [ACME, heir], prune=False)
    changes = compare(fleet(ACME, CYAN), [ACME, heir], prune=True)
    assert [one.database for one in changes.changes] == ["heir", "cyan"]


def test_all_that_cannot_be_is_named_at_once() -> None:
    state = fleet(ACME, BOLT)
    gone = replace(state.databases["bolt"], status=FleetStatus.RETIRED)
    state = replace(state, databases={**state.databases, "bolt": gone})
    with pytest.raises(RetiredDatabase, match=r"of the file \(line 7\), or register it under"):
        compare(state, [ACME, replace(BOLT, line=7)], prune=False)
    with pytest.raises(UnfitDescription, match="retired") as refused:
        compare(state, [ACME, BOLT, wanted("dora", tier="a b")], prune=False)
    assert "database 'dora': label 'tier'" in str(refused.value)


def test_suspended_databases_stay_suspended() -> None:
    state = fleet(ACME)
    away = replace(state.databases["acme"], status=FleetStatus.SUSPENDED)
    state = replace(state, databases={"acme": away})
    assert compare(state, [ACME], prune=True).changes == ()


def test_labels_are_set_and_taken_away_where_that_changes_something() -> None:
    state = fleet(ACME, BOLT, wanted("cyan", tier="silver", old="yes"))
    changes = relabelled(state, ["acme", "bolt", "cyan"], {"tier": "gold"}, ["old"])
    assert changes.unchanged == ("acme",)
    assert {one.database: dict(one.fields) for one in changes.changes} == {
        "bolt": {"label tier": (None, "gold")},
        "cyan": {"label old": ("yes", None), "label tier": ("silver", "gold")},
    }
    with pytest.raises(InvalidDatabase, match="reserved"):
        relabelled(state, ["acme"], {"status": "fine"}, [])


def test_what_was_shown_is_recorded_or_refused_by_name() -> None:
    shown = compare(fleet(ACME), [ACME, BOLT], prune=False)
    refuse_moved(shown, compare(fleet(ACME, CYAN, version=9), [ACME, BOLT], prune=False))
    with pytest.raises(FleetMoved, match=r"\(bolt\)"):
        refuse_moved(shown, compare(fleet(ACME, BOLT), [ACME, BOLT], prune=False))
