"""Rules about data, and about what a file leaves behind in its session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from migrations.lint.finding import Hit, Severity
from migrations.lint.object_names import name_of
from migrations.lint.rule import Case, Rule, configured
from migrations.sql.grammar import parse, relations, tree

_DDL = frozenset({"alter_table_stmt", "index_stmt", "rename_stmt", "drop_stmt", "create_trig_stmt"})
_VERBS = {"update_stmt": "UPDATE", "delete_stmt": "DELETE", "merge_stmt": "MERGE"}
_LOCK_TABLE = re.compile(
    r"(?:^|_)(?:migrations?|schema|deploy|ledger|changelog)_?(?:info_)?locks?$|changeloglock$",
    re.IGNORECASE,
)
_AGE = re.compile(r"\binterval\b", re.IGNORECASE)
_ROLES = ("role", "session_authorization")
_TIMEOUTS = (
    "lock_timeout",
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_timeout",
)
_SYSTEM = ("pg_catalog", "information_schema", "pg_temp")


def _is_pinned(where: Any) -> bool:
    """Whether a condition names single rows: columns equal to constants, all of them at once."""
    match where.WhichOneof("node"):
        case "a_expr":
            one = where.a_expr
            equals = [item.string.sval for item in one.name] == ["="]
            kinds = (tree.AEXPR_OP, tree.AEXPR_IN)
            constant = one.rexpr.HasField("a_const") or (
                all(item.HasField("a_const") for item in one.rexpr.list.items)
                and one.rexpr.HasField("list")
            )
            return bool(
                one.kind in kinds and equals and one.lexpr.HasField("column_ref") and constant
            )
        case "bool_expr" if where.bool_expr.boolop == tree.AND_EXPR:
            return any(_is_pinned(one) for one in where.bool_expr.args)
        case _:
            return False


def _changes(raw: Any) -> Iterator[tuple[str, Any]]:
    """What a statement changes rows by: itself, and the parts of its WITH, each with its verb."""
    if raw.field in _VERBS:
        yield _VERBS[raw.field], raw.node
    clause = getattr(raw.node, "with_clause", None)
    for one in clause.ctes if clause is not None else ():
        query = one.common_table_expr.ctequery
        field = query.WhichOneof("node")
        if field in _VERBS:
            yield _VERBS[field], getattr(query, field)


def _is_partial(node: Any) -> bool:
    """Whether rows are chosen: by a condition that is more than true."""
    where = node.join_condition if isinstance(node, tree.MergeStmt) else node.where_clause
    compared = where.a_expr
    # As in `1 = 1`, which tools ask for that refuse a statement without a condition.
    same = compared.lexpr.HasField("a_const") and compared.rexpr.HasField("a_const")
    return where.WhichOneof("node") is not None and not (where.a_const.boolval.boolval or same)


def _only_adds(node: Any) -> bool:
    """Whether a MERGE neither changes nor takes away rows that are there."""
    changing = (tree.CMD_UPDATE, tree.CMD_DELETE)
    return not any(
        one.merge_when_clause.command_type in changing for one in node.merge_when_clauses
    )


def _backfill(case: Case) -> Iterator[Hit]:
    if case.section.batches is not None:
        return
    beside = next((one for one in case.before if _is_ddl(case, one.raw)), None)
    for verb, node in _changes(case.raw):
        if not case.in_use(node.relation):
            continue
        table = name_of(node.relation)
        merges = isinstance(node, tree.MergeStmt)
        if merges and _only_adds(node):
            continue
        if not _is_partial(node):
            yield Hit(f"{verb} of every row of {table} in one statement")
        elif (
            beside is not None
            and case.in_transaction
            and (merges or not _is_pinned(node.where_clause))
        ):
            yield Hit(
                f"{verb} of {table} in the transaction of {beside.statement.summary} on line "
                f"{beside.statement.line}"
            )


def _is_ddl(case: Case, raw: Any) -> bool:
    relation = getattr(raw.node, "relation", None)
    return raw.field in _DDL and (relation is None or case.in_use(relation))


def _own_lock(case: Case) -> Iterator[Hit]:
    node, text = case.node, case.statement.text
    relation = node.relation
    if not _LOCK_TABLE.search(relation.relname):
        return
    name = name_of(relation)
    if case.raw.field == "create_stmt":
        yield Hit(f"{name} looks like a lock that migrations keep in a table")
    elif case.raw.field in ("update_stmt", "delete_stmt") or _AGE.search(text):
        yield Hit(f"{name} is a lock in a table, which is taken from whoever holds it")


def _left(case: Case, *names: str) -> bool:
    """Whether a setting is set for the session, and stays so to the end of the section."""
    node = case.node
    if node.name not in names or node.is_local or node.kind != tree.VAR_SET_VALUE:
        return False
    return not any(
        _gives_back(one.text, node.name)
        for one in case.section.statements[case.number + 1 :]
        if one.summary == "SET" or one.summary.startswith("DISCARD")
    )


def _gives_back(text: str, name: str) -> bool:
    back = (tree.VAR_RESET, tree.VAR_SET_DEFAULT)
    for one in parse(text):
        node: Any = one.node
        if isinstance(node, tree.VariableSetStmt) and (
            node.kind == tree.VAR_RESET_ALL or (node.name == name and node.kind in back)
        ):
            return True
    return False


def _role(case: Case) -> Iterator[Hit]:
    yield from _left_by(case, *_ROLES)


def _search_path(case: Case) -> Iterator[Hit]:
    yield from _left_by(case, "search_path")


def _timeouts(case: Case) -> Iterator[Hit]:
    yield from _left_by(case, *_TIMEOUTS)


def _left_by(case: Case, *names: str) -> Iterator[Hit]:
    if case.raw.field == "select_stmt":
        for name, _, left, offset in configured(case, *names):
            if left:
                yield Hit(f"{name} is set for the session by set_config", offset)
    elif _left(case, *names):
        yield Hit(f"{case.node.name} is set and not given back")


def _schema(case: Case) -> Iterator[Hit]:
    if not case.per_schema:
        return
    seen: set[str] = set()
    for one in relations(case.node):
        if isinstance(one, tree.RangeVar) and one.schemaname and one.schemaname not in seen:
            seen.add(one.schemaname)
            if one.schemaname not in _SYSTEM:
                yield Hit(f"{one.schemaname}.{one.relname} names a schema", max(one.location, 0))


_SETS = ("variable_set_stmt", "select_stmt")

RULES = (
    Rule(
        "backfill-in-ddl",
        Severity.WARNING,
        "One transaction keeps the locks of all of it until the last row is written, replicas fall "
        "behind, and a failure starts all over.",
        "Write a data migration (`-- +migrate Data table=… key=…`): `ledger create NAME --kind "
        "data`. It goes batch by batch, and on where it stopped.",
        ("update_stmt", "delete_stmt", "merge_stmt", "insert_stmt", "select_stmt"),
        _backfill,
    ),
    Rule(
        "own-lock",
        Severity.ERROR,
        "A row says nothing of whether its owner lives: taken over after a while, two migrators "
        "work at once; kept, nobody works after a crash.",
        "Leave it out: each database is locked by an advisory lock of the session, which ends with "
        "it. For a lock of your own write pg_advisory_xact_lock().",
        ("create_stmt", "insert_stmt", "update_stmt", "delete_stmt"),
        _own_lock,
    ),
    Rule(
        "set-role-left",
        Severity.WARNING,
        "What follows in the file, and with other tools in the session, runs with other rights "
        "than its author thought.",
        "Say `role=NAME` on the section's marker, or write SET LOCAL ROLE.",
        _SETS,
        _role,
    ),
    Rule(
        "search-path-left",
        Severity.INFO,
        "Names in what follows mean other tables than its author thought.",
        "Write SET LOCAL search_path, or the schema before the name.",
        _SETS,
        _search_path,
    ),
    Rule(
        "set-timeout-left",
        Severity.INFO,
        "What follows in the file, and with other tools in the session, has another patience.",
        "Say `lock_timeout=` or `statement_timeout=` on the section's marker, or write SET LOCAL.",
        _SETS,
        _timeouts,
    ),
    Rule(
        "hard-coded-schema",
        Severity.ERROR,
        "Where each tenant has a schema, every one of them works on the table of this one.",
        "Leave the schema out: names are looked up in the target's schema first.",
        ("*",),
        _schema,
    ),
)
