"""What placeholders stand for in each database of a plan."""

from __future__ import annotations

import pytest

from ledger.contracts.registry import MigrationRef, Variable
from ledger.domain.variables import (
    DifferentValues,
    MissingLabels,
    UndeclaredVariables,
    UnknownVariable,
    ordered_values,
    own_values,
    refuse_unknown,
    together,
    unneeded,
    used,
)

SCHEMA = Variable(name="schema", value="app")
REGION = Variable(name="region", value="sample", label="region")


def ref(*variables: str) -> MigrationRef:
    return MigrationRef(
        version="1",
        name="m",
        format="flyway",
        up_checksum="0" * 64,
        down_checksum=None,
        has_verify=False,
        transactional=True,
        files=(),
        variables=variables,
    )


def test_only_what_the_migrations_use_is_kept() -> None:
    assert used([SCHEMA, REGION], [ref("schema")]) == (SCHEMA,)


def test_what_nothing_stands_for_is_refused_with_the_migration() -> None:
    with pytest.raises(UndeclaredVariables, match=r"1_m need.*tenant.*--var tenant=VALUE"):
        used([SCHEMA], [ref("schema", "tenant")])


@pytest.mark.parametrize(
    ("said", "known", "told"),
    [
        ("reigon", ("region", "schema"), "write --var region=VALUE, or leave it out"),
        ("zzz", ("region", "schema"), "there are region, schema; correct it, or leave it out"),
        ("region", (), "uses the variable 'region' of --var; leave it out"),
    ],
)
def test_a_name_that_the_folder_does_not_know_is_refused_with_those_that_it_does(
    said: str, known: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UnknownVariable) as caught:
        refuse_unknown([said], [ref(*known)])
    assert told in str(caught.value)


def test_what_another_file_of_the_folder_uses_is_known() -> None:
    refuse_unknown(["schema", "seed"], [ref("region"), ref("schema")], beside={"seed"})
    refuse_unknown([], [ref("region")])


def test_a_name_that_nothing_pending_uses_is_told() -> None:
    assert unneeded(["region", "schema"], [ref("schema")]) == [
        "variable region changes nothing: no pending migration uses it"
    ]


def test_each_database_has_the_value_of_its_label() -> None:
    found = own_values([SCHEMA, REGION], {"a": {"region": "eu"}, "b": {"region": "us"}}, {})

    assert {one: found[one].values for one in found} == {
        "a": (("region", "eu"),),
        "b": (("region", "us"),),
    }


def test_databases_without_the_label_are_refused_by_name() -> None:
    with pytest.raises(MissingLabels) as caught:
        own_values([REGION], {"a": {"region": "eu"}, "b": {}, "c": {}}, {})

    assert caught.value.databases == ("b", "c")


def test_what_a_database_was_run_with_goes_before_its_label_and_the_declared_value() -> None:
    earlier = {"a": (("region", "old"), ("schema", "then"), ("unused", "x"))}
    own = own_values([SCHEMA, REGION], {"a": {}}, earlier)["a"].values

    assert ordered_values([SCHEMA, REGION], own) == (("region", "old"), ("schema", "then"))


def test_one_order_cannot_have_two_values() -> None:
    assert together("a", [(("v", "1"),), (("v", "1"), ("w", "2"))]) == (("v", "1"), ("w", "2"))
    with pytest.raises(DifferentValues, match=r"'a'.*variable v"):
        together("a", [(("v", "1"),), (("v", "2"),)])
