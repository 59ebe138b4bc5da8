"""Rules about taste and future pain: most are off until a project wants them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migrations.lint.finding import Hit, Severity
from migrations.lint.folder_catalog import type_of
from migrations.lint.object_names import name_of
from migrations.lint.rule import Case, Rule
from migrations.sql.grammar import tree

_TABLES = ("create_stmt", "alter_table_stmt")


def _columns(case: Case) -> Iterator[Any]:
    if case.raw.field == "create_stmt":
        yield from (one.column_def for one in case.node.table_elts if one.HasField("column_def"))
        return
    for item in case.node.cmds:
        if item.alter_table_cmd.subtype == tree.AT_AddColumn:
            yield getattr(item.alter_table_cmd, "def").column_def


def _json(case: Case) -> Iterator[Hit]:
    for column in _columns(case):
        if type_of(column.type_name)[0] == "json":
            yield Hit(f"{name_of(case.node.relation)}.{column.colname} is json", column.location)


def _hash_index(case: Case) -> Iterator[Hit]:
    if case.node.access_method == "hash":
        yield Hit(f"a hash index on {name_of(case.node.relation)}")


def _wide_index(case: Case) -> Iterator[Hit]:
    count = len(case.node.index_params)
    if case.node.access_method == "btree" and count > case.limits.key_columns:
        yield Hit(
            f"an index on {count} columns of {name_of(case.node.relation)}; the limit is "
            f"{case.limits.key_columns}"
        )


def _no_verify(case: Case) -> Iterator[Hit]:
    if case.number == 0 and case.migration.verify is None:
        yield Hit(f"{case.migration.label} has no Verify section")


RULES = (
    Rule(
        "identifier-too-long",
        Severity.WARNING,
        "PostgreSQL keeps 63 bytes of a name and cuts the rest off without a word.",
        "Give it a shorter name.",
        squawk=("identifier-too-long",),
        new_too=True,
    ),
    Rule(
        "duplicate-assignment",
        Severity.ERROR,
        "The statement fails.",
        "Set each column once.",
        squawk=("ban-duplicate-column-assignments",),
        new_too=True,
    ),
    Rule(
        "domain-constraint",
        Severity.WARNING,
        "To check a domain anew, every table with a column of it is read under a lock, and there "
        "is no way around that.",
        "Put the CHECK on the table, NOT VALID first.",
        squawk=("ban-create-domain-with-constraint", "ban-alter-domain-with-add-constraint"),
        new_too=True,
    ),
    Rule(
        "json-column",
        Severity.INFO,
        "json has no equality, so DISTINCT and GROUP BY fail on it, and it is read from its text "
        "each time.",
        "Write jsonb.",
        _TABLES,
        _json,
        off=True,
    ),
    Rule(
        "hash-index",
        Severity.INFO,
        "It serves equality alone, and can be neither unique nor of several columns.",
        "Write an ordinary index, unless it was measured.",
        ("index_stmt",),
        _hash_index,
        off=True,
    ),
    Rule(
        "wide-index",
        Severity.INFO,
        "Every write keeps it up to date, and queries seldom use more than its first columns.",
        "Leave columns out, or put them into INCLUDE.",
        ("index_stmt",),
        _wide_index,
        off=True,
    ),
    Rule(
        "verify-missing",
        Severity.INFO,
        "Whether it took hold is known from the journal alone.",
        "Write `-- +migrate Verify` with a SELECT whose first column is true.",
        ("*",),
        _no_verify,
        off=True,
    ),
    Rule(
        "int-key",
        Severity.INFO,
        "A number of four bytes ends at two thousand million.",
        "Write bigint.",
        squawk=("prefer-bigint-over-int", "prefer-bigint-over-smallint"),
        off=True,
        new_too=True,
    ),
    Rule(
        "char-column",
        Severity.INFO,
        "Values are filled up with blanks.",
        "Write text.",
        squawk=("ban-char-field",),
        off=True,
        new_too=True,
    ),
    Rule(
        "varchar-length",
        Severity.INFO,
        "To make the length smaller reads the table under a lock.",
        "Write text, with a CHECK on its length.",
        squawk=("prefer-text-field",),
        off=True,
        new_too=True,
    ),
    Rule(
        "timestamp-without-zone",
        Severity.INFO,
        "Nobody knows in which time zone the value was.",
        "Write timestamptz.",
        squawk=("prefer-timestamp-tz", "prefer-timestamptz"),
        off=True,
        new_too=True,
    ),
    Rule(
        "serial-column",
        Severity.INFO,
        "The sequence has rights and an owner of its own.",
        "Write GENERATED ALWAYS AS IDENTITY.",
        squawk=("prefer-identity",),
        off=True,
        new_too=True,
    ),
    Rule(
        "enum-order",
        Severity.INFO,
        "A new value stands behind all others, and sorts so.",
        "Say BEFORE or AFTER which it stands.",
        squawk=("require-enum-value-ordering",),
        off=True,
        new_too=True,
    ),
)

LEFT_ALONE = frozenset(
    {
        # The runner sets timeouts, a journal makes IF NOT EXISTS needless and harmful, transactions
        # are its own, and the rest is refused when files are read.
        "ban-drop-database",
        "ban-uncommitted-transaction",
        "prefer-robust-stmts",
        "require-lock-timeout",
        "require-statement-timeout",
        "require-table-schema",
        "require-timeout-settings",
        "syntax-error",
        "transaction-nesting",
        "unused-ignore",
        # What hurts neither rows nor, as a rule, programs: every change is somebody's.
        "ban-add-column",
        "ban-add-composite-attribute",
        "ban-add-enum-value",
        "ban-alter-database-options",
        "ban-alter-extension",
        "ban-alter-function-options",
        "ban-alter-generated-expression",
        "ban-alter-identity",
        "ban-alter-policy-condition",
        "ban-alter-policy-roles",
        "ban-alter-role-options",
        "ban-alter-row-level-security",
        "ban-alter-sequence-values",
        "ban-alter-system-options",
        "ban-alter-view-options",
        "ban-create-policy",
        "ban-detach-inheritance",
        "ban-drop-constraint",
        "ban-drop-default",
        "ban-drop-extension",
        "ban-drop-generated-expression",
        "ban-drop-index",
        "ban-drop-policy",
        "ban-drop-trigger",
        "ban-new-write-restriction",
        "ban-replace-view-function",
        "ban-replica-identity",
        "ban-revoke",
        "ban-set-default",
        "renaming-object",
    }
)
"""What squawk 2.70 says besides, and that holds for nobody here."""
