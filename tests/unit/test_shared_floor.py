"""The floor that agents share with the ledger loads nothing else of it.

The import rules see what the floor's modules import; they do not see what `ledger/__init__.py`
drags in. So this is asked of a fresh interpreter.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

FLOOR = (
    "ledger.bus", "ledger.collector", "ledger.contracts", "ledger.exporters",
    "ledger.instruments", "ledger.meters", "ledger.outlet", "ledger.process_instruments",
    "ledger.sampling", "ledger.stopper", "ledger.tail_sampler", "ledger.telemetry",
    "ledger.wait_spans",
)  # fmt: skip
WORDS = {
    "migrations",
    "migrations.clock",
    "migrations.errors",
    "migrations.model",
    "migrations.model.attempt",
    "migrations.model.foreign_history",
    "migrations.model.preflight",
    "migrations.printable",
}

LOAD_ALL = """
import importlib, pkgutil, sys
for name in {floor!r}:
    room = importlib.import_module(name)
    for each in pkgutil.walk_packages(getattr(room, "__path__", []), name + "."):
        importlib.import_module(each.name)
print("\\n".join(sys.modules))
"""


def loaded_with(floor: tuple[str, ...]) -> list[str]:
    answer = subprocess.run(
        [sys.executable, "-c", LOAD_ALL.format(floor=floor)],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.splitlines()


def test_the_floor_loads_no_other_room_of_the_ledger() -> None:
    ours = [name for name in loaded_with(FLOOR) if name.startswith("ledger.")]
    assert ours
    assert [name for name in ours if not name.startswith(FLOOR)] == []


@pytest.mark.parametrize("package", ["agents", "asyncpg"])
def test_the_floor_loads_neither_the_agents_nor_a_database_driver(package: str) -> None:
    assert package not in loaded_with(FLOOR)


def test_of_the_migrations_package_the_floor_loads_the_words_of_an_attempt_and_the_clock() -> None:
    assert {name for name in loaded_with(FLOOR) if name.startswith("migrations")} == WORDS
