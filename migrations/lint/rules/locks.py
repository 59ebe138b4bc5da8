"""Rules about locks that are held for long, and statements that need rights agents lack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrations.lint.finding import Effect, Hit, Severity
from migrations.lint.folder_catalog import is_not_null_check
from migrations.lint.object_names import name_of
from migrations.lint.rule import Case, Earlier, Rule, configured
from migrations.sql.grammar import RawStatement, tree

_LIGHT = (
    tree.AT_ValidateConstraint,
    tree.AT_SetStatistics,
    tree.AT_SetOptions,
    tree.AT_ResetOptions,
    tree.AT_AttachPartition,
    tree.AT_EnableTrig,
    tree.AT_EnableTrigAll,
    tree.AT_DisableTrig,
    tree.AT_DisableTrigAll,
    tree.AT_DisableTrigUser,
    tree.AT_EnableTrigUser,
    tree.AT_ClusterOn,
    tree.AT_SetRelOptions,
    tree.AT_ResetRelOptions,
)
"""Commands of ALTER TABLE that let others read the table."""
_TRIGGERS_OFF = (tree.AT_DisableTrig, tree.AT_DisableTrigAll, tree.AT_DisableTrigUser)
_READS_ALL = (tree.AT_AlterColumnType, tree.AT_SetNotNull)
_SUPERUSERS = {
    "create_event_trig_stmt": "CREATE EVENT TRIGGER",
    "create_fdw_stmt": "CREATE FOREIGN DATA WRAPPER",
    "create_plang_stmt": "CREATE LANGUAGE",
    "load_stmt": "LOAD",
    "create_am_stmt": "CREATE ACCESS METHOD",
    "create_op_class_stmt": "CREATE OPERATOR CLASS",
    "create_op_family_stmt": "CREATE OPERATOR FAMILY",
}


def _exclusively(case: Case, placed: Earlier) -> str:
    """The table in use that nobody can read any more behind a statement; empty for none."""
    node, field = placed.raw.node, placed.raw.field
    match field:
        case "alter_table_stmt" if node.objtype == tree.OBJECT_TABLE:
            heavy = any(
                one.alter_table_cmd.subtype not in _LIGHT and not _is_foreign_key(one)
                for one in node.cmds
            )
            relation = node.relation if heavy else None
        case "rename_stmt" if node.HasField("relation"):
            relation = node.relation
        case "truncate_stmt":
            relation = node.relations[0].range_var
        case "lock_stmt" if node.mode == _ACCESS_EXCLUSIVE:
            relation = node.relations[0].range_var
        case _:
            relation = None
    return name_of(relation) if relation is not None and case.in_use(relation) else ""


_ACCESS_EXCLUSIVE = 8
_SHARE = 5
"""The first mode that keeps anybody from writing."""


def _is_foreign_key(item: Any) -> bool:
    made = getattr(item.alter_table_cmd, "def").constraint
    return bool(made.contype == tree.CONSTR_FOREIGN)


def _takes_long(case: Case) -> bool:
    """Whether a statement takes the longer the more rows there are, of tables in use."""
    node = case.node
    match case.raw.field:
        case "update_stmt" | "delete_stmt":
            return case.in_use(node.relation)
        case "insert_stmt":
            return _reads_tables(case, node.select_stmt.select_stmt)
        case "create_table_as_stmt":
            return _reads_tables(case, node.query.select_stmt)
        case "index_stmt":
            return not node.concurrent and case.in_use(node.relation)
        case "refresh_mat_view_stmt":
            return case.catalog.views.get(name_of(node.relation)) not in case.fresh
        case "alter_table_stmt":
            return any(True for _ in case.commands(tree.AT_ValidateConstraint))
        case _:
            return False


def _reads_tables(case: Case, select: Any) -> bool:
    return any(
        case.in_use(item.range_var) for item in select.from_clause if item.HasField("range_var")
    ) or any(item.HasField("join_expr") for item in select.from_clause)


def _behind(case: Case) -> Iterator[Hit]:
    if not case.in_transaction or not case.before or not _takes_long(case):
        return
    for placed in case.before:
        if table := _exclusively(case, placed):
            yield Hit(
                f"{case.statement.summary} runs while {placed.statement.summary} on line "
                f"{placed.statement.line} still keeps everybody out of {table}"
            )
            return


def _reads_every_row(raw: RawStatement) -> bool:
    if raw.field != "alter_table_stmt":
        return False
    for item in raw.node.cmds:
        command = item.alter_table_cmd
        made = getattr(command, "def").constraint
        if command.subtype in _READS_ALL:
            return True
        checks = made.contype == tree.CONSTR_CHECK and not is_not_null_check(made.raw_expr)
        if command.subtype == tree.AT_AddConstraint and checks and not made.skip_validation:
            return True
    return False


def _several_alters(case: Case) -> Iterator[Hit]:
    if not case.in_use(case.node.relation) or not _reads_every_row(case.raw):
        return
    table = name_of(case.node.relation)
    for placed in case.before:
        if _reads_every_row(placed.raw) and name_of(placed.raw.node.relation) == table:
            yield Hit(f"{table} is read again, after ALTER TABLE on line {placed.statement.line}")
            return


def _trigger(case: Case) -> Iterator[Hit]:
    if case.in_use(case.node.relation) and not case.gives_up:
        yield Hit(f"CREATE TRIGGER {case.node.trigname} on {name_of(case.node.relation)}")


def _rule(case: Case) -> Iterator[Hit]:
    if case.in_use(case.node.relation):
        yield Hit(f"CREATE RULE {case.node.rulename} on {name_of(case.node.relation)}")


def _lock(case: Case) -> Iterator[Hit]:
    if case.node.mode < _SHARE:
        return
    for item in case.node.relations:
        if case.in_use(item.range_var) and not case.gives_up:
            yield Hit(f"LOCK TABLE {name_of(item.range_var)}")


def _disable_trigger(case: Case) -> Iterator[Hit]:
    node = case.node
    if case.raw.field == "variable_set_stmt":
        named = node.name == "session_replication_role" and node.kind == tree.VAR_SET_VALUE
        if named and "replica" in {one.a_const.sval.sval.lower() for one in node.args}:
            yield Hit("session_replication_role = replica switches all triggers off")
        return
    for command in case.commands(*_TRIGGERS_OFF):
        table = name_of(case.node.relation)
        which = f"trigger {command.name} of {table} is"
        if not command.name:
            which = f"the triggers of {table} are"
        yield Hit(f"{which} switched off")


def _refresh(case: Case) -> Iterator[Hit]:
    node = case.node
    made_by = case.catalog.views.get(name_of(node.relation))
    if not node.concurrent and not node.skip_data and made_by not in case.fresh:
        yield Hit(f"REFRESH MATERIALIZED VIEW {name_of(node.relation)} without CONCURRENTLY")


def _vacuum_full(case: Case) -> Iterator[Hit]:
    if case.raw.field == "cluster_stmt":
        if not case.node.HasField("relation") or case.in_use(case.node.relation):
            yield Hit(case.statement.summary)
        return
    for option in case.node.options:
        made = option.def_elem
        refused = made.arg.string.sval.lower() in ("false", "off") or (
            made.arg.HasField("integer") and not made.arg.integer.ival
        )
        if made.defname == "full" and not refused:
            yield Hit("VACUUM FULL")


def _patience(case: Case) -> Iterator[Hit]:
    limit, given = case.limits.lock_timeout_s, case.section.options.lock_timeout_s
    if case.number == 0 and given is not None and (given == 0 or given > limit):
        said = "for ever" if given == 0 else f"{given:g} s"
        yield Hit(f"the section waits {said} for a lock; the limit is {limit:g} s")


def _sets_patience(case: Case) -> Iterator[Hit]:
    node = case.node
    if node.name != "lock_timeout" or node.kind != tree.VAR_SET_VALUE or len(node.args) != 1:
        return
    yield from _too_patient(case, _seconds(node.args[0].a_const))


def _too_patient(case: Case, seconds: float | None, offset: int = 0) -> Iterator[Hit]:
    limit = case.limits.lock_timeout_s
    if seconds is not None and (seconds == 0 or seconds > limit):
        said = "for ever" if seconds == 0 else f"{seconds:g} s"
        yield Hit(f"lock_timeout is set to wait {said}; the limit is {limit:g} s", offset)


_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(constant: Any) -> float | None:
    """A timeout as PostgreSQL reads it: a number of milliseconds, or one with its unit."""
    if constant.HasField("ival"):
        return float(constant.ival.ival) / 1000
    return _read_seconds(constant.sval.sval)


def _read_seconds(text: str) -> float | None:
    text = text.strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(number) :].strip() or "ms"
    try:
        return float(number) * _UNITS_S[unit]
    except (ValueError, KeyError):
        return None


def _timeout(case: Case) -> Iterator[Hit]:
    yield from _patience(case)
    if case.raw.field == "variable_set_stmt":
        yield from _sets_patience(case)
    elif case.raw.field == "select_stmt":
        for _, value, _, offset in configured(case, "lock_timeout"):
            yield from _too_patient(case, _read_seconds(value), offset)


def _extension(case: Case) -> Iterator[Hit]:
    yield Hit(f"CREATE EXTENSION {case.node.extname}")


def _superuser(case: Case) -> Iterator[Hit]:
    node, field = case.node, case.raw.field
    if field in _SUPERUSERS:
        yield Hit(_SUPERUSERS[field])
    elif field == "copy_stmt" and (node.is_program or node.filename):
        yield Hit("COPY with a file or a program of the server")
    elif field in ("create_role_stmt", "alter_role_stmt"):
        asked = {one.def_elem.defname for one in node.options if one.def_elem.arg.boolean.boolval}
        powers = sorted(asked & {"superuser", "isreplication", "bypassrls"})
        if powers:
            yield Hit(f"{case.statement.summary} with {', '.join(powers)}")
    elif field == "create_function_stmt":
        written = {
            one.def_elem.arg.string.sval
            for one in node.options
            if one.def_elem.defname == "language"
        }
        if written & {"c", "internal"}:
            yield Hit(f"a function in the language {written.pop()}")
    elif field == "create_publication_stmt" and node.for_all_tables:
        yield Hit("CREATE PUBLICATION … FOR ALL TABLES")


_SHORT = "Give the section a short lock_timeout, so that it gives up and is tried again."

RULES = (
    Rule(
        "long-after-exclusive",
        Severity.ERROR,
        "Nobody can read or write the first table until all of it commits.",
        "Give the long statement a migration of its own.",
        (
            "update_stmt",
            "delete_stmt",
            "insert_stmt",
            "create_table_as_stmt",
            "index_stmt",
            "refresh_mat_view_stmt",
            "alter_table_stmt",
        ),
        _behind,
        once=True,
    ),
    Rule(
        "many-alters",
        Severity.INFO,
        "Each ALTER TABLE reads all rows by itself, under one lock that is held from the first on.",
        "Write one ALTER TABLE with several commands, which reads the rows once.",
        ("alter_table_stmt",),
        _several_alters,
        effect=Effect.SCANS,
    ),
    Rule(
        "lock-without-timeout",
        Severity.WARNING,
        "While a statement waits for its lock, everybody who comes later waits behind it.",
        "Leave it to the rollout (2 s by default, and tried again), or write a short lock_timeout.",
        ("*",),
        _timeout,
    ),
    Rule(
        "trigger-lock",
        Severity.INFO,
        "It waits for every transaction that writes to the table, and writers wait behind it.",
        _SHORT,
        ("create_trig_stmt",),
        _trigger,
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "create-rule",
        Severity.WARNING,
        "It waits for every transaction on the table, readers wait behind it, and rules change "
        "statements in ways that few expect.",
        f"Write a trigger. {_SHORT}",
        ("rule_stmt",),
        _rule,
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "lock-table",
        Severity.WARNING,
        "The lock is held until the transaction ends, whatever else is in it.",
        f"Leave it out: statements take the locks that they need. {_SHORT}",
        ("lock_stmt",),
        _lock,
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "disable-trigger",
        Severity.WARNING,
        "Everybody's writes go without the trigger until it is back, foreign keys included where "
        "it is one of theirs.",
        "Let the trigger look at a setting of the session, and set that with SET LOCAL.",
        ("alter_table_stmt", "variable_set_stmt"),
        _disable_trigger,
        ("ban-disable-trigger",),
    ),
    Rule(
        "refresh-matview-blocks",
        Severity.WARNING,
        "Nobody can read the view while it is computed.",
        "Write REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on the view.",
        ("refresh_mat_view_stmt",),
        _refresh,
    ),
    Rule(
        "vacuum-full-cluster",
        Severity.ERROR,
        "The table is written anew while nobody can read or write it.",
        "Leave it to autovacuum; where space must come back, pg_repack does it beside its users.",
        ("vacuum_stmt", "cluster_stmt"),
        _vacuum_full,
        ("prefer-repack",),
        effect=Effect.REWRITES,
    ),
    Rule(
        "create-extension",
        Severity.INFO,
        "The role that migrations run as can make a trusted extension at most, and the server must "
        "have its files.",
        "Have it made where databases are provided, with IF NOT EXISTS here; `ledger fleet check` "
        "shows the rights that the role has.",
        ("create_extension_stmt",),
        _extension,
    ),
    Rule(
        "needs-superuser",
        Severity.WARNING,
        "The role that migrations run as has no such right, so the migration fails.",
        "Have it done where databases are provided; `ledger fleet check` shows the rights that the "
        "role has.",
        (
            *_SUPERUSERS,
            "copy_stmt",
            "create_role_stmt",
            "alter_role_stmt",
            "create_function_stmt",
            "create_publication_stmt",
        ),
        _superuser,
    ),
)
