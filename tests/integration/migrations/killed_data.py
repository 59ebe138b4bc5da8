"""A process that moves data and is killed; its words are URL and COMMAND."""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

from migrations.formats.bundle import load_files
from migrations.model.attempt import Epoch, Mode
from migrations.model.migration import SourceFile
from tests.integration.migrations.world import World

ROWS = 30_000
TEXT = """\
-- +migrate Data table=items key=id batch=50 backup=n
INSERT INTO moved (id, n) SELECT id, n FROM batch;
UPDATE items SET n = items.n + 1 FROM batch WHERE items.id = batch.id;
"""
MOVE = load_files("sql-migrate", [SourceFile("001_move.sql", TEXT.encode())])


async def _main(url: str, command: str) -> None:
    world = World(url)
    work = world.work(Mode.UP, MOVE, command=UUID(command), epoch=Epoch(1, 1))
    print("begin", flush=True)  # noqa: T201
    await world.do(work)


def main() -> None:
    """Run the command that the words name."""
    asyncio.run(_main(*sys.argv[1:]))
