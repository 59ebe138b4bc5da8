"""The one question that a snapshot asks, put together for a release and a target; pure."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.sql.literals import Expression, SqlValue, bind, quote_ident
from migrations.sql.named_statements import named_statements

NOT_NULL_NAMED_SINCE = 180000
PUBLISHES_SCHEMAS_SINCE = 150000
"""The release that also made NULLs distinct or not in a unique index."""
PUBLISHES_GENERATED_SINCE = 180000

_STATEMENTS = named_statements("migrations.catalog", "catalog.sql")
_NO_BRANCH = ("look", "probe", "common", "odd", "sorted", "told", "grants", "settled")

HARMLESS = (
    "analyze_sampling", "async_capable", "batch_size", "column_name", "dbname", "delimiter",
    "encoding", "escape", "extensions", "fdw_startup_cost", "fdw_tuple_cost", "fetch_size",
    "filename", "force_not_null", "force_null", "format", "header", "host", "hostaddr",
    "keep_connections", "key", "null", "parallel_abort", "parallel_commit", "port", "quote",
    "schema", "schema_name", "sslmode", "table", "table_name", "truncatable", "updatable",
    "use_remote_estimate",
)  # fmt: skip
"""Options of postgres_fdw, file_fdw, and others by the same names, that hold no secret."""

_COMMITTED = """CASE WHEN pg_catalog.mod(
    changed.by::pg_catalog.text::bigint OPERATOR(pg_catalog.-)
    pg_catalog.mod(pg_catalog.pg_snapshot_xmin(s)::pg_catalog.text::bigint, 4294967296::bigint)
    OPERATOR(pg_catalog.+) 4294967296::bigint, 4294967296::bigint)
        OPERATOR(pg_catalog.<) 2147483648::bigint
