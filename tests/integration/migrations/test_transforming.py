"""Data migrations in Python: a function transforms one batch after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrations.formats.bundle import load_files
from migrations.model.attempt import Mode, Verdict
from migrations.model.migration import Language, Migration, SourceFile
from migrations.model.work import Outcome, StepResult
from tests.integration.migrations.world import World

MAKE = """
    CREATE TABLE users (id bigint PRIMARY KEY, settings jsonb NOT NULL, email text);
    INSERT INTO users SELECT n, jsonb_build_object('n', n), 'a@b' FROM generate_series(1, 250) AS n;
    CREATE TABLE sizes (batch int GENERATED ALWAYS AS IDENTITY, n int);
"""
MARKER = "# +migrate Data table=users key=id columns=settings batch=100"
BODY = """
    await conn.execute("INSERT INTO sizes (n) VALUES ($1)", len(rows))
    return [
        {"id": row["id"], "settings": json.dumps({"m": json.loads(row["settings"])["n"] * 2})}
        for row in rows
    ]
"""
SIZES = "SELECT n FROM sizes ORDER BY batch"
DOUBLED = "SELECT count(*) FROM users WHERE settings = jsonb_build_object('m', id * 2)"
UNTOUCHED = "SELECT count(*) FROM users WHERE settings = jsonb_build_object('n', id)"


def module(body: str = BODY, more: str = "", options: str = "") -> Migration:
    """A module with a transformation of this body."""
    text = f"import json\n\n{MARKER} {options}\nasync def transform(rows, conn):\n{body}\n{more}\n"
    return load_files("python", [SourceFile("010_double.py", text.encode())])


async def run(world: World, mode: Mode, migration: Migration) -> Outcome:
    """Run it where Python is allowed."""
    return await world.do(
        replace(world.work(mode, migration), programs=frozenset({Language.PYTHON}))
    )


@pytest.fixture
async def users(world: World) -> World:
    """A database with users."""
    await world.execute(MAKE)
    return world


async def test_each_batch_is_transformed_and_written_by_key(users: World) -> None:
    outcome = await run(users, Mode.UP, module())
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert outcome.steps[0].note == "250 rows in 3 batches"
    assert await users.fetch(SIZES) == [(100,), (100,), (50,)]
    assert await users.value(DOUBLED) == 250


async def test_without_leave_for_python_nothing_runs(users: World) -> None:
    outcome = await users.up(module())
    assert outcome.verdict is Verdict.REFUSED
    assert await users.value(UNTOUCHED) == 250


async def test_a_function_that_raises_keeps_the_batches_before_it(users: World) -> None:
    raising = f"    assert rows[0]['id'] < 201 or ALLOWED\n{BODY}"
    outcome = await run(users, Mode.UP, module(raising, "ALLOWED = False"))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.line) == ("code", 5)
    assert (await users.value(DOUBLED), await users.value(UNTOUCHED)) == (200, 50)


async def test_the_backup_is_restored_and_restored_rows_are_handed_over(users: World) -> None:
    more = (
        "# +migrate Down restore\nasync def restored(rows, conn):\n"
        '    await conn.execute("INSERT INTO sizes (n) VALUES ($1)", -len(rows))\n'
    )
    migration = module(more=more, options="backup=settings")
    assert (await run(users, Mode.UP, migration)).verdict is Verdict.DONE
    undone = await run(users, Mode.ROLLBACK, migration)
    assert undone.steps[0].result is StepResult.ROLLED_BACK, undone.failure
    assert await users.value(UNTOUCHED) == 250
    assert await users.fetch(SIZES) == [(100,), (100,), (50,), (-100,), (-100,), (-50,)]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("[{'settings': '{}'}]", "returned a row without its key (id)"),
        ("[{'id': 9999, 'settings': '{}'}]", "returned a row that is not of this batch"),
        ("[{'id': 1, 'email': 'x'}]", "sets email, which backup= does not save"),
        ("[{'id': 1, 'settings': 7}]", "sets settings to what does not fit"),
        ("[{'id': [1], 'settings': '{}'}]", "returned a row that is not of this batch"),
        ("[{'id': 1, 5: '{}'}]", "returned a row whose columns are not named by texts"),
        ("(1 / 0 for row in rows)", "ZeroDivisionError in transform"),
        ("7", "returned something else than rows"),
        ("[7]", "returned a row that is no mapping"),
    ],
)
async def test_an_answer_that_cannot_be_written_is_refused(
    users: World, answer: str, says: str
) -> None:
    outcome = await run(users, Mode.UP, module(f"    return {answer}", options="backup=settings"))
    assert outcome.failure is not None
    assert says in outcome.failure.message
    assert await users.value(UNTOUCHED) == 250


async def test_gate_and_validate_are_constants_of_the_module(users: World) -> None:
    more = (
        'GATE = "SELECT count(*) < 3 FROM sizes"\nVALIDATE = "SELECT id FROM users WHERE id = 7"\n'
    )
    outcome = await run(users, Mode.UP, module(more=more))
    assert outcome.failure is not None
    assert "Validate, check 1 on line 13: 1 rows came back" in outcome.failure.message
