"""Output that cannot be written: no outage, no traceback; one sentence, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.cli.app.exits import ExitCode
from ledger.cli.app.start import FAILED, INTERRUPTED, is_for_program

LEDGER = "from ledger.cli.app.start import main; main()"
AGENT = "from agents.cli import main; main()"
FULL = Path("/dev/full")


def run(program: str, words: Sequence[str], out: str) -> tuple[int, str]:
    """Run it with standard output led away by a shell; the exit code and what stderr holds."""
    answer = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {out}', "sh", sys.executable, "-c", program, *words],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "LEDGER_DATABASE_URL": "postgresql://a@127.0.0.1:1/a"},
    )
    return answer.returncode, answer.stderr


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    ("program", "words"),
    [
        (LEDGER, ["version"]),
        (LEDGER, ["config", "show"]),
        (LEDGER, ["--help"]),
        (LEDGER, ["up", "--help"]),
        (LEDGER, ["--version"]),
        (AGENT, ["--version"]),
    ],
)
def test_a_full_standard_output_is_told_and_fails(program: str, words: list[str]) -> None:
    code, said = run(program, words, "> /dev/full")
    assert code == ExitCode.FAILED
    assert "standard output takes nothing (No space left on device)" in said
    assert said.count("\n") == 1


def test_a_closed_standard_output_is_told_where_something_was_to_be_written() -> None:
    code, said = run(LEDGER, ["version"], ">&-")
    assert (code, said.count("\n")) == (ExitCode.FAILED, 1)
    assert "standard output takes nothing (Bad file descriptor)" in said


def test_what_writes_nothing_does_not_miss_a_closed_standard_output() -> None:
    code, said = run(LEDGER, ["status"], ">&-")
    assert code == ExitCode.UNREACHABLE
    assert "nobody listens there" in said


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_programs_are_told_in_json_that_their_answer_was_lost() -> None:
    code, said = run(LEDGER, ["version", "-o", "json"], "> /dev/full")
    told = json.loads(said)
    assert (code, told["kind"], told["exit_code"]) == (1, "error", 1)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["up", "--nosuch"], "--nosuch"),
        (["upp"], "upp"),
        (["down", "many"], "'many' is no whole number"),
        (["resolve", "t0"], "MIGRATION"),
        (["fleet", "add", "\x1b[31m"], "control characters"),
    ],
)
def test_what_is_no_command_line_is_told_programs_as_one_object(
    words: list[str], named: str
) -> None:
    code, said = run(LEDGER, [*words, "-o", "json"], "")
    told = json.loads(said)
    assert (code, told["kind"], told["exit_code"]) == (ExitCode.USAGE, "error", ExitCode.USAGE)
    assert named in told["error"]


@pytest.mark.parametrize("words", [["config", "show"], ["--help"], ["version", "-o", "json"]])
def test_a_reader_who_has_seen_enough_changes_no_exit_code(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        answer = subprocess.run(
            [sys.executable, "-c", LEDGER, *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (answer.returncode, answer.stderr) == (0, b"")


def test_a_closed_standard_error_hides_no_answer() -> None:
    answer = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", LEDGER, "version"],
        stdout=subprocess.PIPE,
        check=False,
    )
    assert (answer.returncode, answer.stdout.startswith(b"MIGRATION-LEDGER")) == (0, True)


@pytest.mark.parametrize(
    ("words", "for_program"),
    [
        (["status", "-o", "json"], True),
        (["status", "--output", "ndjson"], True),
        (["status", "--output=json"], True),
        (["status", "-ojson"], True),
        (["status", "-o=json"], True),
        (["status"], False),
        (["status", "-o", "table"], False),
        (["history", "json"], False),
        (["fleet", "add", "json", "--host", "ndjson"], False),
    ],
)
def test_the_command_line_says_for_whom_errors_are(words: list[str], for_program: bool) -> None:
    assert is_for_program(words) is for_program


def test_the_codes_of_the_beginning_are_those_of_the_program() -> None:
    assert (FAILED, INTERRUPTED) == (ExitCode.FAILED, ExitCode.INTERRUPTED)
