"""Tables as people see them, kept as text in `tests/golden/tables` and looked at.

After a change that is meant, `LEDGER_TEST_TABLES=write pytest` writes them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.cli.app.table import lines_of, paragraph

GOLDEN = Path(__file__).parents[2] / "golden" / "tables"
PROBLEM = (
    '20260402120000_unique: could not create unique index "invoices_number_key" (SQLSTATE 23505); '
    "see `ledger history t017`"
)
TABLES: dict[str, list[dict[str, str]]] = {
    "rollout-status": [
        {
            "database": "t017", "wave": "2", "status": "failed", "attempt": "2", "progress": "-",
            "problem": PROBLEM, "waits_for": "-",
            "try": "ledger rollout retry 9rt93z8h t017 --reason WHY",
        },
        {
            "database": "t018", "wave": "2", "status": "ordered", "attempt": "1", "progress": "-",
            "problem": "-", "waits_for": "no agent in pool us", "try": "ledger-agent run --pool us",
        },
    ],
    "rollout-list": [
        {
            "rollout": "9rt93z8h", "status": "completed", "mode": "up", "databases": "60",
            "applied": "59", "failed": "1", "planned_at": "2026-11-29 14:58:41Z (9 h ago)",
            "by": "migrator", "why": "-",
        },
        {
            "rollout": "t8bmgt5h", "status": "halted", "mode": "up", "databases": "58",
            "applied": "0", "failed": "1", "planned_at": "2026-11-29 15:02:11Z (9 h ago)",
            "by": "migrator", "why": "1 of 1 database failed, the budget is 0",
        },
    ],
    "history": [
        {
            "position": "759", "recorded_at": "2026-11-29 15:02:11Z (9 h ago)",
            "event": "DatabaseRegistered", "what": "t001 and 59 more", "who": "ada (told)",
            "from": "gitlab-ci, job migrate, https://git.example/-/9, on runner-3, "
            "migration-ledger 0.1.0",
            "by": "ledger_ci", "reason": "spring release", "ticket": "CHG-78",
        },
    ],
    "events": [
        {
            "position": "1207", "recorded_at": "2026-11-29 15:02:11Z (9 h ago)",
            "stream": "rollout-9rt93z8h/reports", "event": "MigrationFailed",
            "what": "t017 20260402120000 direction=up could not create unique index",
            "by": "ledger_service", "hash": "6d20e847a1b2",
        },
    ],
}  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_looks_as_it_was_looked_at_and_no_line_is_too_long(name: str, width: int) -> None:
    rows = TABLES[name]
    heading, body = lines_of(list(rows[0]), rows, width)
    lines = [heading, *body]
    text = "".join(f"{line}\n" for line in lines)
    file = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("LEDGER_TEST_TABLES") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    assert [line for line in lines if len(line) > width and "try: " not in line] == []
    for row in rows:
        for column, value in row.items():
            # What is one word, or one command, is in one piece.
            pieces = [value] if column == "try" else value.split()
            assert [one for one in pieces if one not in text] == [], column


def test_values_with_names_are_words_and_each_fits_into_a_line() -> None:
    text = "    what: read=60 unread=0 changed=0 lost=0 duration_ms=7524 databases=60"
    lines = paragraph(text, 40)
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines) == text.strip()


def test_what_stands_between_backticks_is_one_word_and_long_words_are_not_broken() -> None:
    text = f"see {'x' * 90} and `ledger audit verify --at 5` there"
    lines = paragraph(text, 40)
    assert "x" * 90 in " ".join(lines)
    assert any("`ledger audit verify --at 5`" in line for line in lines)


def test_a_name_in_another_script_keeps_the_columns_in_line() -> None:
    rows = [{"a": "数据库", "b": "1"}, {"a": "acme", "b": "2"}]
    _, body = lines_of(["a", "b"], rows, 80)
    assert list(body) == ["数据库  1", "acme    2"]


def test_a_number_stays_with_its_unit_where_a_line_ends() -> None:
    for number in ("0.388 s", "1,200 rows", "12.3 min", "5 ms"):
        for width in range(20, 40):
            told = paragraph(f"wave one of three took about {number}, as far as it is known", width)
            assert number in "\n".join(told), (number, width)
