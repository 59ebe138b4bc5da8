"""A text in the place of one that failed or was rolled back, on one database."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.formats.bundle import load_folder
from migrations.model.attempt import Verdict
from migrations.model.migration import Migration
from tests.integration.migrations.world import World

WRONG = "-- +migrate Up\nCREATE TABLE t (id nosuch);\n"
RIGHT = "-- +migrate Up\nCREATE TABLE t (id int);\n-- +migrate Down\nDROP TABLE t;\n"


def load(tmp_path: Path, text: str) -> tuple[Migration, ...]:
    (tmp_path / "1_a.sql").write_bytes(text.encode())
    return load_folder(tmp_path).migrations


async def test_a_text_that_failed_is_corrected_and_the_outcome_says_so(
    world: World, tmp_path: Path
) -> None:
    assert (await world.up(*load(tmp_path, WRONG))).failure is not None

    outcome = await world.up(*load(tmp_path, RIGHT))

    assert outcome.verdict is Verdict.DONE
    assert outcome.steps[0].note == "another text of it failed here before"


async def test_a_text_that_was_rolled_back_is_corrected_and_the_outcome_says_so(
    world: World, tmp_path: Path
) -> None:
    first = load(tmp_path, RIGHT.replace("int", "bigint"))
    await world.up(*first)
    await world.rollback(*first)

    outcome = await world.up(*load(tmp_path, RIGHT))

    assert outcome.verdict is Verdict.DONE
    assert outcome.steps[0].note == "another text of it was rolled back here before"


async def test_the_same_text_is_tried_again_without_a_word(world: World, tmp_path: Path) -> None:
    first = load(tmp_path, RIGHT)
    await world.up(*first)
    await world.rollback(*first)

    assert (await world.up(*load(tmp_path, RIGHT))).steps[0].note == ""


@pytest.mark.parametrize(
    "text",
    [RIGHT.replace("\n", "\r\n"), RIGHT.replace(";\n", ";  \n"), "\ufeff" + RIGHT, RIGHT.rstrip()],
    ids=["CRLF", "blanks", "byte order mark", "no final newline"],
)
async def test_another_checkout_of_an_applied_text_is_the_same(
    world: World, tmp_path: Path, text: str
) -> None:
    await world.up(*load(tmp_path, RIGHT))

    outcome = await world.up(*load(tmp_path, text))

    assert outcome.verdict is Verdict.DONE
    assert "down section has changed" not in outcome.steps[0].note
    assert (await world.rollback(*load(tmp_path, text))).verdict is Verdict.DONE


async def test_another_comment_in_an_applied_text_is_a_change(world: World, tmp_path: Path) -> None:
    await world.up(*load(tmp_path, RIGHT))

    outcome = await world.up(*load(tmp_path, RIGHT.replace(";\n--", "; -- why\n--")))

    assert outcome.failure is not None
    assert "another up section" in outcome.failure.message
