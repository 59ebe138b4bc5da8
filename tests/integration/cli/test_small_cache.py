"""Agents that may keep less text than one file has: they work as ever, only later."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.settings.sections import AgentSection
from tests.integration.cli.conftest import Fleet
from tests.integration.cli.test_rollout import has_table
from tests.support.program import LedgerProgram

LEAST = 1024 * 1024
"""The fewest bytes that an agent may be told to keep."""
FILLING = "-- " + "x" * 4092 + "\n"


def large(table: str, size: int, more: str = "") -> str:
    """A migration whose file has at least so many bytes."""
    return (
        f"-- +migrate Up\n{FILLING * (size // len(FILLING) + 1)}CREATE TABLE {table} (id int);\n"
        f"{more}-- +migrate Down\nDROP TABLE {table};\n"
    )


def test_no_agent_may_keep_less_than_these_tests_try() -> None:
    assert AgentSection(content_cache_bytes=LEAST).content_cache_bytes == LEAST
    with pytest.raises(ValueError, match="greater than or equal"):
        AgentSection(content_cache_bytes=LEAST - 1)


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param((LEAST + 1,), id="one-file-larger-than-all-that-may-be-kept"),
        pytest.param((LEAST * 6 // 10,) * 3, id="three-files-that-are-larger-together"),
        pytest.param((LEAST * 3, 100, LEAST * 2), id="some-of-each"),
    ],
)
async def test_migrations_that_are_larger_than_the_cache_are_applied(
    ledger: LedgerProgram, tmp_path: Path, fleet: Fleet, sizes: tuple[int, ...]
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for number, size in enumerate(sizes):
        (folder / f"{number}_large.sql").write_text(large(f"large{number}", size))
    small = {"LEDGER_AGENT_CONTENT_CACHE_BYTES": str(LEAST)}
    up = await ledger("up", "--yes", "--timeout", "50", "-o", "json", **small)
    assert up.code == 0, up.err
    assert up.json["counts"] == {"applied": 4}
    tables = [f"large{number}" for number in range(len(sizes))]
    for address in fleet.addresses.values():
        assert all([await has_table(address, one) for one in tables])


async def test_so_are_those_that_read_otherwise_in_each_database(
    ledger: LedgerProgram, tmp_path: Path, fleet: Fleet
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "1_large.sql").write_text(
        large("large", LEAST, "COMMENT ON TABLE large IS '${half}';\n")
    )
    (tmp_path / "ledger.toml").write_text('[variables]\nhalf = {label = "half", sample = "h0"}\n')
    small = {"LEDGER_AGENT_CONTENT_CACHE_BYTES": str(LEAST)}
    up = await ledger("up", "--yes", "--timeout", "50", "-o", "json", **small)
    assert up.code == 0, up.err
    assert up.json["counts"] == {"applied": 4}
