"""Folders whose old files were squashed into a baseline, on databases that stand anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations import standalone_adoption
from migrations.adoption.export import export_history
from migrations.errors import FailureClass
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Adoption, Verdict
from migrations.model.foreign_history import Tool
from migrations.model.migration import Migration
from migrations.model.work import BASELINE, Silence, StepResult
from migrations.standalone import Standing, status
from tests.integration.migrations.world import IMPATIENT, World
from tests.support.format_samples import written

ALL = "CREATE TABLE t1 (id int);\nCREATE TABLE t2 (id int);\nCREATE TABLE t3 (id int);\n"
OURS_BASE = {"9_base.sql": f"-- +migrate Baseline through=3\n{ALL}"}
MARKS = {"ours": "-- +migrate Up\n", "goose": "-- +goose Up\n", "dbmate": "-- migrate:up\n"}
TABLES = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^t.$'"


def _files(kind: str, *numbers: int) -> dict[str, str]:
    name = "V{}__t.sql" if kind == "flyway" else "{}_t.sql"
    return {
        name.format(number): f"{MARKS.get(kind, '')}CREATE TABLE t{number} (id int);\n"
        for number in numbers
    }


def _base(kind: str) -> dict[str, str]:
    return {"B3__base.sql": ALL} if kind == "flyway" else OURS_BASE


def _load(tmp_path: Path, name: str, files: dict[str, str]) -> tuple[Migration, ...]:
    (tmp_path / name).mkdir()
    return load_folder(written(tmp_path / name, files)).migrations


KINDS = pytest.mark.parametrize("kind", ["ours", "goose", "dbmate", "plain", "flyway"])


@KINDS
async def test_a_database_that_has_all_of_it_goes_on_behind_the_baseline(
    world: World, tmp_path: Path, kind: str
) -> None:
    await world.up(*_load(tmp_path, "old", _files(kind, 1, 2, 3)))
    squashed = _load(tmp_path, "new", {**_base(kind), **_files(kind, 4)})

    outcome = await world.up(*squashed)

    assert outcome.verdict is Verdict.DONE
    assert [step.result for step in outcome.steps] == [StepResult.SKIPPED, StepResult.APPLIED]
    assert await world.value(TABLES) == "t1 t2 t3 t4"
    lines = (await status(world.settings, squashed)).lines
    assert {line.version: line.standing for line in lines} == {
        "B3": Standing.COVERED,
        "4": Standing.APPLIED,
        "1": Standing.GONE,
        "2": Standing.GONE,
        "3": Standing.GONE,
    }


@KINDS
async def test_a_database_that_lacks_some_of_it_is_refused_by_name_and_stays_as_it_was(
    world: World, tmp_path: Path, kind: str
) -> None:
    await world.up(*_load(tmp_path, "old", _files(kind, 1, 2)))
    squashed = _load(tmp_path, "new", {**_base(kind), **_files(kind, 4)})

    outcome = await world.up(*squashed)

    assert outcome.failure is not None
    assert outcome.failure.kind is FailureClass.OUT_OF_ORDER
    assert "B3 stands for versions that are neither applied here nor among the files: 3" in (
        outcome.failure.message
    )
    assert await world.value(TABLES) == "t1 t2"
    (base, *_) = (await status(world.settings, squashed)).lines
    assert (base.standing, "3" in base.problem) == (Standing.LATE, True)


@KINDS
async def test_the_old_files_bring_it_up_where_they_are_still_there(
    world: World, tmp_path: Path, kind: str
) -> None:
    await world.up(*_load(tmp_path, "old", _files(kind, 1, 2)))
    both = _load(tmp_path, "new", {**_base(kind), **_files(kind, 1, 2, 3, 4)})

    assert (await world.up(*both)).verdict is Verdict.DONE

    assert await world.value(TABLES) == "t1 t2 t3 t4"


@KINDS
async def test_a_new_database_gets_the_baseline_and_no_old_file(
    world: World, tmp_path: Path, kind: str
) -> None:
    both = _load(tmp_path, "new", {**_base(kind), **_files(kind, 1, 2, 3, 4)})

    outcome = await world.up(*both)

    applied = [step.version for step in outcome.steps if step.result is StepResult.APPLIED]
    assert applied == ["B3", "4"]
    later = _load(tmp_path, "later", {**_base(kind), **_files(kind, 4, 5)})
    assert (await world.up(*later)).verdict is Verdict.DONE
    assert await world.value(TABLES) == "t1 t2 t3 t4 t5"


async def test_the_old_folder_closes_the_gap_and_the_squashed_one_goes_on(
    world: World, tmp_path: Path
) -> None:
    await world.up(*_load(tmp_path, "old", _files("ours", 1, 2)))
    squashed = _load(tmp_path, "new", {**OURS_BASE, **_files("ours", 4)})
    assert (await world.up(*squashed)).failure is not None

    await world.up(*_load(tmp_path, "restored", _files("ours", 1, 2, 3)))

    assert (await world.up(*squashed)).verdict is Verdict.DONE
    assert await world.value(TABLES) == "t1 t2 t3 t4"


@KINDS
async def test_a_persons_word_that_all_of_it_is_there_closes_the_gap(
    world: World, tmp_path: Path, kind: str
) -> None:
    await world.up(*_load(tmp_path, "old", _files(kind, 1, 2)), owner="", rollout="")
    await world.execute("CREATE TABLE t3 (id int)")
    squashed = _load(tmp_path, "new", {**_base(kind), **_files(kind, 4)})

    adopted = await standalone_adoption.adopt(
        world.settings, squashed, Adoption(BASELINE, "B3"), IMPATIENT
    )

    assert adopted.failure is None
    assert (await world.up(*squashed, owner="", rollout="")).verdict is Verdict.DONE
    assert await world.value(TABLES) == "t1 t2 t3 t4"


@pytest.mark.parametrize("kind", ["ours", "goose", "dbmate", "plain"])
async def test_another_tool_is_told_of_a_baseline_and_of_no_version_without_a_file(
    world: World, tmp_path: Path, kind: str
) -> None:
    squashed = _load(tmp_path, "new", {**_base(kind), **_files(kind, 4)})
    await world.up(*squashed, owner="", rollout="")

    exported = await export_history(world.settings, squashed, Tool.DBMATE, IMPATIENT, Silence())

    assert exported.rows == 2


async def test_an_order_without_the_files_that_a_database_has_leaves_no_gap(
    world: World, tmp_path: Path
) -> None:
    early = _load(tmp_path, "early", {"B2__base.sql": ALL, **_files("flyway", 1, 2)})
    later = _load(
        tmp_path,
        "later",
        {
            "B2__base.sql": ALL,
            "B3__base.sql": f"{ALL}CREATE TABLE t5 (id int);\n",
            "V3__t.sql": "CREATE TABLE t5 (id int);\n",
            **_files("flyway", 1, 2, 4),
        },
    )
    await world.up(*early)
    await world.up(*(one for one in later if one.version == "3"))

    outcome = await world.up(*(one for one in later if one.version in ("B3", "4")))

    assert outcome.verdict is Verdict.DONE
    assert await world.value(TABLES) == "t1 t2 t3 t4 t5"
