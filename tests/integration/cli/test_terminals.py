"""Commands at terminals of 60 and 120 columns, in other alphabets, and into pipes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram
from tests.support.terminal import CONTROL, Screen, at_terminal

BROKEN = "-- +migrate Up\nALTER TABLE nowhere_to_be_found ADD COLUMN colour text;\n"
HOSTILE = "-- +migrate Up\nSELECT 1; -- \x1b[31mred\n"
LISTS = (
    ("history",),
    ("events", "--limit", "20"),
    ("fleet", "list"),
    ("status",),
    ("rollout", "list"),
    ("bundle", "list"),
    ("audit", "verify"),
)
OWN_LINES = ("try: ", "whole: ")
"""What is copied as a whole is one line, however long."""


async def test_lists_fit_the_terminal_and_no_id_is_broken(
    ledger: LedgerProgram,
    migrations: Path,
    fleet: Fleet,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    (migrations / "3_colour.sql").write_text(BROKEN)
    await ledger("up", "--yes", "--reason", "a long reason that says why this is to be done now")
    (rollout,) = (await ledger("rollout", "list", "-o", "json")).items
    lists = (*LISTS, ("rollout", "status", rollout["rollout"]))

    async def shown(columns: int) -> dict[tuple[str, ...], Screen]:
        found: dict[tuple[str, ...], Screen] = {}
        for words in lists:
            found[words] = await at_terminal(words, columns, tmp_path, environment)
        return found

    for columns, screens in zip(
        (60, 120), await asyncio.gather(shown(60), shown(120)), strict=True
    ):
        for words, screen in screens.items():
            assert "Traceback" not in screen.raw
            long = [
                line
                for line in screen.lines
                if len(line) > columns
                and len(line.split()) > 2
                and not line.strip().startswith(OWN_LINES)
                and "`" not in line
            ]
            assert long == [], (columns, words)
        assert rollout["rollout"] in "\n".join(screens["rollout", "list"].lines)
        failed = "\n".join(screens[lists[-1]].lines)
        assert "nowhere_to_be_found" in failed
        assert "Z (" in "\n".join(screens["history",].lines)


async def test_every_alphabet_gets_every_line(
    ledger: LedgerProgram,
    migrations: Path,
    fleet: Fleet,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    alphabets = (
        {"PYTHONIOENCODING": "iso-8859-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    await ledger("fleet", "suspend", "t1", "--reason", "für 数 — “später”")
    for alphabet in alphabets:
        for words in (("up", "--help"), ("config", "show"), ("history",), ("plan",)):
            screen = await at_terminal(words, 80, tmp_path, environment | alphabet)
            assert screen.code == 0, (alphabet, screen.raw)
            assert "Traceback" not in screen.raw
        piped = await ledger("history", "-o", "json", **alphabet)
        (row,) = [one for one in json.loads(piped.out)["items"] if one["ticket"] or one["reason"]]
        assert row["reason"] == "für 数 — “später”"


async def test_no_color_means_none_and_a_pipe_gets_all_of_a_plan(
    ledger: LedgerProgram,
    migrations: Path,
    fleet: Fleet,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    plain = await at_terminal(("fleet", "list"), 80, tmp_path, environment)
    assert CONTROL.search(plain.raw) is None
    coloured = {name: value for name, value in environment.items() if name != "NO_COLOR"}
    bold = await at_terminal(("fleet", "list"), 80, tmp_path, coloured)
    assert CONTROL.search(bold.raw) is not None
    piped = await ledger("plan")
    for part in ("up on 4 databases", "1_parcels", "2_weight", "plan ", "WAVE"):
        assert part in piped.out, part
    assert "1_parcels" not in piped.err


async def test_what_a_file_holds_or_is_called_moves_no_cursor_and_makes_no_line(
    ledger: LedgerProgram, migrations: Path, fleet: Fleet
) -> None:
    (migrations / "3_red.sql").write_text(HOSTILE)
    assert (await ledger("up", "--yes")).code == 0
    shown = await ledger("bundle", "show", "--sql", "3")
    assert "\x1b" not in shown.out
    assert "\\x1b[31mred" in shown.out
    (migrations / "4_a\nledger: all is well\x1b[31m.sql").write_text(HOSTILE)
    for words in (("plan",), ("bundle", "register", "migrations")):
        answer = await ledger(*words)
        assert "\x1b" not in answer.out + answer.err
        lines = (answer.out + answer.err).splitlines()
        assert [line for line in lines if line.startswith("ledger: all is well")] == []
