"""`-- ledger:ignore RULE reason`: what it lets pass, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.lint.finding import Severity
from migrations.lint.judgement import LintOptions
from tests.support.linted import UP, linted, rules_in, written

DROP = "DROP TABLE shops;"


def found(folder: Path, text: str) -> list[str]:
    return rules_in(linted(folder, {"1_a.sql": f"{UP}{text}\n"}))


@pytest.mark.parametrize(
    "text",
    [
        f"-- ledger:ignore drop-table nobody reads it\n{DROP}",
        f"--ledger:ignore drop-table nobody reads it\n{DROP}",
        f"--\tledger:ignore\tdrop-table nobody reads it\n{DROP}".replace("\tdrop", " drop"),
        f"{DROP} -- ledger:ignore drop-table nobody reads it",
        f"-- ledger:ignore drop-table,rename-table nobody\nALTER TABLE a RENAME TO b; {DROP}",
        "DROP TABLE\n    -- ledger:ignore drop-table nobody reads it\n    shops;",
        f"-- ledger:ignore drop-table nobody reads it\n\n-- Another word.\n{DROP}",
        f"-- ledger:ignore drop-table nobody reads it until=2026-11-30\n{DROP}",
        f"-- ledger:ignore drop-table until=2027-01-01 nobody reads it\n{DROP}",
        f"SELECT 'a;\n\n';\n-- ledger:ignore drop-table nobody reads it\n{DROP}",
        f"-- ledger:ignore drop-table é ü\n{DROP}",
    ],
)
def test_what_is_ignored_with_a_reason_is_not_found_but_told(tmp_path: Path, text: str) -> None:
    judged = linted(tmp_path, {"1_a.sql": f"{UP}{text}\n"})
    assert "drop-table" not in rules_in(judged)
    assert not {"unused-ignore", "wrong-ignore", "expired-ignore"} & set(rules_in(judged)) or (
        "rename-table" in text
    )
    assert "drop-table" in {one.rule for one, _ in judged.ignored}


def test_the_reason_is_kept_without_its_day(tmp_path: Path) -> None:
    text = f"{UP}-- ledger:ignore drop-table nobody until=2027-01-01 reads it\n{DROP}\n"
    ((_, reason),) = linted(tmp_path, {"1_a.sql": text}).ignored
    assert reason == "nobody reads it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-- ledger:ignore", "it names no rule"),
        ("-- ledger:ignore drop-table", "it gives no reason"),
        ("-- ledger:ignore drop-table until=2027-01-01", "it gives no reason"),
        ("-- ledger:ignore drop-table !!", "it gives no reason"),
        ("-- ledger:ignore drop-tabel a word", "the nearest is drop-table"),
        ("-- ledger:ignore ban-drop-table a word", "there is no rule 'ban-drop-table'"),
        ("-- ledger:ignore drop-table a word until=soon", "until=soon is no day"),
        ("-- ledger:ignore drop-table a word until=2027-02-30", "until=2027-02-30 is no day"),
        ("-- ledger:ignore drop-table a until=2027-01-01 until=2027-01-02", "is no day"),
    ],
)
def test_what_cannot_be_understood_ignores_nothing_and_is_found(
    tmp_path: Path, text: str, said: str
) -> None:
    judged = linted(tmp_path, {"1_a.sql": f"{UP}{text}\n{DROP}\n"})
    assert rules_in(judged) == ["drop-table", "wrong-ignore"]
    (wrong,) = (one for one in judged.findings if one.rule == "wrong-ignore")
    assert said in wrong.what
    assert (wrong.severity, wrong.line) == (Severity.ERROR, 2)


def test_one_whose_day_has_passed_is_found_and_so_is_what_it_was_for(tmp_path: Path) -> None:
    text = f"-- ledger:ignore drop-table nobody reads it until=2026-11-29\n{DROP}"
    assert found(tmp_path, text) == ["drop-table", "expired-ignore"]


@pytest.mark.parametrize(
    "text",
    [
        "-- ledger:ignore drop-table nobody reads it\nSELECT 1;",
        f"{DROP}\nSELECT 1;\n-- ledger:ignore drop-table it stands behind it",
        f"-- ledger:ignore drop-table it is about the next one\nSELECT 1;\n{DROP}",
        f"-- ledger:ignore drop-table,drop-column a word\n{DROP}",
        "SELECT 1;\n-- +migrate Down\n-- ledger:ignore drop-table a way back\nDROP TABLE a;",
    ],
)
def test_one_that_catches_nothing_is_found(tmp_path: Path, text: str) -> None:
    assert "unused-ignore" in found(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '-- ledger:ignore drop-table in a text';",
        "SELECT '\n-- ledger:ignore drop-table in a text\n';",
        "SELECT $$\n-- ledger:ignore drop-table in a body\n$$;",
        "/*\n-- ledger:ignore drop-table in a comment\n*/\nSELECT 1;",
    ],
)
def test_what_only_looks_like_one_is_none(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []
    assert found(tmp_path / "before", f"{text}\n{DROP}") == ["drop-table"]


def test_one_for_a_rule_that_nobody_asked_is_not_called_unused(tmp_path: Path) -> None:
    text = f"{UP}-- ledger:ignore reindex-blocks at night\nREINDEX TABLE users;\n"
    assert linted(tmp_path, {"1_a.sql": text}).findings == ()
    asked = linted(tmp_path, {"1_a.sql": text}, squawk=True)
    assert [one.rule for one, _ in asked.ignored] == ["reindex-blocks"]
    off = f"{UP}-- ledger:ignore drop-table a word\n{DROP}\n"
    options = LintOptions({"drop-table": "off"})
    assert linted(tmp_path, {"1_a.sql": off}, options=options).findings == ()


def test_comments_of_files_that_are_not_judged_are_not_looked_at(tmp_path: Path) -> None:
    files = {
        "1_a.sql": f"{UP}-- ledger:ignore drop-table a word\nSELECT 1;\n",
        "2_b.sql": f"{UP}SELECT 2;\n",
    }
    assert linted(tmp_path, files, judged=["2_b.sql"]).findings == ()
    assert rules_in(linted(tmp_path, files)) == ["unused-ignore"]


def test_what_is_wrong_with_comments_can_be_set_off_and_not_ignored(tmp_path: Path) -> None:
    comments = "-- ledger:ignore unused-ignore a word\n-- ledger:ignore drop-table a word\n"
    text = f"{UP}{comments}SELECT 1;\n"
    assert rules_in(linted(tmp_path, {"1_a.sql": text})) == ["unused-ignore"]
    options = LintOptions({"unused-ignore": "off"})
    assert linted(tmp_path, {"1_a.sql": text}, options=options).findings == ()


def test_the_folder_is_only_read(tmp_path: Path) -> None:
    folder = written(tmp_path, {"1_a.sql": f"{UP}{DROP}\n"})
    linted(folder, {})
    assert [path.name for path in folder.iterdir()] == ["1_a.sql"]
