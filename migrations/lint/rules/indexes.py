"""Rules about indexes and partitions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migrations.lint.finding import Effect, Hit, Severity
from migrations.lint.object_names import joined, name_of
from migrations.lint.rule import Case, Rule, runs_outside
from migrations.model.migration import StatementKind
from migrations.sql.grammar import definition_names, tree

_BY_PARTS = (
    "CREATE INDEX … ON ONLY the parent, CREATE INDEX CONCURRENTLY on each partition, then "
    "ALTER INDEX … ATTACH PARTITION for each"
)
_HARMLESS = ("COMMENT", "SET", "ANALYZE")
"""What leaves nothing half done when the statement before or behind it fails."""
_VALIDATES = re.compile(r"\bVALIDATE\s+CONSTRAINT\b", re.IGNORECASE)
"""The same, and better by itself."""
_PIECES = (
    "What was meant to be all or nothing is committed piece by piece: a failure in the middle "
    "leaves the pieces before it."
)
_OF_ITS_OWN = (
    "Give the statement a file of its own, without BEGIN and COMMIT, and leave the rest in theirs."
)
UNIQUE_INDEX = "unique-index"
"""The recipe of an index that keeps values apart."""
_RUN_OUTSIDE = (
    "index_stmt",
    "drop_stmt",
    "vacuum_stmt",
    "reindex_stmt",
    "cluster_stmt",
    "alter_table_stmt",
)


def _plain_index(case: Case) -> Iterator[Hit]:
    node = case.node
    known = case.known(node.relation)
    # ON ONLY makes no more than the parent's entry in the catalog, where there are partitions.
    by_parts = not node.relation.inh and (known is None or not known.complete or known.partitioned)
    if node.concurrent or by_parts or not case.in_use(node.relation):
        return
    table = name_of(node.relation)
    keys = [one.index_elem.name for one in node.index_params]
    options = {"table": table, "column": keys[0]} if len(keys) == 1 and keys[0] else {}
    what = f"CREATE INDEX on {table} without CONCURRENTLY"
    yield Hit(what, options=options, recipe=_recipe_for(case))


def _recipe_for(case: Case) -> str:
    """The recipe that writes this kind of index; empty for the usual one."""
    return UNIQUE_INDEX if case.raw.field == "index_stmt" and case.node.unique else ""


def _plain_drop(case: Case) -> Iterator[Hit]:
    node = case.node
    if node.remove_type != tree.OBJECT_INDEX or node.concurrent:
        return
    for item in node.objects:
        name = joined(definition_names(item.list.items))
        table = case.catalog.index_of(name)
        # One that nobody knows, and that the next statement makes, is most likely not there yet.
        if table is None and node.missing_ok and case.made_again("INDEX", name):
            continue
        if case.is_used(table) and not (table and table.partitioned):
            yield Hit(f"DROP INDEX {name} without CONCURRENTLY")


def _in_transaction(case: Case) -> Iterator[Hit]:
    if runs_outside(case) and case.wrapped and case.section.options.transaction:
        yield Hit(
            f"{case.statement.summary} between BEGIN and COMMIT, where PostgreSQL refuses it "
            "(SQLSTATE 25001); this program leaves both out and commits statement by statement",
            recipe=_recipe_for(case),
        )


def _with_others(case: Case) -> Iterator[Hit]:
    if not runs_outside(case) or case.wrapped or not case.section.options.transaction:
        return
    others = [
        one.summary
        for one in case.section.statements
        if one.kind is not StatementKind.OUTSIDE
        and not one.summary.startswith(_HARMLESS)
        and not _VALIDATES.search(one.text)
    ]
    if others:
        yield Hit(
            f"{case.statement.summary} cannot run in a transaction, so {others[0]} in the same "
            "file runs without one, too",
            recipe=_recipe_for(case),
        )


def _if_not_exists(case: Case) -> Iterator[Hit]:
    if case.node.concurrent and case.node.if_not_exists:
        what = f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {case.node.idxname}"
        yield Hit(what, recipe=_recipe_for(case))


def _on_partitioned(case: Case) -> Iterator[Hit]:
    node = case.node
    table = case.known(node.relation)
    if node.concurrent and table is not None and table.partitioned and node.relation.inh:
        what = f"{table.name} is partitioned, and PostgreSQL builds no index on it CONCURRENTLY"
        yield Hit(what, recipe=_recipe_for(case))


def _attach(case: Case) -> Iterator[Hit]:
    for command in case.commands(tree.AT_AttachPartition):
        partition = getattr(command, "def").partition_cmd.name
        if not case.in_use(partition):
            continue
        parent, known = case.known(case.node.relation), case.known(partition)
        wanted = set(parent.partition_key) if parent else set()
        proven = [
            one
            for one in (known.constraints.values() if known else ())
            if one.kind == tree.CONSTR_CHECK
            and one.validated
            and not one.not_null_of
            and (not wanted or wanted <= set(one.columns))
        ]
        if not proven:
            name = name_of(partition)
            yield Hit(
                f"ATTACH PARTITION {name} without a valid CHECK that says what its bounds say"
            )


def _detach(case: Case) -> Iterator[Hit]:
    for command in case.commands(tree.AT_DetachPartition):
        partition = getattr(command, "def").partition_cmd
        if not (partition.concurrent or case.gives_up):
            yield Hit(f"DETACH PARTITION {name_of(partition.name)}")


RULES = (
    Rule(
        "index-blocks-writes",
        Severity.ERROR,
        "Nobody can write to the table for as long as the index is built.",
        "Write CREATE INDEX CONCURRENTLY, in a file of its own: it then runs outside of a "
        f"transaction. On a partitioned table: {_BY_PARTS}.",
        ("index_stmt",),
        _plain_index,
        ("require-concurrent-index-creation",),
        recipe="index-concurrently",
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "drop-index-blocks",
        Severity.WARNING,
        "It waits for every transaction on the table, and whoever comes meanwhile waits behind it.",
        "Write DROP INDEX CONCURRENTLY, in a file of its own.",
        ("drop_stmt",),
        _plain_drop,
        ("require-concurrent-index-deletion",),
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "reindex-blocks",
        Severity.ERROR,
        "Nobody can write to the table, and no query can use the index, for as long as it is "
        "built again.",
        "Write CREATE INDEX CONCURRENTLY under a new name, then DROP INDEX CONCURRENTLY of the "
        "old one.",
        squawk=("require-concurrent-reindex",),
        recipe="index-concurrently",
        effect=Effect.BLOCKS_WRITES,
    ),
    Rule(
        "concurrently-in-transaction",
        Severity.ERROR,
        _PIECES,
        _OF_ITS_OWN,
        _RUN_OUTSIDE,
        _in_transaction,
        ("ban-concurrent-index-creation-in-transaction",),
        recipe="index-concurrently",
    ),
    Rule(
        "concurrently-with-others",
        Severity.WARNING,
        _PIECES,
        "Give the statement a file of its own; or mark the section `notransaction`, which says "
        "that it is meant.",
        _RUN_OUTSIDE,
        _with_others,
        recipe="index-concurrently",
    ),
    Rule(
        "if-not-exists-invalid",
        Severity.WARNING,
        "An index that a build before has left invalid has the name already: it is taken for the "
        "one that is wanted, and no query uses it.",
        "Leave IF NOT EXISTS out: the journal knows whether it ran, and what an interrupted build "
        "left is found and built again.",
        ("index_stmt",),
        _if_not_exists,
        recipe="index-concurrently",
    ),
    Rule(
        "concurrently-partitioned",
        Severity.ERROR,
        "The statement fails in every database.",
        f"Write {_BY_PARTS}.",
        ("index_stmt",),
        _on_partitioned,
        recipe="index-concurrently",
    ),
    Rule(
        "attach-scans",
        Severity.WARNING,
        "The whole partition is read while nobody can read or write it.",
        "First add a CHECK … NOT VALID to the partition that says what its bounds say, and "
        "VALIDATE it in a migration of its own; drop it when the partition is attached.",
        ("alter_table_stmt",),
        _attach,
        effect=Effect.SCANS,
    ),
    Rule(
        "detach-blocks",
        Severity.WARNING,
        "Parent and partition are locked against readers, too, from the moment it waits for them.",
        "Give the section a short lock_timeout, so that it gives up and is tried again; "
        "CONCURRENTLY can leave a partition half detached, and is refused here.",
        ("alter_table_stmt",),
        _detach,
        ("require-concurrent-partition-detach",),
        effect=Effect.BLOCKS_WRITES,
    ),
)
