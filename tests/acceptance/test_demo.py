"""What people start first: the demo, and servers to try things with, as programs of their own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.support.processes import Process, run, until

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "ops" / "demo" / "demo.py"
DEMO_S = 400.0
"""The first one that asks for a broker downloads it."""
DATABASES = "8"
"""Six of which stop the second release, and two that do not."""


@pytest.fixture
def clean() -> dict[str, str]:
    """An environment without the developer's own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}


@pytest.mark.timeout(DEMO_S + 30)
@pytest.mark.parametrize("bus", ["local", "kafka"])
async def test_the_demo_plays_to_its_end_and_leaves_nothing(
    clean: dict[str, str], bus: str
) -> None:
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        str(DEMO),
        "--bus",
        bus,
        "--databases",
        DATABASES,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=clean,
    )
    try:
        async with asyncio.timeout(DEMO_S):
            said = (await demo.communicate())[0].decode()
    finally:
        if demo.returncode is None:
            # Asked and not killed: it ends its servers itself.
            demo.terminate()
            await demo.wait()
    assert demo.returncode == 0, said
    assert f"completed: {DATABASES} applied" in said
    assert "warning, index-blocks-writes: CREATE INDEX on users without CONCURRENTLY" in said
    assert re.search(r"^acme +block +idle_in_transaction .*\(support\)", said, re.MULTILINE)
    assert "added    index public.users_city" in said
    assert "; undone by undo-" in said
    assert " is completed; undoes " in said
    assert "No difference: " in said
    assert "whole: " in said
    (folder,) = re.findall(r"^(/.*) is deleted\.$", said, re.MULTILINE)
    assert not await asyncio.to_thread(Path(folder).exists)


async def test_the_settings_that_ledger_dev_writes_are_enough_for_a_ledger(
    clean: dict[str, str], server_folder: Path
) -> None:
    settings = server_folder / "servers" / "ledger.toml"
    log = server_folder / "dev.log"
    dev = Process("ledger", ("dev", "--folder", str(settings.parent)), clean, log)
    try:
        await until(lambda: "Ctrl-C stops the servers" in dev.said(), "the servers run")
        init = await run("ledger", "--config", str(settings), "init", "--yes", env=clean)
        assert init.code == 0, init.err
        listed = await run("ledger", "--config", str(settings), "fleet", "list", env=clean)
        assert listed.code == 0, listed.err
        dev.ask_to_stop()
        assert await dev.ended() == 0, dev.said()
    finally:
        if dev.exit_code is None:
            dev.ask_to_stop()
            await dev.ended()
    assert "stopped; the data stays in" in dev.said()
