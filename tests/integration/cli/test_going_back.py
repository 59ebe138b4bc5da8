"""Before something goes back, a person sees what is lost by that, and types that rollout's name."""

from __future__ import annotations

import asyncio
import os
import pty
import re
from pathlib import Path

from ledger.cli.app.exits import ExitCode
from tests.integration.cli.conftest import PROGRAM, Fleet
from tests.support.program import LedgerProgram
from tests.support.reader import all_of


async def typed(
    environment: dict[str, str], folder: Path, word: str, *words: str
) -> tuple[int, str]:
    """How a command ends whose question is answered with `word`, and what it showed."""
    person, terminal = pty.openpty()
    os.write(person, f"{word}\n".encode())
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, cwd=folder, env=environment, stdin=terminal, stdout=terminal,
        stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = await asyncio.to_thread(all_of, person)
    await process.wait()
    os.close(person)
    return process.returncode or 0, shown.decode()


async def test_a_rollback_names_migrations_databases_and_what_is_dropped(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    up = await ledger("up", "--yes", "-o", "json")
    rollout = up.json["rollout"]
    asked = await ledger("rollout", "rollback", rollout)
    assert asked.code == ExitCode.USAGE
    said = asked.err.splitlines()
    assert said[1] == f"  take rollout {rollout} back on 4 databases in 1 wave (4)"
    assert said[2:4] == [
        "    undoes 2_weight: drops column parcels.weight",
        "    undoes 1_parcels: drops table parcels",
    ]
    assert said[4] == "  what it drops, empties or deletes does not come back"
    assert re.fullmatch(r"  on (t\d(, )?){4}", said[5])

    # Another rollout begins where that one ended, and it is the last one now.
    last = await ledger("rollout", "status")
    assert last.code == 0
    assert f"rollout {rollout} is completed" in last.out


async def test_the_word_to_type_is_the_rollout_s_own_name(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet, environment: dict[str, str]
) -> None:
    rollout = (await ledger("up", "--yes", "-o", "json")).json["rollout"]
    folder = migrations.parent
    for word in ("shop", "ledger", "y"):
        code, shown = await typed(environment, folder, word, "rollout", "rollback", rollout)
        assert code == ExitCode.FAILED, shown
        assert "not confirmed, nothing was changed" in shown
    code, shown = await typed(environment, folder, rollout, "rollout", "rollback", rollout)
    assert code == 0, shown
    assert "4 undone" in shown


async def test_down_says_what_is_dropped_and_that_a_migration_has_no_down(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    await ledger("up", "--yes")
    asked = await ledger("down", "1")
    assert "    undoes 2_weight: drops column parcels.weight" in asked.err.splitlines()
    (migrations / "3_no_way_back.sql").write_text("-- +migrate Up\nCREATE TABLE three (id int);\n")
    await ledger("up", "--yes")
    refused = await ledger("down", "1")
    assert refused.code == ExitCode.REFUSED
    assert "3_no_way_back cannot be undone" in refused.err


async def test_a_rollback_leaves_out_and_names_what_is_retired(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    rollout = (await ledger("up", "--yes", "-o", "json")).json["rollout"]
    for one in ("t2", "t3"):
        assert (await ledger("fleet", "retire", one, "--yes", "--reason", "ended")).code == 0
    asked = await ledger("rollout", "rollback", rollout)
    assert f"take rollout {rollout} back on 2 databases in 1 wave" in asked.err
    assert "note: left out: t3, t2 are retired" in asked.err
    assert "`ledger fleet add`" in asked.err
    back = await ledger("rollout", "rollback", rollout, "--yes")
    assert (back.code, "2 undone" in back.out) == (ExitCode.OK, True), back.err
    again = await ledger("rollout", "rollback", rollout, "--yes")
    assert again.code == ExitCode.REFUSED
    assert "nothing is left to undo" in again.err
    assert "t3, t2 are retired" in again.err
