"""Which history a folder is, and which one a database belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ledger.contracts.events import BundleRegistered
from ledger.contracts.registry import Connection, MigrationRef
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.histories import Histories, NothingInCommon, belonging
from tests.support.story import migration


def ref(version: str, name: str = "init", text: str = "a") -> MigrationRef:
    return migration(version).model_copy(update={"name": name, "up_checksum": text * 64})


A1, A2, B1, B2 = ref("1"), ref("2", "more"), ref("1", text="b"), ref("2", "else", "b")


def known(*registered: tuple[str, str, Sequence[MigrationRef]]) -> Histories:
    """By key, name and migrations."""
    found = Histories()
    for number, (key, name, refs) in enumerate(registered):
        digest = f"{number:064x}"
        found.take(
            BundleRegistered(
                bundle=digest, migrations=tuple(refs), source=key, history=key, name=name
            )
        )
    return found


ONE = known(("app_a", "", [A1, A2]))


@pytest.mark.parametrize(
    ("name", "folder", "refs", "key"),
    [
        ("", "app_a", [A1, A2, ref("3")], "app_a"),
        ("", "renamed", [A1, ref("3")], "app_a"),
        ("shop", "app_a", [A1, A2], "app_a"),
        ("", "app_b", [B1, B2], "app_b"),
        ("app_b", "app_a", [B1, B2], "app_b"),
        ("", "app_a", [ref("1", text="c"), ref("2", "more", "c")], "app_a"),
        ("", "app_a", [], "app_a"),
        ("", "other", [], "other"),
        ("", "app_a", [ref("9").model_copy(update={"replaces": ("1", "2")})], "app_a"),
    ],
)
def test_a_folder_is_of_the_history_that_it_shares_with_or_a_new_one(
    name: str, folder: str, refs: list[MigrationRef], key: str
) -> None:
    assert ONE.key_of(refs, name, folder) == key


@pytest.mark.parametrize(
    ("name", "folder", "refs"),
    [
        ("", "app_a", [B1, B2]),
        ("", "app_a", [ref("7")]),
        ("app_a", "x", [B1]),
    ],
)
def test_a_folder_that_shares_nothing_with_the_history_of_its_name_is_refused(
    name: str, folder: str, refs: list[MigrationRef]
) -> None:
    with pytest.raises(NothingInCommon, match="nothing in common") as refused:
        ONE.key_of(refs, name, folder)
    assert "repair" not in str(refused.value)


def test_what_nobody_needs_any_more_is_not_missed() -> None:
    assert ONE.key_of([ref("7")], "", "app_a", {"1", "2"}) == "app_a"


def test_named_histories_are_apart_though_they_begin_with_the_same_file() -> None:
    both = known(("shop", "shop", [A1]), ("billing", "billing", [A1]))
    assert both.key_of([A1, B2], "billing", "x") == "billing"
    assert both.key_of([A1, B2], "third", "x") == "third"


def test_a_name_that_came_later_leads_to_the_history_that_has_it_now() -> None:
    later = known(("app_a", "", [A1]), ("app_a", "shop", [A1, A2]))
    assert later.keys["shop"] == later.keys["app_a"] == "app_a"
    assert later.called("app_a") == "shop"


def record(database: str, label: str = "", history: str = "") -> DatabaseRecord:
    connection = Connection.at("db1", database, history=history, user="x")
    return DatabaseRecord(database, "main", connection, {"history": label} if label else {})


TWO = known(("app_a", "", [A1]), ("app_b", "shop", [B1]))
RECORDS = {
    one.database: one
    for one in (
        record("learned_a"),
        record("learned_b"),
        record("labelled_b", label="shop"),
        record("registered_b", history="shop"),
        record("labelled_else", label="nobody"),
        record("free"),
    )
}
LEARNED = {"learned_a": frozenset({"app_a"}), "learned_b": frozenset({"app_b"})}


def test_a_plan_takes_its_own_databases_and_says_why_not_the_others() -> None:
    found = belonging("app_b", list(RECORDS), RECORDS, TWO, LEARNED, by_selection=False)
    assert found.databases == ("learned_b", "labelled_b", "registered_b")
    assert len(found.told) == 3
    assert "learned_a belongs to the history 'app_a'" in found.told[0]
    assert "labelled_else belongs to the history 'nobody'" in found.told[1]
    assert "ledger fleet label DATABASE history=shop" in found.told[2]


def test_a_database_of_no_history_is_taken_when_it_is_selected_or_there_is_but_one() -> None:
    selected = belonging("app_b", list(RECORDS), RECORDS, TWO, LEARNED, by_selection=True)
    assert "free" in selected.databases
    assert "learned_a" not in selected.databases
    alone = belonging("app_a", list(RECORDS), RECORDS, ONE, {}, by_selection=False)
    assert "free" in alone.databases


def test_a_label_wins_over_what_is_applied() -> None:
    records = {"learned_a": replace(RECORDS["learned_a"], labels={"history": "shop"})}
    found = belonging("app_b", ["learned_a"], records, TWO, LEARNED, by_selection=False)
    assert found.databases == ("learned_a",)
