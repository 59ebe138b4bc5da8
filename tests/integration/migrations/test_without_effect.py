"""A statement outside of a transaction that failed without an effect leaves nothing half done."""

from __future__ import annotations

import pytest

from migrations.model.attempt import Verdict
from tests.integration.migrations.world import World, migration

PARTED = """
    CREATE TABLE ev (id int, d date) PARTITION BY RANGE (d);
    CREATE TABLE ev1 PARTITION OF ev FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
"""


async def test_an_index_that_a_partitioned_table_refuses_names_the_way_which_then_runs(
    world: World,
) -> None:
    await world.execute(PARTED)
    wrong = migration("1", "CREATE INDEX CONCURRENTLY ev_i ON ev (id)")
    outcome = await world.up(wrong)
    assert outcome.failure is not None
    for word in ("ON ONLY", "CONCURRENTLY", "ATTACH PARTITION"):
        assert word in outcome.failure.message
    right = migration(
        "1",
        "CREATE INDEX ev_i ON ONLY ev (id);\n"
        "CREATE INDEX CONCURRENTLY ev1_i ON ev1 (id);\n"
        "ALTER INDEX ev_i ATTACH PARTITION ev1_i",
    )
    outcome = await world.up(right)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.value(
        "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'ev'::regclass"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX CONCURRENTLY i ON nosuch (id)",
        "CREATE INDEX CONCURRENTLY i ON t (nosuch)",
        "DROP INDEX CONCURRENTLY nosuch",
        "VACUUM nosuch",
    ],
)
async def test_a_text_whose_only_step_had_no_effect_may_be_corrected(
    world: World, statement: str
) -> None:
    await world.execute("CREATE TABLE t (id int)")
    assert (await world.up(migration("1", statement))).verdict is Verdict.FAILED
    outcome = await world.up(migration("1", "CREATE INDEX CONCURRENTLY i ON t (id)"))
    assert outcome.verdict is Verdict.DONE, outcome.failure


async def test_what_was_done_before_the_step_without_effect_still_counts(world: World) -> None:
    before = "CREATE TABLE t (id int)"
    first = migration("1", f"{before};\nCREATE INDEX CONCURRENTLY i ON t (nosuch)")
    assert (await world.up(first)).verdict is Verdict.FAILED
    outcome = await world.up(migration("1", f"{before};\nCREATE INDEX CONCURRENTLY i ON t (id)"))
    assert outcome.failure is not None
    assert "half done" in outcome.failure.message


async def test_dropping_an_index_of_a_partitioned_table_names_the_way(world: World) -> None:
    await world.execute(PARTED + "CREATE INDEX ev_i ON ev (id);")
    outcome = await world.up(migration("1", "DROP INDEX CONCURRENTLY ev_i"))
    assert outcome.failure is not None
    assert "without CONCURRENTLY" in outcome.failure.message
    assert (await world.up(migration("1", "DROP INDEX ev_i"))).verdict is Verdict.DONE


async def test_an_invalid_index_that_cannot_be_dropped_alone_may_be_dropped_otherwise(
    world: World,
) -> None:
    await world.execute(
        "CREATE TABLE ev (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (9);"
        "CREATE INDEX ev_i ON ONLY ev (id);"
    )
    outcome = await world.up(migration("1", "DROP INDEX CONCURRENTLY ev_i"))
    assert outcome.failure is not None
    assert "without CONCURRENTLY" in outcome.failure.message
    assert (await world.up(migration("1", "DROP INDEX ev_i"))).verdict is Verdict.DONE


async def test_an_invalid_index_that_a_build_left_still_holds_its_text(world: World) -> None:
    await world.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1)")
    assert (await world.up(migration("1", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)"))).failure
    outcome = await world.up(migration("1", "CREATE INDEX CONCURRENTLY i ON t (id)"))
    assert outcome.failure is not None
    assert "half done" in outcome.failure.message