THEN pg_catalog.pg_xact_status((pg_catalog.pg_snapshot_xmin(s)::pg_catalog.text::bigint
    OPERATOR(pg_catalog.+) pg_catalog.mod(
        changed.by::pg_catalog.text::bigint OPERATOR(pg_catalog.-)
        pg_catalog.mod(pg_catalog.pg_snapshot_xmin(s)::pg_catalog.text::bigint, 4294967296::bigint)
        OPERATOR(pg_catalog.+) 4294967296::bigint, 4294967296::bigint)
    )::pg_catalog.text::pg_catalog.xid8) OPERATOR(pg_catalog.=) 'committed' ELSE false END"""
"""Whether the transaction with this number of 32 bits is one that began after all that the snapshot
sees as done, and has committed. Older numbers are those of what was rolled back."""


_LINE = (
    """pg_catalog.concat('{"is": ', o.said, ', "kind": "', o.kind, """
    """'", "name": ', pg_catalog.jsonb_build_array(o.a, o.b, o.c), '}')"""
)
"""An object as one JSON text in the form that PostgreSQL gives to a jsonb."""
_BRANCH = "SELECT o.kind, o.a, o.b, o.c, {} FROM (\n{}\n) AS o (kind, a, b, c, said)"
_IN_LINES = ("columns",)
"""Branches whose last column is whole lines already, of all objects of one relation."""


def opening(schema: str) -> str:
    """What begins the look.

    Names are looked up in the target's schema behind PostgreSQL's own, so that its definitions do
    not name it.
    """
    path = ["pg_catalog", *([quote_ident(schema)] if schema else []), "pg_temp"]
    return bind(_STATEMENTS["look"], {"path": Expression(", ".join(path))})


def probe(schema: str) -> str:
    """Whose names are which, and which branches of `rows` there is anything for, as JSON."""
    return bind(_STATEMENTS["probe"], {"target_schema": schema or None})


def rows(schema: str, version: int, branches: Mapping[str, bool]) -> str:
    """All objects of a database, or of one schema of it, in the order of the canonical form."""
    values = _expressions(version) | {"target_schema": schema or None}
    chosen = [
        _BRANCH.format("o.said" if name in _IN_LINES else _LINE, bind(text, values))
        for name, text in _STATEMENTS.items()
        if name not in _NO_BRANCH
        and branches.get(name, True)
        and not (schema and name.startswith("database_"))
    ]
    parts = ", ".join(
        f'o.{column} COLLATE pg_catalog."C" NULLS FIRST' for column in ("kind", "a", "b", "c")
    )
    return (
        f"{bind(_STATEMENTS['common'], values)}\nSELECT o.lines FROM (\n"
        + "\nUNION ALL\n".join(chosen)
        + f"\n) AS o (kind, a, b, c, lines) ORDER BY {parts}"
    )


def changed_since() -> str:
    """Whether something that was read has changed meanwhile: `t` or `f`."""
    return bind(_STATEMENTS["settled"], {"committed": Expression(_COMMITTED)})


def _expressions(version: int) -> dict[str, SqlValue]:
    named = version >= NOT_NULL_NAMED_SINCE
    return {
        "odd": Expression(_STATEMENTS["odd"] if named else ""),
        "not_null": Expression(_NOT_NULL if named else "'true'::pg_catalog.jsonb"),
        "acl_database": _acl("p.datacl", "d", "p.datdba"),
        "acl_schema": _acl("s.nspacl", "n", "s.nspowner"),
        "acl_relation": _acl("r.relacl", "r", "r.relowner"),
        "acl_sequence": _acl("r.relacl", "s", "r.relowner"),
        "acl_column": _acl("a.attacl", "c", "r.relowner"),
        "acl_function": _acl("f.proacl", "f", "f.proowner"),
        "acl_type": _acl("t.typacl", "T", "t.typowner"),
        "acl_default": _DEFAULT_ACL,
        "acl_other": Expression(
            f"CASE WHEN o.acl IS NOT NULL THEN pg_catalog.jsonb_build_object('now', "
            f"{_grants('o.acl')}, 'default', "
            f"{_grants('pg_catalog.acldefault(o.acl_kind, o.owner)')}) END"
        ),
        "options_relation": _sorted("r.reloptions"),
        "options_toast": _sorted("t.reloptions"),
        "options_index": _sorted("x.reloptions"),
        "options_column": _sorted("a.attoptions"),
        "options_foreign_table": _told("f.ftoptions"),
        "options_foreign_column": _told("a.attfdwoptions"),
        "options_wrapper": _told("o.fdwoptions"),
        "options_server": _told("o.srvoptions"),
        "index_state": _INDEX_STATE,
        "plain_nulls": Expression(
            "AND NOT i.indnullsnotdistinct" if version >= PUBLISHES_SCHEMAS_SINCE else ""
        ),
        "published": _PUBLISHED if version >= PUBLISHES_SCHEMAS_SINCE else _NOTHING_MORE,
        "published_schemas": (
            _PUBLISHED_SCHEMAS if version >= PUBLISHES_SCHEMAS_SINCE else _NO_JSON
        ),
        "generated_published": (
            _GENERATED_PUBLISHED if version >= PUBLISHES_GENERATED_SINCE else _NO_JSON
        ),
    }


_NO_JSON = Expression("NULL::pg_catalog.jsonb")
_NOTHING_MORE = Expression("'{}'::pg_catalog.jsonb")
_NOT_NULL = Expression(
    "coalesce((SELECT pg_catalog.to_jsonb(CASE WHEN odd.convalidated THEN 'no inherit' "
    "ELSE 'not valid' END) FROM odd WHERE odd.conrelid OPERATOR(pg_catalog.=) a.attrelid "
    "AND odd.attnum OPERATOR(pg_catalog.=) a.attnum), 'true'::pg_catalog.jsonb)"
)
_INDEX_STATE = Expression(
    "CASE WHEN NOT i.indisvalid OR i.indisclustered THEN pg_catalog.concat_ws(', ', "
    "CASE WHEN NOT i.indisvalid THEN 'invalid' END, "
    "CASE WHEN i.indisclustered THEN 'clustered' END) END"
)
_PUBLISHED = Expression(
    "pg_catalog.jsonb_build_object('where', pg_catalog.pg_get_expr(m.prqual, m.prrelid), "
    "'columns', (SELECT pg_catalog.jsonb_agg(a.attname ORDER BY a.attname) "
    "FROM pg_catalog.pg_attribute AS a WHERE a.attrelid OPERATOR(pg_catalog.=) m.prrelid "
    "AND a.attnum OPERATOR(pg_catalog.=) ANY (m.prattrs::smallint[])))"
)
_PUBLISHED_SCHEMAS = Expression(
    "(SELECT pg_catalog.jsonb_agg(s.nspname ORDER BY s.nspname) "
    "FROM pg_catalog.pg_publication_namespace AS m "
    "JOIN space AS s ON s.oid OPERATOR(pg_catalog.=) m.pnnspid "
    "WHERE m.pnpubid OPERATOR(pg_catalog.=) b.oid)"
)
_GENERATED_PUBLISHED = Expression(
    "CASE WHEN b.pubgencols OPERATOR(pg_catalog.<>) 'n'::pg_catalog.\"char\" THEN b.pubgencols END"
)


def _sorted(options: str) -> Expression:
    """Storage options, in an order of their own."""
    return Expression(bind(_STATEMENTS["sorted"], {"options": Expression(options)}))


def _told(options: str) -> Expression:
    """Options of what lies elsewhere, without the values of those that may be secrets."""
    values = {"options": Expression(options), "harmless": f"{{{','.join(HARMLESS)}}}"}
    return Expression(bind(_STATEMENTS["told"], values))


def _grants(acl: str) -> str:
    return bind(_STATEMENTS["grants"], {"acl": Expression(acl)})


def _acl(acl: str, kind: str, owner: str) -> Expression:
    """What is granted, and what would be if nobody had granted or revoked anything."""
    default = f"pg_catalog.acldefault('{kind}'::pg_catalog.\"char\", {owner})"
    return Expression(
        f"CASE WHEN {acl} IS NOT NULL THEN pg_catalog.jsonb_build_object("
        f"'now', {_grants(acl)}, 'default', {_grants(default)}) END"
    )


_KIND_OF_DEFAULT = (
    "CASE WHEN g.defaclobjtype OPERATOR(pg_catalog.=) 'S'::pg_catalog.\"char\" "
    "THEN 's'::pg_catalog.\"char\" ELSE g.defaclobjtype END"
)
_DEFAULT_ACL = Expression(
    f"pg_catalog.jsonb_build_object('now', {_grants('g.defaclacl')}, 'default', "
    "CASE WHEN g.defaclnamespace OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN "
    f"{_grants(f'pg_catalog.acldefault({_KIND_OF_DEFAULT}, g.defaclrole)')} END)"
)
"""Those of a schema only add; those of all schemas stand in place of PostgreSQL's own."""
