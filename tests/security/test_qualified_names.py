"""Names in our own SQL: none that a tenant's search_path could lead to an object of his."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import postgast
import pytest
from google.protobuf.json_format import MessageToDict

from migrations.catalog import query
from migrations.sql.literals import Expression, SqlValue, bind
from migrations.sql.named_statements import named_statements

FILES = (
    ("migrations.target", "journal.sql"),
    ("migrations.backfill", "data.sql"),
    ("migrations.catalog", "catalog.sql"),
    ("migrations.preflight", "glance.sql"),
)
PIECES = {
    "guarded_head": "SELECT {}",
    "become": "SELECT {}",
    "owned_by_login": "SELECT {}",
    "owned_by_fitting_role": "SELECT {}",
    "progress_changed": None,
    "common": "{} SELECT NULL",
    "odd": "WITH one AS (SELECT NULL) {} SELECT NULL",
    "sorted": "SELECT {}",
    "grants": "SELECT {}",
    "role_oid": "SELECT {}",
}
"""Statements that are only parts of others, and how they become whole."""
EXPRESSIONS = {"before": "", "private": "", "schema": "", "columns": "''"}
EXPRESSIONS |= {
    "cleared": "",
    "pinned": "",
    "selected": "",
    "reset": "",
    "fitting_role": "SELECT NULL::pg_catalog.oid",
    "journal_owner": "SELECT NULL::pg_catalog.text",
    "default_grants": "SELECT NULL::pg_catalog.text",
    "event_triggers": "SELECT false",
    "publications": "SELECT NULL::pg_catalog.text",
    "table": "migration_ledger.backup_1",
    "target_problem": "SELECT NULL::pg_catalog.text",
    "remembered": "",
    "odd": "",
    "path": "pg_catalog, pg_temp",
    "plain_nulls": "",
    "committed": "true",
    "options": "'{}'::pg_catalog.text[]",
    "acl": "'{}'::pg_catalog.aclitem[]",
    "brought_along": "''",
    "ourselves": "NONE",
    "as_whom": "RESET ROLE",
    "become": "'MEMBER'",
    "roles": "pg_catalog.pg_roles",
    "oids": "1",
    "role_oid": "1",
    "named": "SELECT NULL::pg_catalog.text",
    "owned": "true",
    "isolation": "REPEATABLE READ",
}
ALLOWED_RELATIONS = {
    "behind",
    "fitting",
    "mine",
    "moving",
    "tenants",
    "ours",
    "place",
    "things",
    "journal",
    "users",
    "chain",
    "locks",
    "fits",
    "extended",
    "said",
    "space",
    "rel",
    "owned",
    "odd",
}
"""Names of WITH clauses."""


class Values(dict[str, SqlValue]):
    """A literal for every placeholder."""

    def __missing__(self, name: str) -> SqlValue:
        return Expression(EXPRESSIONS.get(name, "'1'"))


def statements() -> Iterator[Any]:
    for package, file in FILES:
        for name, text in named_statements(package, file).items():
            form = PIECES.get(name, "{}")
            if form is not None:
                yield pytest.param(form.format(bind(text, Values())), id=f"{file}:{name}")


def names(node: dict[str, Any], field: str) -> list[str]:
    return [part["string"]["sval"] for part in node.get(field, [])]


def loose(node: Any, kind: str = "") -> Iterator[str]:
    """What in a tree is looked up along the search_path."""
    if isinstance(node, list):
        for item in node:
            yield from loose(item, kind)
    if not isinstance(node, dict):
        return
    yield from named_loosely(node, kind)
    for name, item in node.items():
        yield from loose(item, name if name != "type_name" or "names" in item else "")


def named_loosely(node: dict[str, Any], kind: str) -> Iterator[str]:
    """As `loose`, of this node alone."""
    field = {"func_call": "funcname", "type_name": "names", "a_expr": "name"}.get(kind)
    if kind == "a_expr" and node["kind"] not in ("AEXPR_OP", "AEXPR_OP_ANY", "AEXPR_OP_ALL"):
        yield f"{node['kind']} has an operator that cannot be qualified"
    elif field and names(node, field) and names(node, field)[0] != "pg_catalog":
        yield f"{kind} {names(node, field)}"
    if kind == "sub_link" and "testexpr" in node and names(node, "oper_name")[:1] != ["pg_catalog"]:
        yield "a comparison with a subquery"
    if kind == "case_expr" and "arg" in node:
        yield "CASE with a value has an operator that cannot be qualified"
    if kind == "join_expr" and ("using_clause" in node or "is_natural" in node):
        yield "a join USING columns"
    if kind in ("range_var", "relation") and "schemaname" not in node:
        yield from (f"relation {name}" for name in {node["relname"]} - ALLOWED_RELATIONS)


@pytest.mark.parametrize("sql", list(statements()))
def test_every_name_of_our_statements_is_qualified(sql: str) -> None:
    tree = MessageToDict(postgast.parse(sql), preserving_proto_field_name=True)
    assert list(loose(tree)) == []


@pytest.mark.parametrize("schema", ["", "acme"])
@pytest.mark.parametrize("version", [140000, 150000, 180000])
def test_every_name_of_a_whole_snapshot_is_qualified(version: int, schema: str) -> None:
    for sql in (query.rows(schema, version, {}), query.probe(schema), query.changed_since()):
        tree = MessageToDict(postgast.parse(sql), preserving_proto_field_name=True)
        assert list(loose(tree)) == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 = 2",
        "SELECT 1 IN (1, 2)",
        "SELECT 1 BETWEEN 0 AND 2",
        "SELECT 1 IS DISTINCT FROM 2",
        "SELECT nullif(1, 2)",
        "SELECT 'a' LIKE 'b'",
        "SELECT CASE 1 WHEN 2 THEN 3 END",
        "SELECT 1 IN (SELECT 1)",
        "SELECT 1 = ANY (SELECT 1)",
        "SELECT now()",
        "SELECT '1'::text",
        "SELECT CAST('1' AS oid)",
        "CREATE TABLE pg_catalog.a (b text)",
        "SELECT FROM pg_class",
        "SELECT FROM pg_catalog.pg_class AS a JOIN pg_catalog.pg_class AS b USING (oid)",
        "SELECT FROM pg_catalog.pg_class ORDER BY relname || 'a'",
        "INSERT INTO journal VALUES (lower('A'))",
    ],
)
def test_what_the_search_path_decides_is_seen(sql: str) -> None:
    tree = MessageToDict(postgast.parse(sql), preserving_proto_field_name=True)
    found = list(loose(tree))
    if sql.startswith("INSERT"):
        assert len(found) == 1
    assert found
