"""A process that runs one command and is killed; its words are URL and COMMAND."""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

from migrations.formats.bundle import load_files
from migrations.model.attempt import Epoch, Mode
from migrations.model.migration import Language, SourceFile
from tests.integration.migrations.world import World, migration

PROGRAMS = frozenset({Language.PYTHON})
CODE = """
async def up(conn):
    await conn.execute("CREATE TABLE t3 (id int)")
    await conn.fetch("SELECT pg_sleep(0.004)")
"""
MODULE = load_files("python", [SourceFile("003_m.py", CODE.encode())])
STEPS = tuple(
    migration(f"{number:03}", f"CREATE TABLE t{number} (id int);\nSELECT pg_sleep(0.004)")
    if number != 3
    else MODULE
    for number in range(1, 6)
)
STEPWISE = migration(
    "006", "CREATE INDEX CONCURRENTLY t1_id ON t1 (id);\nCREATE TABLE t6 ()", stepwise=True
)
ALL = (*STEPS, STEPWISE)


async def _main(url: str, command: str) -> None:
    world = World(url)
    work = world.work(Mode.UP, *ALL, command=UUID(command), epoch=Epoch(1, 1), programs=PROGRAMS)
    print("begin", flush=True)  # noqa: T201
    await world.do(work)


def main() -> None:
    """Run the command that the words name."""
    asyncio.run(_main(*sys.argv[1:]))
