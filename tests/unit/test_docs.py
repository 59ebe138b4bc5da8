"""The documents say what is there: commands, variables, settings, exit codes, files.

What the README shows is also run, in `tests/integration/test_readme.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.cli import AgentExitCode as AgentExitCode
from ledger.cli.app.exits import MEANINGS
from ledger.contracts.registry import Connection
from ledger.contracts.topics import (
    CONTENT,
    HEARTBEATS,
    PARKED,
    REPORTS,
    agents_group,
    commands_topic,
    partitions_of,
)
from ledger.contracts.variables import TESTS, VARIABLES
from ledger.settings import Settings, setting_names, variable
from tests.support.documents import ROOT, Document, commands_in, documents
from tests.support.programs import every_command, misunderstood

DOCUMENTS = documents()
README = Document(ROOT / "README.md")
HOUSE = Document(ROOT / "ARCHITECTURE.md")
SETTINGS = Document(ROOT / "ops" / "settings.md")
PACKAGES = ("ledger", "agents", "migrations")


def by_name(document: Document) -> str:
    return document.name


def test_the_readme_names_every_command() -> None:
    named = {" ".join(words) for words in README.commands()}
    assert [command for command in every_command() if command not in named] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_command_in_a_document_exists_with_its_options(document: Document) -> None:
    wrong = {
        " ".join(words): problem
        for words in document.commands()
        if (problem := misunderstood(words)) is not None
    }
    assert wrong == {}


def test_every_command_that_a_message_or_a_help_text_names_exists() -> None:
    wrong = {
        f"{place}: {' '.join(words)}": problem
        for place, words in commands_in_code()
        if (problem := misunderstood(words)) is not None
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "line",
    [
        "ledger fleet destroy",
        "ledger up --fast",
        "ledger rollout start 7c1e",
        "ledger fleet list -x",
        "ledger-agent serve",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    (words,) = commands_in(line)
    assert misunderstood(words) is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_links_between_documents_lead_to_files(document: Document) -> None:
    relative = [link.partition("#")[0] for link in document.links() if "://" not in link]
    assert [link for link in relative if not (document.path.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_variables_in_a_document_are_known(document: Document) -> None:
    assert document.variables() - VARIABLES.keys() == set()


def test_every_variable_is_documented_with_the_settings() -> None:
    assert VARIABLES.keys() - SETTINGS.variables() == set()
    assert TESTS.keys() - Document(ROOT / "CONTRIBUTING.md").variables() == set()


def test_every_setting_is_documented_with_its_variable_and_default() -> None:
    text = SETTINGS.text.replace(SETTINGS.section("The fleet file"), "")
    rows = {cells[0].strip("`"): cells for cells in table_rows(text)}
    for name in setting_names():
        assert rows[name][1:3] == [f"`{variable(name)}`", default_of(name)], name


def test_every_topic_is_documented_with_its_partitions_and_group() -> None:
    rows = {cells[0].strip("`"): cells for cells in table_rows(SETTINGS.text)}
    pool = "POOL"
    for topic in (commands_topic(pool), CONTENT, REPORTS, HEARTBEATS, PARKED):
        assert rows[topic][1] == str(partitions_of(topic)), topic
    assert agents_group(pool) in rows[commands_topic(pool)][3]


def test_every_exit_code_is_documented_with_its_meaning() -> None:
    section = README.section("Exit codes")
    found = [cells for cells in table_rows(section) if cells[0].isdigit()]
    rows = {cells[0]: cells[1].replace("`--timeout`", "--timeout") for cells in found}
    assert rows == {str(int(code)): meaning for code, meaning in MEANINGS.items()}
    of_agents = section.split("`ledger-agent`")[1]
    assert [int(number) for number in re.findall(r"\d+", of_agents)] == list(AgentExitCode)


def test_every_field_of_the_fleet_file_is_documented() -> None:
    rows = [cells[0].strip("`") for cells in table_rows(SETTINGS.section("The fleet file"))]
    assert set(rows[1:]) == {"database", "pool", "labels", *Connection.model_fields}


def test_what_documents_start_with_make_or_python_exists() -> None:
    text = "\n".join(document.text for document in DOCUMENTS)
    modules = set(re.findall(r"python -m (ops[\w.]+)", text))
    assert modules
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"[`\n]make (\w+)", text))
    assert {"demo", "test", "check"} <= targets
    assert [one for one in targets if not re.search(rf"^{one}:", makefile, re.MULTILINE)] == []


def test_the_line_that_runs_the_sql_is_where_the_architecture_says() -> None:
    shown = [block for block in HOUSE.blocks() if block.language == "python"]
    assert shown
    for block in shown:
        place, *lines = block.lines
        code = (ROOT / place.removeprefix("# ")).read_text(encoding="utf-8")
        assert [line for line in lines if line.strip() not in code] == []


def test_decisions_have_their_four_parts() -> None:
    decisions = sorted((ROOT / "ops" / "decisions").glob("*.md"))
    assert decisions
    # Branches take their numbers before they are merged, so that one may still be missing.
    numbers = [path.name.partition("-")[0] for path in decisions]
    assert all(re.fullmatch(r"\d{4}", number) for number in numbers)
    assert len(set(numbers)) == len(numbers)
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        order = [title for title in headings if title in PARTS]
        assert order == list(PARTS), path.name


PARTS = ("Context", "Options", "Choice", "What it costs")


def test_files_that_the_architecture_names_exist() -> None:
    named = [span for span in HOUSE.spans() if re.fullmatch(r"[\w./-]+\.(py|sql|md|toml)", span)]
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).is_file()] == []


def commands_in_code() -> Iterator[tuple[str, list[str]]]:
    """What stands between backticks in the strings of our packages and calls a program of ours."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for text in _strings(path):
                for span in re.findall(r"`([^`\n]+)`", text):
                    for words in commands_in(span):
                        yield path.relative_to(ROOT).as_posix(), words


def _strings(path: Path) -> Iterator[str]:
    """Texts of a module; what an f-string computes is a word in its place."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "X" for part in node.values)
            yield "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and id(node) not in inside:
            yield str(node.value)


def table_rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def default_of(setting: str) -> str:
    """A setting's default as the documents write it."""
    value: object = Settings()
    for part in setting.split("."):
        value = getattr(value, part)
    if value is None or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
