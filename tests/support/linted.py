"""A folder of migrations, judged as `ledger lint` judges it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from migrations.formats import Reading
from migrations.formats.bundle import load_folder
from migrations.lint.judgement import Judgement, LintOptions, LintQuestion, judge
from migrations.lint.rule import Evidence
from migrations.lint.squawk import SquawkAnswer, ask_squawk, squawk_here

TODAY = date(2026, 11, 30)
UNASKED = SquawkAnswer(False, problem="squawk was not asked")
UP = "-- +migrate Up\n"


def written(folder: Path, files: Mapping[str, str]) -> Path:
    """The folder with these files."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def linted(
    folder: Path,
    files: Mapping[str, str],
    *,
    judged: Sequence[str] | None = None,
    together: bool = True,
    options: LintOptions | None = None,
    evidence: Evidence | None = None,
    squawk: bool = False,
    format: str | None = None,
) -> Judgement:
    """What is found in these files; `judged` are the names of those that are, all of them if unset.

    `squawk` asks the real one.
    """
    reading = Reading({"schema": "app"}, programs=True)
    migrations = load_folder(written(folder, files), format, reading).migrations
    asked = [
        one
        for one in migrations
        if judged is None or any(file.name in judged for file in one.files)
    ]
    answer = asyncio.run(ask_squawk(asked, squawk_here())) if squawk else UNASKED
    assert answer.answered is squawk, answer.problem
    question = LintQuestion(
        migrations,
        frozenset(one.version for one in asked),
        together,
        TODAY,
        options or LintOptions(),
        evidence,
    )
    return judge(question, answer)


def rules_in(found: Judgement) -> list[str]:
    """The rules that found something, each once."""
    return sorted({one.rule for one in found.findings})
