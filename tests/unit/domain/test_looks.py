"""What a check says is wrong with a database."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from ledger.contracts.registry import Connection
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.check_results import lacking, problem, twins
from ledger.domain.fleet import DatabaseRecord, FleetStatus
from migrations.model.attempt import DatabasePlace, Expectation, Identity, Rights

HERE = DatabasePlace(system_identifier="7", database_oid=16384)
KNOWN = Identity(uuid=UUID(int=1), system_identifier="7", database_oid=16384)
OTHER = replace(KNOWN, uuid=UUID(int=2))
ENOUGH = Rights(create_schema=True, create_in_target=True, superuser=False)
LACKING = Rights(create_schema=False, create_in_target=True, superuser=False)


def record(database: str, schema: str = "", known: Identity | None = None) -> DatabaseRecord:
    connection = Connection.at(host=f"{database}.internal", database="app", user="m", schema=schema)
    return DatabaseRecord(database, "main", connection, expected=Expectation(identity=known))


def answer(
    database: str,
    identity: Identity | None = None,
    rights: Rights = ENOUGH,
    reachable: bool = True,
) -> DatabaseInspected:
    return DatabaseInspected(
        database=database,
        command=UUID(int=9),
        reachable=reachable,
        rights=rights,
        place=HERE,
        identity=identity,
    )


AS_ROLE = Rights(create_schema=True, create_in_target=False, superuser=False)
SUPERUSER = Rights(create_schema=True, create_in_target=False, superuser=True)


@pytest.mark.parametrize(
    ("rights", "role", "lacks"),
    [
        (ENOUGH, "app", ()),
        (LACKING, None, ("CREATE on the database",)),
        (AS_ROLE, None, ("CREATE in the schema",)),
        (AS_ROLE, "app", ("CREATE in the schema as role app",)),
        (SUPERUSER, None, ()),
        (SUPERUSER, "app", ("CREATE in the schema as role app",)),
    ],
)
def test_what_a_user_lacks_depends_on_the_role_that_migrations_run_as(
    rights: Rights, role: str | None, lacks: tuple[str, ...]
) -> None:
    assert lacking(rights, role) == lacks


def test_a_role_that_the_user_cannot_take_is_named_with_the_grant() -> None:
    told = problem(answer("a", rights=AS_ROLE), None, None, (), "app")
    assert told is not None
    assert "the role app to it" in told


@pytest.mark.parametrize(
    ("rights", "says"),
    [
        (SUPERUSER, "is a superuser"),
        (replace(ENOUGH, create_role=True), "has CREATEROLE"),
        (replace(ENOUGH, reaches=("bolt", "cyan")), "(bolt, cyan)"),
        (replace(ENOUGH, reaches=("bolt", "cyan"), reaches_more=57), "(bolt, cyan and 57 more)"),
    ],
)
def test_a_login_that_reaches_further_is_a_problem_unless_it_is_accepted(
    rights: Rights, says: str
) -> None:
    told = problem(answer("a", rights=rights), None, None, ())
    assert told is not None
    assert says in told
    assert "ledger fleet label a shared_login=accepted" in told
    assert problem(answer("a", rights=rights), None, None, (), shared_login=True) is None
    assert problem(answer("a", rights=ENOUGH), None, None, ()) is None


def test_two_addresses_of_one_database_are_named_each_with_the_other() -> None:
    answers = {name: answer(name) for name in ("a", "b")}
    assert twins([record("a"), record("b")], answers) == {"b": "a", "a": "b"}


def test_a_database_outside_of_the_check_is_compared_by_what_is_known_of_it() -> None:
    assert twins([record("a", known=KNOWN), record("b")], {"b": answer("b")}) == {"b": "a"}


def test_two_schemas_of_one_database_are_two_targets() -> None:
    answers = {name: answer(name) for name in ("a", "b")}
    assert twins([record("a", "one"), record("b", "two")], answers) == {}


def test_a_retired_database_is_nobodys_double() -> None:
    gone = replace(record("a", known=KNOWN), status=FleetStatus.RETIRED)
    assert twins([gone, record("b")], {"b": answer("b")}) == {}


@pytest.mark.parametrize(
    ("found", "known", "twin", "missing", "says"),
    [
        (answer("a", KNOWN), KNOWN, None, (), None),
        (answer("a", OTHER), KNOWN, None, (), "another database answers than the ledger knows; if"),
        (answer("a"), KNOWN, None, (), "its journal is gone; if that is meant"),
        (answer("a", KNOWN), KNOWN, "b", (), "the same database as 'b'"),
        (answer("a", KNOWN), KNOWN, None, ("2", "1"), "lost 1, 2"),
        (answer("a", rights=LACKING), None, None, (), "GRANT CREATE"),
        (answer("a", reachable=False), None, None, (), "not reachable"),
    ],
)
def test_the_first_problem_is_told(
    found: DatabaseInspected,
    known: Identity | None,
    twin: str | None,
    missing: tuple[str, ...],
    says: str | None,
) -> None:
    told = problem(found, known, twin, missing)
    assert told is None if says is None else says in (told or "")
