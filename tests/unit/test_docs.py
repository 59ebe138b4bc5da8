"""The documents say what is there: commands, variables, settings, events, exit codes, files.

What the README and the tutorial show is also run, in `tests/integration/test_readme.py` and
`test_manual.py` beside it, and so are the migrations that the manual shows.
"""

from __future__ import annotations

import ast
import os
import re
import tempfile
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import ledger.telemetry
import migrations.running.telemetry
from agents.cli import AgentExitCode as AgentExitCode
from ledger.cli.app.exits import MEANINGS
from ledger.cli.fleet.file import read_fleet
from ledger.contracts.events import EVENT_TYPES, REQUESTED_BY_OPERATORS
from ledger.contracts.events import EVENTS as KNOWN_EVENTS
from ledger.contracts.registry import Connection
from ledger.contracts.streams import Stream
from ledger.contracts.topics import (
    CANCELS,
    CONTENT,
    HEARTBEATS,
    PARKED,
    REPORTS,
    agents_group,
    commands_topic,
    partitions_of,
)
from ledger.settings import Settings, setting_names, variable, variables
from ledger.settings.sources import TESTS
from migrations.authoring.recipes.cookbook import RECIPES as RECIPES_KNOWN
from migrations.formats.registry import FORMATS as FILE_FORMATS
from migrations.sql import grammar
from ops.reference.regions import TEXTS, documents_with_regions, names_in, renewed
from tests.support.documents import ROOT, Block, Document, commands_in, documents
from tests.support.programs import command_called, every_command, misunderstood

DOCUMENTS = documents()
README = Document(ROOT / "README.md")
CHANGELOG = Document(ROOT / "CHANGELOG.md")
HOUSE = Document(ROOT / "ARCHITECTURE.md")
MANUAL = ROOT / "ops" / "manual"
REFERENCE = MANUAL / "reference"
COMMANDS = Document(REFERENCE / "commands.md")
EVENTS = Document(REFERENCE / "events.md")
EXITS = Document(REFERENCE / "exit-codes.md")
FLEET_FILE = Document(REFERENCE / "fleet-file.md")
FORMATS = Document(REFERENCE / "other-formats.md")
GLOSSARY = Document(MANUAL / "glossary.md")
RECIPES = Document(MANUAL / "how-to" / "write-migrations.md")
SETTINGS = Document(REFERENCE / "settings.md")
TELEMETRY = Document(REFERENCE / "telemetry.md")
TOPICS = Document(REFERENCE / "topics.md")
PACKAGES = ("ledger", "agents", "migrations")


def by_name(document: Document) -> str:
    return document.name


