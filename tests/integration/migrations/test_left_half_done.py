"""What an outcome and a look say of what the journal leaves half done."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats.bundle import load_folder
from migrations.inspection import glance, inspect
from migrations.model.attempt import HalfDone, Mode
from migrations.model.migration import Migration
from tests.integration.migrations.world import World, smuggled, users

WHOLE = "-- +migrate Up\nCREATE TABLE a (id int);\nSELECT 1/0;\n"
STEPS = """\
-- +migrate Up
CREATE TABLE a (id int);
CREATE UNIQUE INDEX CONCURRENTLY t_x ON t (x);
-- +migrate Down
DROP TABLE a;
DROP INDEX CONCURRENTLY t_x;
"""
FIRST_STEP = """\
-- +migrate Up
CREATE INDEX CONCURRENTLY t_x ON nosuch (x);
CREATE TABLE a (id int);
"""
DATA = """\
-- +migrate Data table=t key=id batch=10
UPDATE t SET x = 1 / (t.id - {wrong}) FROM batch WHERE t.id = batch.id;
"""
ROWS = "CREATE TABLE t AS SELECT i AS id, 1 AS x FROM generate_series(1, 30) AS i"


def load(tmp_path: Path, text: str) -> tuple[Migration, ...]:
    (tmp_path / "1_a.sql").write_text(text)
    return load_folder(tmp_path).migrations


async def said(world: World) -> tuple[HalfDone, ...]:
    """What looks say, which say the same."""
    found, more = await inspect(world.settings), await glance(world.settings)
    assert found.half_done == more.half_done
    return found.half_done


async def with_rows(world: World) -> None:
    await world.execute(f"{ROWS}; ALTER TABLE t ADD PRIMARY KEY (id)")


@pytest.mark.parametrize("text", [WHOLE, FIRST_STEP, DATA.format(wrong=5)])
async def test_what_failed_without_an_effect_is_not_half_done(
    world: World, tmp_path: Path, text: str
) -> None:
    await with_rows(world)
    outcome = await world.up(*load(tmp_path, text))
    assert outcome.failure is not None
    assert outcome.half_done == await said(world) == ()


@pytest.mark.parametrize("text", [STEPS, DATA.format(wrong=15)])
async def test_what_has_an_effect_is_half_done_until_it_is_finished(
    world: World, tmp_path: Path, text: str
) -> None:
    await with_rows(world)
    (one,) = load(tmp_path, text)
    outcome = await world.up(one)
    expected = (HalfDone("1", "up", one.up.checksum, "rollout-1"),)
    assert outcome.half_done == await said(world) == expected

    await world.execute("UPDATE t SET x = id; DELETE FROM t WHERE id = 15")
    other = await world.up(one, rollout="rollout-2")
    assert other.failure is None
    assert other.half_done == await said(world) == ()


async def test_what_stays_half_done_is_said_by_work_on_something_else(
    world: World, tmp_path: Path
) -> None:
    await with_rows(world)
    await world.up(*load(tmp_path, STEPS))
    (tmp_path / "1_a.sql").rename(tmp_path / "2_b.sql")
    (tmp_path / "2_b.sql").write_text("-- +migrate Up\nCREATE TABLE b (id int);\n")
    outcome = await world.up(*load_folder(tmp_path).migrations)
    assert outcome.failure is None
    assert [one.version for one in outcome.half_done or ()] == ["1"]


async def test_what_is_half_rolled_back_says_so(world: World, tmp_path: Path) -> None:
    await world.execute("CREATE TABLE t AS SELECT i AS id, i AS x FROM generate_series(1, 3) AS i")
    (one,) = load(tmp_path, STEPS)
    assert (await world.up(one)).failure is None
    await world.execute("DROP INDEX t_x")

    outcome = await world.do(world.work(Mode.DOWN, one))

    assert outcome.failure is not None
    assert one.down is not None
    expected = (HalfDone("1", "down", one.down.checksum, "rollout-1"),)
    assert outcome.half_done == await said(world) == expected


async def test_what_is_in_doubt_is_said_too(world: World) -> None:
    outcome = await world.up(smuggled(users("1"), "CREATE TABLE users ()", "COMMIT"))
    assert outcome.failure is not None
    (one,) = outcome.half_done or ()
    assert (one.version, one.direction, one.doubtful) == ("1", "up", True)
    assert await said(world) == (one,)
