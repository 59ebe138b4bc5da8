"""A way back that cannot run: the way up does, and going back is refused by name and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations import standalone
from migrations.formats import Reading
from migrations.formats.bundle import load_folder
from migrations.model.attempt import Verdict
from migrations.model.migration import Language
from tests.integration.migrations.world import IMPATIENT, World
from tests.unit.migrations.test_broken_downs import FOLDERS, HEADINGS, MODULE, PLACES, UP

FILES = {
    **FOLDERS,
    **{
        f"{format}, heading": {
            file: f"{text.partition(UP)[0]}{UP}{HEADINGS[format][0]}\nDROP TABLE t;\n"
            for file, text in FOLDERS[format].items()
        }
        for format in HEADINGS
    },
    "python": {"1_a.py": f"{MODULE}def down(conn): ...\n"},
}


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
async def test_the_way_up_runs_and_going_back_is_refused_with_file_and_line(
    world: World, tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    migrations = load_folder(tmp_path, reading=Reading()).migrations
    programs = frozenset({Language.PYTHON})
    up = await standalone.up(
        world.settings, migrations, IMPATIENT, world.hearing, programs=programs
    )
    assert up.verdict is Verdict.DONE, up.failure
    assert await world.has("t")
    down = await standalone.down(
        world.settings, migrations, IMPATIENT, world.hearing, programs=programs
    )
    assert down.verdict is not Verdict.DONE
    assert down.failure is not None
    place = next(iter(migrations)).down
    assert place is not None
    assert place.broken in down.failure.message
    assert await world.has("t")
    (line,) = (await standalone.status(world.settings, migrations)).lines
    assert line.standing is standalone.Standing.APPLIED


def test_every_format_with_a_way_back_is_tried() -> None:
    assert set(PLACES) == set(FOLDERS)
