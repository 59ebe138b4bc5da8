"""squawk: what it says comes back in our words, and whatever goes wrong with it costs its rules."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from migrations.formats.bundle import load_folder
from migrations.lint.squawk import FILES_AT_ONCE, SquawkAnswer, ask_squawk, squawk_here
from tests.support.lint_cases import CASES
from tests.support.linted import UP, linted, written
from tests.support.patience import PATIENCE_S
from tests.support.processes import is_gone, until

MANY = FILES_AT_ONCE + 1


def asked(
    folder: Path, program: str | None, files: Mapping[str, str] | None = None
) -> SquawkAnswer:
    texts = {"1_a.sql": f"{UP}REINDEX TABLE a;\n"} if files is None else files
    migrations = load_folder(written(folder / "migrations", texts)).migrations
    return asyncio.run(ask_squawk(migrations, program, timeout_s=PATIENCE_S))


def stand_in(folder: Path, answer: str, version: str = "squawk 2.70.0") -> str:
    """A program that says which version it is, and then does this."""
    folder.mkdir(exist_ok=True)
    path = folder / "squawk"
    path.write_text(
        f"#!{sys.executable}\nimport os, signal, sys, time\n"
        f"if sys.argv[1] == '--version':\n    print({version!r})\n    sys.exit()\n{answer}\n"
    )
    path.chmod(0o755)
    return str(path)


def one_finding(**changes: Any) -> str:
    said = {
        "file": "000000.sql",
        "line": 0,
        "column": 0,
        "level": "Warning",
        "message": "It is not good.",
        "rule_name": "require-concurrent-reindex",
    }
    return f"print({json.dumps(json.dumps([said | changes]))})\nsys.exit(1)"


def test_without_it_its_rules_are_named_as_missing(tmp_path: Path) -> None:
    answer = asked(tmp_path, None)
    assert (answer.answered, answer.problem) == (False, "squawk is not installed")
    found = linted(tmp_path / "migrations", {})
    assert "reindex-blocks" in found.missing
    assert linted(tmp_path / "migrations", {}, squawk=True).missing == ()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("sys.exit(101)", "squawk ended with exit code 101"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "squawk ended with signal 11"),
        ("print('[')\nsys.exit(1)", "what squawk says cannot be read"),
        ("print('{}')", "what squawk says cannot be read"),
        ("print('[1]')", "what squawk says cannot be read"),
        ("print('[' * 100_000)", "what squawk says cannot be read"),
        ("", "what squawk says cannot be read"),
        (one_finding(line="first"), "what squawk says cannot be read"),
        (one_finding(line=-1), "what squawk says cannot be read"),
        (one_finding(file="elsewhere.sql"), "what squawk says cannot be read"),
        ("while True: sys.stdout.write('x' * 2**20)", "squawk says more than can be read"),
    ],
)
def test_one_that_fails_is_told_in_a_sentence(tmp_path: Path, answer: str, said: str) -> None:
    found = asked(tmp_path, stand_in(tmp_path / "bin", answer))
    assert (found.answered, found.problem, found.findings) == (False, said, ())


def test_one_that_hangs_is_ended_with_whatever_it_started(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    pid = tmp_path / "pid"
    hanging = (
        "import subprocess\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid)!r}, 'w').write(str(child.pid))\ntime.sleep(600)"
    )
    migrations = load_folder(
        written(tmp_path / "migrations", {"1_a.sql": f"{UP}SELECT 1;\n"})
    ).migrations
    program = stand_in(tmp_path / "bin", hanging)

    # Where the machine is so busy that it did not come to start anything, it is given more.
    for within_s in (2.0, 10.0, PATIENCE_S):
        answer = asyncio.run(ask_squawk(migrations, program, timeout_s=within_s))
        assert answer.problem == f"squawk did not end within {within_s:.0f} s"
        if pid.exists() and pid.read_text():
            break
    child = int(pid.read_text())
    asyncio.run(until(lambda: is_gone(child), "what it started has ended"))


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("squawk 1.4.0", "squawk is version 1.4.0, and version 2 is what is known"),
        ("squawk 3.0.1", "squawk is version 3.0.1, and version 2 is what is known"),
        ("sql query 2.70.0", "does not say that it is squawk"),
        ("", "does not say that it is squawk"),
    ],
)
def test_another_version_is_not_believed(tmp_path: Path, version: str, said: str) -> None:
    found = asked(tmp_path, stand_in(tmp_path / "bin", one_finding(), version))
    assert not found.answered
    assert said in found.problem


def test_one_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    program = tmp_path / "squawk"
    program.write_text("no program")
    assert asked(tmp_path, str(program)).problem == "squawk cannot be started (Permission denied)"
    program.chmod(0o755)
    assert "squawk cannot be started" in asked(tmp_path, str(program)).problem


def test_a_rule_that_is_not_known_is_told_and_not_found(tmp_path: Path) -> None:
    answer = asked(tmp_path, stand_in(tmp_path / "bin", one_finding(rule_name="ban-mondays")))
    assert answer.answered
    assert answer.problem == "squawk speaks of rules that are not known here: ban-mondays"


def test_the_real_one_is_not_led_by_settings_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".squawk.toml").write_text('excluded_rules = ["require-concurrent-reindex"]\n')
    monkeypatch.chdir(tmp_path)
    assert [one.rule for one in asked(tmp_path, squawk_here()).findings if "reindex" in one.rule]


def places(answer: SquawkAnswer, rule: str) -> Sequence[tuple[str, int, int]]:
    return [(one.version, one.number, one.offset) for one in answer.findings if one.rule == rule]


def test_the_real_one_says_which_statement_it_means(tmp_path: Path) -> None:
    text = (
        "SELECT 'é;\n\n';\nREINDEX TABLE a; REINDEX TABLE b;\n"
        "ALTER TABLE é\n    ADD COLUMN a json,\n    ADD COLUMN é int; -- trailing\n"
        "SELECT 1 -- without an end"
    )
    answer = asked(tmp_path, squawk_here(), {"1_a.sql": f"{UP}{text}\n", "2_b.sql": UP})
    assert places(answer, "require-concurrent-reindex") == [("1", 1, 0), ("1", 2, 0)]
    ((_, number, offset),) = places(answer, "prefer-bigint-over-int")
    assert number == 3
    assert offset > len("ALTER TABLE é\n    ADD COLUMN a json,\n".encode())


def test_the_real_one_reads_more_files_than_fit_on_one_command_line(tmp_path: Path) -> None:
    files = {f"{number}_a.sql": f"{UP}REINDEX TABLE a;\n" for number in range(1, MANY + 1)}
    answer = asked(tmp_path, squawk_here(), files)
    assert len(places(answer, "require-concurrent-reindex")) == MANY


def test_all_rules_that_the_real_one_knows_have_a_meaning_here(tmp_path: Path) -> None:
    texts = [text for case in CASES for text in (case.wrong, case.right)]
    files = {
        f"{number}_a.sql": text if text.startswith("-- +migrate") else UP + text
        for number, text in enumerate(texts, 1)
    }
    answer = asked(tmp_path, squawk_here(), files)
    assert (answer.answered, answer.problem) == (True, "")


def test_it_is_given_nothing_that_is_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_DATABASE_URL", "postgresql://u:secret@localhost/x")
    kept = tmp_path / "environment"
    asked(tmp_path, stand_in(tmp_path / "bin", f"open({str(kept)!r}, 'w').write(repr(os.environ))"))
    assert "secret" not in kept.read_text()
    assert os.environ["LEDGER_DATABASE_URL"]
