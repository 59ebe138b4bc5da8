"""Every rule finds what it is about, in its line, and lets what is right pass."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from migrations.authoring.recipes.cookbook import RECIPES
from migrations.lint.finding import Severity
from migrations.lint.judgement import Judgement, LintOptions
from migrations.lint.rule import Rule
from migrations.lint.rules import BY_SQUAWK, OF_TRACES, REGISTRY, constraints
from migrations.lint.rules.style import LEFT_ALONE
from migrations.model.phases import Phase
from tests.support.lint_cases import CASES as USUAL
from tests.support.lint_cases import USERS, LintCase
from tests.support.lint_cases_of_names import NAME_CASES
from tests.support.linted import UP, linted, rules_in

CASES = (*USUAL, *NAME_CASES)
ABOUT_COMMENTS = {"unused-ignore", "expired-ignore", "wrong-ignore"}
ABOUT_FILES = {"unreadable"}
ABOUT_TRACES = {rule.id for rule in OF_TRACES}
"""In `test_silence`, with what a trace sees."""
NAMES = [f"{case.rule}-{number}" for number, case in enumerate(CASES)]


def found_in(folder: Path, case: LintCase, text: str, phase: str = "") -> Judgement:
    options = LintOptions({case.rule: "error"}, per_schema=case.schema_per_tenant)
    files = {"1_before.sql": UP + USERS}
    if phase:
        files |= {f"2_change.{one}.sql": f"{UP}SELECT 1;\n" for one in Phase}
    name = f"2_change.{phase}.sql" if phase else "2_change.sql"
    files[name] = (text if text.startswith("-- +migrate Up") else UP + text) + "\n"
    squawk = REGISTRY[case.rule].from_squawk
    return linted(folder, files, judged=[name], options=options, squawk=squawk)


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == (
        REGISTRY.keys() - ABOUT_COMMENTS - ABOUT_FILES - ABOUT_TRACES
    )


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_is_wrong_is_found_in_its_line_and_once(tmp_path: Path, case: LintCase) -> None:
    found = found_in(tmp_path, case, case.wrong)
    places = [(one.file, one.line) for one in found.findings if one.rule == case.rule]
    # The marker is the file's first line.
    assert places == [("2_change.sql", case.at + 1)]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_is_right_is_let_pass(tmp_path: Path, case: LintCase) -> None:
    assert case.rule not in rules_in(found_in(tmp_path, case, case.right))


@pytest.mark.parametrize(
    "case", [case for case in CASES if REGISTRY[case.rule].quiet_in], ids=lambda case: case.rule
)
def test_what_takes_away_is_found_in_expand_and_let_pass_in_contract(
    tmp_path: Path, case: LintCase
) -> None:
    assert case.rule in rules_in(found_in(tmp_path / "e", case, case.wrong, Phase.EXPAND))
    assert case.rule not in rules_in(found_in(tmp_path / "c", case, case.wrong, Phase.CONTRACT))


@pytest.mark.parametrize("rule", REGISTRY.values(), ids=lambda rule: rule.id)
def test_every_rule_says_why_and_what_to_write(rule: Rule) -> None:
    assert rule.why.endswith(".")
    assert rule.rewrite.endswith(".")
    assert rule.recipe in ("", *RECIPES)
    assert set(rule.quiet_in) <= set(Phase)
    assert rule.kinds or rule.look is None


def test_every_word_of_squawk_has_one_meaning_here_or_is_left_alone() -> None:
    named = [name for rule in REGISTRY.values() for name in rule.squawk]
    assert sorted(named) == sorted(BY_SQUAWK)
    assert not LEFT_ALONE & BY_SQUAWK.keys()


def test_what_is_a_matter_of_taste_is_off(tmp_path: Path) -> None:
    text = "CREATE TABLE a (id serial PRIMARY KEY, b json, c char(3), d varchar(9), e timestamp);"
    assert linted(tmp_path, {"1_a.sql": f"{UP}{text}\n"}, squawk=True).findings == ()


def test_a_rule_takes_the_severity_of_the_settings(tmp_path: Path) -> None:
    files = {"1_a.sql": f"{UP}DROP TABLE a;\n"}
    softer = linted(tmp_path, files, options=LintOptions({"drop-table": "info"}))
    assert [one.severity for one in softer.findings] == [Severity.INFO]
    assert linted(tmp_path, files, options=LintOptions({"drop-table": "off"})).findings == ()


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("CREATE UNIQUE INDEX i ON users (region);", "unique-index --table users --column region"),
        ("CREATE INDEX i ON users (age);", "index-concurrently --table users --column age"),
        ("ALTER TABLE users ADD UNIQUE (age);", "unique-index --table users --column age"),
        ("ALTER TABLE users ADD UNIQUE (age, name);", "unique-index"),
        ("ALTER TABLE teams ADD PRIMARY KEY (code);", "unique-index --table teams --column code"),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON users (age);", "unique-index"),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON events (n);", "unique-index"),
    ],
)
def test_what_keeps_values_apart_is_written_by_a_recipe_that_does(
    tmp_path: Path, text: str, recipe: str
) -> None:
    files = {"1_before.sql": UP + USERS, "2_change.sql": f"{UP}{text}\n"}
    found = linted(tmp_path, files, judged=["2_change.sql"])
    named = [one.recipe for one in found.findings if one.recipe]
    assert named == [f"ledger create NAME --recipe {recipe}"]


def test_a_statement_without_foreign_keys_looks_back_at_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks_back = Mock(wraps=constraints._locked_by_keys)
    monkeypatch.setattr(constraints, "_locked_by_keys", looks_back)
    made = "".join(f"CREATE TABLE t{n} (id bigint PRIMARY KEY);\n" for n in range(50))
    linted(tmp_path, {"1_dump.sql": UP + made})
    assert looks_back.call_count == 50