@pytest.mark.parametrize("path", documents_with_regions(), ids=lambda path: path.name)
def test_what_a_document_has_from_the_program_is_what_the_program_says(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert renewed(text) == text, "run `make docs`"


def test_every_text_from_the_program_stands_in_one_document() -> None:
    found = [
        name
        for path in documents_with_regions()
        for name in names_in(path.read_text(encoding="utf-8"))
    ]
    assert sorted(found) == sorted(TEXTS)


def test_a_text_that_the_program_would_not_say_so_is_noticed() -> None:
    text = EXITS.text
    assert renewed(text.replace("| 5 | recorded", "| 5 | forgotten")) == text


def test_the_reference_names_every_command_with_every_option() -> None:
    named = {" ".join(words) for words in COMMANDS.commands()}
    assert [command for command in every_command() if command not in named] == []
    for path in every_command():
        section = COMMANDS.section(path)
        options = {
            name for one in command_called(path).params if not one.hidden for name in one.opts
        }
        assert [name for name in options if name[0] == "-" and f"`{name}`" not in section] == []


def test_the_reference_has_every_event_with_who_writes_it_who_makes_it_and_who_reads_it() -> None:
    for name, event in KNOWN_EVENTS.items():
        section = EVENTS.section(name)
        facts = {line[2:].partition(" ")[0]: line for line in section.splitlines() if "- " in line}
        operators = "`ledger_operator`" in facts["stream"]
        assert operators == (name in REQUESTED_BY_OPERATORS)
        for fact in ("made", "read"):
            files = re.findall(r"`([\w/]+\.py)`", facts[fact])
            # What is said of the ledger itself is for people: no module has to read it.
            for_people = fact == "read" and EVENT_TYPES[name].streams == (Stream.LEDGER,)
            assert files or for_people, (name, fact)
            assert all(name in (ROOT / file).read_text(encoding="utf-8") for file in files)
        assert [field for field in event.model_fields if f"| `{field}` |" not in section] == []


def test_the_reference_knows_who_makes_and_who_reads_what_a_newcomer_asks_first() -> None:
    failed = EVENTS.section("MigrationFailed")
    assert "- made in `agents/reporter.py`" in failed
    assert "`ledger/domain/outcomes.py`" in failed
    ordered = EVENTS.section("MigrationOrdered")
    assert "- made in `ledger/domain/orders.py`" in ordered
    assert "`ledger/leader/relay.py`" in ordered


def test_every_name_of_traces_and_metrics_is_in_the_reference() -> None:
    names = [
        value
        for module in (ledger.telemetry, migrations.running.telemetry)
        for constant, value in vars(module).items()
        if constant.isupper()
        and isinstance(value, str)
        and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", value)
    ]
    assert len(names) > 30
    assert [name for name in names if f"`{name}`" not in TELEMETRY.text] == []


def test_every_format_and_every_recipe_is_documented() -> None:
    names = {name for span in FORMATS.spans() for name in span.split()}
    assert [one.name for one in FILE_FORMATS if one.name not in names] == []
    assert [name for name in RECIPES_KNOWN if f"`{name}`" not in RECIPES.text] == []


def test_the_glossary_has_each_word_once() -> None:
    words = [cells[0] for cells in table_rows(GLOSSARY.text) if cells[0] != "word"]
    assert len(words) == len(set(words)) > 30
    assert {"conductor", "intake", "relay", "order", "command", "journal"} <= set(words)


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
def test_links_between_documents_lead_to_files_and_headings(document: Document) -> None:
    for link in document.links():
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = document.path.parent / path if path else document.path
        assert target.exists(), link
        assert not anchor or anchor in Document(target).anchors(), link


def test_every_document_is_reached_by_links_that_begin_at_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [README.path]
    while ahead:
        path = ahead.pop()
        if path in reached:
            continue
        reached.add(path)
        if path.is_dir():
            ahead += path.glob("*.md")
        elif path.suffix == ".md":
            links = [link.partition("#")[0] for link in Document(path).links() if "://" not in link]
            ahead += [Path(os.path.normpath(path.parent / link)) for link in links if link]
    assert [document.name for document in DOCUMENTS if document.path not in reached] == []


def test_every_runbook_stands_in_the_list_of_runbooks_and_in_the_manual() -> None:
    runbooks = ROOT / "ops" / "runbooks"
    names = {path.name for path in runbooks.glob("*.md")} - {"README.md"}
    for index in (runbooks / "README.md", MANUAL / "how-to" / "README.md"):
        linked = {Path(link.partition("#")[0]).name for link in Document(index).links()}
        assert names - linked == set(), index


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_block_of_code_in_a_document_is_what_it_claims_to_be(document: Document) -> None:
    for block in document.blocks():
        assert block.language in VERIFIED, block
        VERIFIED[block.language](block)


def _shell(block: Block) -> None:
    """Our commands are looked at elsewhere; the others are few, and each is known."""
    for line in block.lines:
        if line.strip() and not list(commands_in(line)):
            assert OTHER_COMMANDS.match(line), line


def _sql(block: Block) -> None:
    grammar.parse(block.text)


def _toml(block: Block) -> None:
    tables = tomllib.loads(block.text)
    known = {name.split(".")[0] for name in setting_names()}
    assert tables.keys() <= known
    for name, value in tables.items():
        sections = [f"{name}.{one}" for one in value] if name in NESTED else []
        assert [one for one in sections if one not in setting_names()] == []


def _yaml(block: Block) -> None:
    """A fleet, a workflow as its file has it, or hooks that there are."""
    held = yaml.safe_load(block.text)
    if "jobs" in held:
        files = (ROOT / "ops" / "github" / "workflows").glob("*.yml")
        assert block.text in [file.read_text(encoding="utf-8") for file in files]
        return
    if "repos" in held:
        known = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
        named = {one["id"] for repo in held["repos"] for one in repo["hooks"]}
        assert named <= {one["id"] for one in known}
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fleet.yaml"
        file.write_text(block.text, encoding="utf-8")
        assert read_fleet(file, "default")


def _python(block: Block) -> None:
    ast.parse(textwrap.dedent(block.text))


def _shown(block: Block) -> None:
    """Output, drawings and vectors: what of it can be run is compared where it is run."""
    assert block.text.strip()


NESTED = ("kafka", "rollout", "agent")
OTHER_COMMANDS = re.compile(
    r"(make|uv tool install|pipx install|pip install|docker compose|git clone"
    r"|python -m ops\.|\.venv/bin/(python|pytest|pip)|timedatectl|chronyc)\b|(export )?[A-Z_]+=|#"
)
VERIFIED: dict[str, Callable[[Block], None]] = {
    "sh": _shell,
    "sql": _sql,
    "toml": _toml,
    "yaml": _yaml,
    "python": _python,
    "text": _shown,
    "": _shown,
}
"""How a block of each language is verified; another language is not written in documents."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_variables_in_a_document_are_known(document: Document) -> None:
    assert document.variables() - variables().keys() == set()


def test_every_variable_is_documented_with_the_settings() -> None:
    assert variables().keys() - SETTINGS.variables() == set()
    assert TESTS.keys() - Document(ROOT / "CONTRIBUTING.md").variables() == set()


def test_every_setting_is_documented_with_its_variable_and_default() -> None:
    rows = {cells[0].strip("`"): cells for cells in table_rows(SETTINGS.text)}
    for name in setting_names():
        assert rows[name][1:3] == [f"`{variable(name)}`", default_of(name)], name


def test_every_topic_is_documented_with_its_partitions_and_group() -> None:
    rows = {cells[0].strip("`"): cells for cells in table_rows(TOPICS.text)}
    pool = "POOL"
    for topic in (commands_topic(pool), CONTENT, REPORTS, CANCELS, HEARTBEATS, PARKED):
        assert rows[topic][1] == str(partitions_of(topic)), topic
    assert agents_group(pool) in rows[commands_topic(pool)][3]


def test_every_exit_code_is_documented_with_its_meaning() -> None:
    rows = {cells[0]: cells[1] for cells in table_rows(EXITS.text) if cells[0].isdigit()}
    assert rows == {str(int(code)): meaning for code, meaning in MEANINGS.items()}
    of_agents = EXITS.text.split("`ledger-agent`")[1]
    assert [int(number) for number in re.findall(r"\d+", of_agents)] == list(AgentExitCode)


def test_every_field_of_the_fleet_file_is_documented() -> None:
    rows = [cells[0].strip("`") for cells in table_rows(FLEET_FILE.text)]
    parts = Connection.at(host="h", database="d", user="u").parts
    # Further schemas stand in the list that begins with the target's own.
    own = parts.keys() - {"further_schemas"}
    assert set(rows[1:]) == {"pool", "labels", "shared_login", "dbname", *own}


def test_what_documents_start_with_make_or_python_exists() -> None:
    text = "\n".join(document.text for document in DOCUMENTS)
    modules = set(re.findall(r"python -m (ops[\w.]+)", text))
    assert modules
    places = {name: ROOT / name.replace(".", "/") for name in modules}
    found = {
        name
        for name, place in places.items()
        if place.with_suffix(".py").exists() or (place / "__main__.py").exists()
    }
    assert modules - found == set()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"[`\n]make (\w+)", text))
    assert {"demo", "test", "check", "docs"} <= targets
    assert [one for one in targets if not re.search(rf"^{one}:", makefile, re.MULTILINE)] == []


def test_the_line_that_runs_the_sql_is_where_the_architecture_says() -> None:
    shown = [block for block in HOUSE.blocks() if block.language == "python"]
    assert shown
    for block in shown:
        place, *lines = block.lines
        code = (ROOT / place.removeprefix("# ")).read_text(encoding="utf-8")
        assert [line for line in lines if line.strip() not in code] == []


def test_a_newcomer_needs_two_links_to_the_line_that_runs_the_sql_and_to_an_event() -> None:
    assert HOUSE.name in README.links()
    assert {"#4-the-agent", EVENTS.name} <= set(HOUSE.links())
    assert "migrationfailed" in EVENTS.anchors()


def test_the_ways_that_the_architecture_draws_lead_through_what_is_there() -> None:
    section = HOUSE.section("Find your way")
    steps = [line.split()[:2] for line in section.splitlines() if re.match(r"\w+/\S+\.\w+ ", line)]
    assert len(steps) > 15
    made = r"async def |def |class |CREATE TABLE ledger\.|### "
    for place, name in steps:
        code = (ROOT / place).read_text(encoding="utf-8")
        assert re.search(rf"^ *(?:(?:{made}){name}\b|{name}: )", code, re.MULTILINE), place


def test_the_changelog_is_read_line_by_line() -> None:
    lines = CHANGELOG.text.splitlines()
    entries = [line for line in lines if line.startswith("- ")]
    assert len(entries) > 40
    assert [line for line in entries if len(line) > CHANGELOG_COLUMNS or line[-1] != "."] == []
    assert [line for line in lines if line.startswith("  ")] == []


CHANGELOG_COLUMNS = 220
"""What is taken in at a glance."""


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


def test_every_room_of_the_house_is_named_in_the_architecture_and_every_room_named_exists() -> None:
    named = {span for span in HOUSE.spans() if re.fullmatch(r"(?:[a-z_]+/)+[a-z_]+", span)}
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    rooms = {
        path.parent.relative_to(ROOT).as_posix()
        for package in ("ledger", "migrations")
        for path in (ROOT / package).glob("*/**/__init__.py")
    }
    assert sorted(rooms - named) == []


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
