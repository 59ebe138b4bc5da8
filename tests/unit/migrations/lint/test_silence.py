"""What people complain about in other linters, and what is no fault: nothing is found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from migrations.authoring.recipes import Column, Given
from migrations.authoring.recipes.cookbook import RECIPES
from migrations.lint.finding import Effect
from migrations.lint.judgement import LintOptions
from migrations.lint.rule import RuleLimits
from migrations.lint.rules import REGISTRY
from tests.support.linted import UP, linted, rules_in

OLD = """\
CREATE TABLE users (id bigint PRIMARY KEY, email varchar(100), age int, price numeric(8, 2),
    at timestamp(3), mask varbit(8), net cidr, name text, long varchar);
"""
LATER = {
    "varchar to text": "ALTER TABLE users ALTER COLUMN email TYPE text;",
    "varchar grows": "ALTER TABLE users ALTER COLUMN email TYPE varchar(200);",
    "varchar without a length": "ALTER TABLE users ALTER COLUMN email TYPE varchar;",
    "text to varchar": "ALTER TABLE users ALTER COLUMN name TYPE varchar;",
    "numeric grows": "ALTER TABLE users ALTER COLUMN price TYPE numeric(12, 2);",
    "numeric without bounds": "ALTER TABLE users ALTER COLUMN price TYPE numeric;",
    "timestamp with more digits": "ALTER TABLE users ALTER COLUMN at TYPE timestamp(6);",
    "bits grow": "ALTER TABLE users ALTER COLUMN mask TYPE varbit(16);",
    "cidr to inet": "ALTER TABLE users ALTER COLUMN net TYPE inet;",
    "varchar of a table that nobody knows": "ALTER TABLE elsewhere ALTER COLUMN a TYPE text;",
    "NOT VALID, and VALIDATE step by step": (
        "-- +migrate Up notransaction\n"
        "ALTER TABLE users ADD CONSTRAINT adult CHECK (age > 17) NOT VALID;\n"
        "ALTER TABLE users VALIDATE CONSTRAINT adult;"
    ),
    "UNIQUE and PRIMARY KEY on an index that is there": (
        "ALTER TABLE users ADD CONSTRAINT one UNIQUE USING INDEX users_email;\n"
        "ALTER TABLE elsewhere ADD CONSTRAINT two PRIMARY KEY USING INDEX elsewhere_key;"
    ),
    "a reference without validation": (
        "ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES people (id) NOT VALID;"
    ),
    "a temporary table": (
        "CREATE TEMPORARY TABLE seen (id int);\nCREATE INDEX seen_id ON seen (id);\n"
        "ALTER TABLE seen ALTER COLUMN id SET NOT NULL;\n"
        "ALTER TABLE pg_temp.seen ADD UNIQUE (id);\n"
        "DROP TABLE seen;"
    ),
    "no timeout, which the runner sets": "ALTER TABLE users ADD COLUMN nick text;",
    "CONCURRENTLY where a tool would wrap it": (
        "CREATE INDEX CONCURRENTLY users_age ON users (age);"
    ),
    "a default that is the same for all": (
        "ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 1, ADD COLUMN b date DEFAULT now();"
    ),
    "a virtual column": (
        "ALTER TABLE users ADD COLUMN twice int GENERATED ALWAYS AS (age * 2) VIRTUAL;"
    ),
    "NOT NULL that is not checked yet": (
        "ALTER TABLE users ADD CONSTRAINT has_age NOT NULL age NOT VALID;"
    ),
    "styles": "CREATE TABLE s (id serial PRIMARY KEY, b varchar(10), c timestamp, d char(2));",
    "what stands in a text": "COMMENT ON TABLE users IS 'DROP TABLE users; -- ledger:ignore x';",
    "a row by its key": "UPDATE users SET age = 1 WHERE id = 7;",
}
NEW = """\
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint REFERENCES users (id), state text);
CREATE INDEX orders_user ON orders (user_id);
"""
ON_NEW = """\
CREATE INDEX orders_state ON orders (state);
ALTER TABLE orders ADD COLUMN n bigserial, ADD COLUMN token uuid DEFAULT gen_random_uuid();
ALTER TABLE orders ADD CONSTRAINT known CHECK (state <> '');
ALTER TABLE orders ADD CONSTRAINT other FOREIGN KEY (n) REFERENCES orders (id);
ALTER TABLE orders ALTER COLUMN state SET NOT NULL;
ALTER TABLE orders ALTER COLUMN id TYPE int;
ALTER TABLE orders ADD CONSTRAINT one UNIQUE (state);
ALTER TABLE orders RENAME COLUMN state TO status;
ALTER TABLE orders DROP COLUMN status;
CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION f();
UPDATE orders SET n = 1;
REINDEX TABLE orders;
CREATE INDEX orders_n ON orders (n);
ALTER TABLE orders RENAME TO purchases;
DROP TABLE purchases;
"""


def changed(text: str) -> Mapping[str, str]:
    marked = text if text.startswith("-- +migrate") else UP + text
    return {"1_old.sql": UP + OLD, "2_new.sql": marked + "\n"}


@pytest.mark.parametrize("text", LATER.values(), ids=LATER)
def test_what_hurts_nobody_is_not_found(tmp_path: Path, text: str) -> None:
    assert linted(tmp_path, changed(text), judged=["2_new.sql"], squawk=True).findings == ()


@pytest.mark.parametrize("squawk", [False, True])
def test_a_table_of_a_pending_file_is_new_to_the_later_ones(tmp_path: Path, squawk: bool) -> None:
    files = {"1_old.sql": UP + OLD, "2_new.sql": UP + NEW, "3_later.sql": UP + ON_NEW}
    pending = ["2_new.sql", "3_later.sql"]
    assert linted(tmp_path, files, judged=pending, squawk=squawk).findings == ()


def test_what_was_applied_long_ago_is_new_to_nobody(tmp_path: Path) -> None:
    files = {"1_old.sql": UP + OLD, "2_new.sql": UP + NEW, "3_later.sql": UP + ON_NEW}
    found = linted(tmp_path, files, judged=["3_later.sql"], squawk=True)
    assert {
        "index-blocks-writes", "serial-rewrites", "default-rewrites", "check-validates",
        "fk-validates", "not-null-scans", "type-rewrites", "unique-blocks", "rename-column",
        "drop-column", "trigger-lock", "backfill-in-ddl", "reindex-blocks", "rename-table",
    } <= set(rules_in(found))  # fmt: skip


def test_of_all_files_each_meets_what_those_before_it_made_long_ago(tmp_path: Path) -> None:
    files = {"1_new.sql": UP + NEW, "2_later.sql": f"{UP}CREATE INDEX i ON orders (state);\n"}
    assert linted(tmp_path, files).findings == ()
    assert rules_in(linted(tmp_path, files, together=False)) == ["index-blocks-writes"]


def test_a_check_proves_not_null_over_files(tmp_path: Path) -> None:
    steps = (
        "ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID;",
        "ALTER TABLE users VALIDATE CONSTRAINT named;",
        "ALTER TABLE users ALTER COLUMN name SET NOT NULL;",
        "ALTER TABLE users DROP CONSTRAINT named;",
    )
    files = {f"{number}_step.sql": f"{UP}{text}\n" for number, text in enumerate(steps, 2)}
    pending = list(files)
    files["1_old.sql"] = UP + OLD
    assert linted(tmp_path / "all", files, judged=pending, squawk=True).findings == ()
    del files["3_step.sql"]
    found = linted(tmp_path / "unproven", files, judged=pending)
    assert rules_in(found) == ["not-null-scans"]


def test_a_file_of_a_table_that_is_not_of_this_folder_is_judged_all_the_same(
    tmp_path: Path,
) -> None:
    found = linted(tmp_path, {"1_a.sql": f"{UP}CREATE INDEX i ON elsewhere (a);\n"})
    assert rules_in(found) == ["index-blocks-writes"]


def test_our_own_examples_are_let_pass(tmp_path: Path) -> None:
    examples = Path(__file__).parents[4] / "migrations" / "examples"
    files = {path.name: path.read_text() for path in examples.iterdir() if path.is_file()}
    found = linted(tmp_path, files, squawk=True)
    assert found.findings == ()


class Traced:
    """What a trace would have seen of one statement."""

    def __init__(
        self, seen: frozenset[Effect] | None, large: str = "", *, small: bool = False
    ) -> None:
        self._seen = seen
        self._large = large
        self._small = small

    def effects(self, version: str, number: int) -> frozenset[Effect] | None:
        assert (version, number) == ("2", 0)
        return self._seen

    def seen(self, version: str, number: int) -> str:
        return "is seen"

    def large(self, version: str, number: int) -> str:
        return self._large

    def is_small(self, version: str, number: int) -> bool:
        return self._small


def test_what_a_trace_saw_beats_what_the_text_suggests(tmp_path: Path) -> None:
    files = changed("ALTER TABLE users ALTER COLUMN age TYPE bigint;")

    def seen(effects: frozenset[Effect] | None) -> list[str]:
        evidence = Traced(effects)
        return rules_in(linted(tmp_path, files, judged=["2_new.sql"], evidence=evidence))

    assert seen(None) == ["type-rewrites"]
    assert seen(frozenset({Effect.REWRITES})) == ["type-rewrites"]
    assert seen(frozenset()) == []


def test_what_a_trace_saw_is_told_with_the_finding_that_it_confirms(tmp_path: Path) -> None:
    files = changed("ALTER TABLE users ALTER COLUMN age TYPE bigint;")
    evidence = Traced(frozenset({Effect.REWRITES, Effect.BLOCKS_WRITES}))
    (finding,) = linted(tmp_path, files, judged=["2_new.sql"], evidence=evidence).findings
    assert (finding.rule, finding.seen, finding.severity) == ("type-rewrites", "is seen", "error")


@pytest.mark.parametrize(
    ("effects", "rules"),
    [
        ({Effect.REWRITES, Effect.SCANS, Effect.BLOCKS_WRITES}, ["seen-rewrite"]),
        ({Effect.SCANS, Effect.BLOCKS_WRITES}, ["seen-scan"]),
        # Somebody can write meanwhile, or nothing is read.
        ({Effect.SCANS}, []),
        ({Effect.BLOCKS_WRITES}, []),
    ],
)
def test_what_only_a_trace_sees_is_a_finding_of_its_own(
    tmp_path: Path, effects: set[Effect], rules: list[str]
) -> None:
    files = changed("DO $$BEGIN EXECUTE 'ALTER TABLE users ALTER age TYPE bigint'; END$$;")
    evidence = Traced(frozenset(effects))
    assert rules_in(linted(tmp_path, files, judged=["2_new.sql"], evidence=evidence)) == rules
    ignored = changed(
        f"-- ledger:ignore {rules[0] if rules else 'seen-scan'} nobody writes there\n"
        "DO $$BEGIN EXECUTE 'ALTER TABLE users ALTER age TYPE bigint'; END$$;"
    )
    found = linted(tmp_path, ignored, judged=["2_new.sql"], evidence=evidence)
    assert rules_in(found) == ([] if rules else ["unused-ignore"])


def test_sizes_of_the_fleet_raise_and_lower_findings(tmp_path: Path) -> None:
    files = changed("ALTER TABLE users ALTER COLUMN age TYPE bigint;")
    effects = frozenset({Effect.REWRITES, Effect.BLOCKS_WRITES})

    def found(evidence: Traced) -> list[tuple[str, str]]:
        judged = linted(tmp_path, files, judged=["2_new.sql"], evidence=evidence)
        return [(one.rule, one.severity.value) for one in judged.findings]

    assert found(Traced(effects, small=True)) == [("type-rewrites", "warning")]
    assert found(Traced(effects, large="users is large in 2 of 3 databases")) == [
        ("large-table", "error"),
        ("type-rewrites", "error"),
    ]


def test_what_squawk_says_is_overruled_by_a_trace_too(tmp_path: Path) -> None:
    files = changed("REINDEX TABLE users;")
    evidence = Traced(frozenset())
    found = linted(tmp_path, files, judged=["2_new.sql"], squawk=True, evidence=evidence)
    assert found.findings == ()


def test_limits_are_those_of_the_project(tmp_path: Path) -> None:
    files = {
        "1_a.sql": "-- +migrate Up lock_timeout=45s\nALTER TABLE users ADD COLUMN a int;\n",
        "2_b.sql": "-- +migrate Up lock_timeout=0s\nALTER TABLE users ADD COLUMN b int;\n",
    }
    found = linted(tmp_path, files)
    assert [(one.file, one.rule) for one in found.findings] == [
        ("1_a.sql", "lock-without-timeout"),
        ("2_b.sql", "lock-without-timeout"),
    ]
    wider = LintOptions(limits=RuleLimits(lock_timeout_s=60))
    assert [one.file for one in linted(tmp_path, files, options=wider).findings] == ["2_b.sql"]


GIVEN = {
    "index-concurrently": Given("users", (Column("email"), Column("age"))),
    "unique-index": Given("users", (Column("email"), Column("age"))),
    "add-column": Given("users", (Column("status", "text"),), value="'new'"),
    "foreign-key": Given("users", (Column("id"),), to="people"),
    "check": Given("users", (Column("age"),), value="age > 0"),
    "not-null": Given("users", (Column("email"),), value="'nobody'"),
    "type-change": Given("users", (Column("age", "integer"),), to="bigint"),
    "rename-column": Given("users", (Column("email", "text"),), to="mail"),
    "table-split": Given("users", (Column("email", "text"),), to="addresses"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_writes_is_let_pass(tmp_path: Path, name: str) -> None:
    texts = RECIPES[name].write(GIVEN[name])
    files = {
        f"20260101000000_x.{phase}.sql" if phase else "20260101000000_x.sql": text
        for phase, text in texts.items()
    }
    old = {"1_old.sql": f"{UP}CREATE TABLE users (id bigint PRIMARY KEY, email text, age int);\n"}
    found = linted(tmp_path, old | files, judged=list(files), squawk=True)
    assert rules_in(found) == []


ODD = """\
ALTER TABLE a ADD CONSTRAINT c UNIQUE NULLS NOT DISTINCT (x), ALTER COLUMN y SET STORAGE PLAIN;
ALTER TABLE IF EXISTS a RENAME CONSTRAINT c TO d;
ALTER TABLE a ADD CHECK (EXISTS_NOT(x) AND (SELECT_ONE()).y IS NOT NULL);
ALTER TABLE a ADD COLUMN e integer[] DEFAULT ARRAY[1, 2]::int[], ADD COLUMN f interval(3);
ALTER TABLE a ALTER COLUMN g TYPE geometry(Point, 4326) USING g::geometry;
ALTER FOREIGN TABLE ft ADD COLUMN a int;
ALTER TYPE pair ADD ATTRIBUTE c int;
ALTER TABLE ALL IN TABLESPACE one SET TABLESPACE two;
ALTER TABLE a OF pair;
CREATE TABLE b (LIKE a INCLUDING ALL) PARTITION BY HASH ((x + 1));
CREATE TABLE c () INHERITS (a);
CREATE TABLE d OF pair (PRIMARY KEY (a));
SELECT * INTO e FROM a;
CREATE INDEX ON a USING gin ((x -> 'y') jsonb_path_ops);
DROP OPERATOR CLASS IF EXISTS o USING btree;
DROP CAST IF EXISTS (int AS text);
DROP FUNCTION f, g(int);
DROP TRIGGER t ON a;
DROP POLICY p ON a;
DELETE FROM ONLY a USING b WHERE a.x = b.x;
WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone;
UPDATE a SET (x, y) = (SELECT 1, 2) WHERE CURRENT OF c;
MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE;
LOCK TABLE a, ONLY b IN ACCESS EXCLUSIVE MODE;
TRUNCATE ONLY a, b RESTART IDENTITY;
VALUES (1), (2);
SET LOCAL lock_timeout TO DEFAULT;
SET lock_timeout = a;
SET TIME ZONE LOCAL;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
CALL p(1);
"""


@pytest.mark.parametrize("text", ODD.splitlines())
def test_no_form_of_a_statement_is_too_odd_to_be_judged(tmp_path: Path, text: str) -> None:
    every = LintOptions(dict.fromkeys(REGISTRY, "info"), per_schema=True)
    files = {"1_old.sql": UP + OLD, "2_odd.sql": f"{UP}{text}\n", "3_again.sql": f"{UP}{text}\n"}
    assert "verify-missing" in rules_in(linted(tmp_path, files, options=every))
