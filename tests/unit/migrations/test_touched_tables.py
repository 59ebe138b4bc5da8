"""Which tables a statement touches, and how strongly."""

from __future__ import annotations

import pytest

from migrations.preflight.touched_tables import together, touched_in


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("ALTER TABLE users ADD a int", {'"users"': 7}),
        ('ALTER TABLE s."U x" ADD a int', {'"s"."U x"': 7}),
        ("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b", {'"a"': 5, '"b"': 5}),
        ("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b, ADD c int", {'"a"': 7, '"b"': 5}),
        ("ALTER TABLE a DISABLE TRIGGER USER", {'"a"': 5}),
        ("ALTER TABLE a CLUSTER ON i", {'"a"': 3}),
        ("ALTER TABLE a VALIDATE CONSTRAINT c", {'"a"': 3}),
        ("CREATE TABLE a (b int REFERENCES b)", {'"b"': 5}),
        ("CREATE INDEX i ON a (b)", {'"a"': 4}),
        ("CREATE INDEX CONCURRENTLY i ON a (b)", {'"a"': 3}),
        ("DROP INDEX CONCURRENTLY i", {'"i"': 3}),
        ("REINDEX TABLE CONCURRENTLY a", {'"a"': 3}),
        ("REINDEX TABLE a", {'"a"': 7}),
        ("UPDATE a SET b = 1 FROM c", {'"a"': 2, '"c"': 2}),
        ("SELECT * FROM a", {'"a"': 0}),
        ("WITH q AS (SELECT 1) SELECT * FROM q", {}),
        ("TRUNCATE a, b", {'"a"': 7, '"b"': 7}),
        ("DROP TABLE a; DROP VIEW s.v", {'"a"': 7, '"s"."v"': 7}),
        ("DROP TRIGGER t ON a", {'"a"': 7}),
        ("COMMENT ON COLUMN a.b IS 'x'", {'"a"': 3}),
        ("VACUUM a", {'"a"': 3}),
        ("VACUUM FULL a", {'"a"': 7}),
        ("CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()", {'"a"': 5}),
        ("SELECT 1", {}),
        ("this is no SQL", {}),
    ],
)
def test_the_strongest_lock_on_each_table_is_known(text: str, tables: dict[str, int]) -> None:
    assert {one.name: one.wanted for one in touched_in(text).tables} == tables


def test_of_several_statements_the_strongest_counts_and_the_number_is_bounded() -> None:
    parts = [touched_in("SELECT * FROM a"), touched_in("ALTER TABLE a ADD b int")]
    (one,) = together(parts).tables
    assert (one.wanted, one.owners_only) == (7, True)
    many = [touched_in(f"SELECT * FROM t{number}") for number in range(50)]
    assert len(together(many, at_most=20).tables) == 20


def test_only_what_is_built_concurrently_waits_for_snapshots() -> None:
    assert touched_in("CREATE INDEX CONCURRENTLY i ON a (b)").waits_for_snapshots
    assert touched_in("REINDEX INDEX CONCURRENTLY i").waits_for_snapshots
    assert not touched_in("DROP INDEX CONCURRENTLY i").waits_for_snapshots
    assert not touched_in("CREATE INDEX i ON a (b)").waits_for_snapshots
