"""`ledger lint`: what is judged, in which form it is told, and how it ends."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from tests.integration.cli.conftest import Fleet
from tests.support.installed import installed
from tests.support.program import Answer, LedgerProgram

UP = "-- +migrate Up\n"
TABLE = f"{UP}CREATE TABLE parcels (id bigint PRIMARY KEY, weight int);\n"
INDEX = f"{UP}CREATE INDEX by_weight ON parcels (weight);\n"
WARNED = f"{UP}DROP TABLE crates;\n"
HOSTILE = 'a\n::error::b\x1b[31m\u202e%0A,"<c>'
LOUD = HOSTILE.replace('"', '""')

PLACE = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    "properties": {"uri": {"type": "string", "pattern": "^[A-Za-z0-9/._~%-]+$"}},
                    "additionalProperties": False,
                },
                "region": {
                    "type": "object",
                    "properties": {"startLine": {"type": "integer", "minimum": 1}},
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}
TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
}
SARIF = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {"type": "object", "required": ["id"]},
                                    }
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "invocations": {
                        "type": "array",
                        "items": {"type": "object", "required": ["executionSuccessful"]},
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId", "level", "locations"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": TEXT,
                                "locations": {"type": "array", "items": PLACE},
                                "partialFingerprints": {
                                    "type": "object",
                                    "additionalProperties": {"type": "string"},
                                },
                                "suppressions": {
                                    "type": "array",
                                    "items": {
                                        "type": "object",
                                        "required": ["kind"],
                                        "properties": {
                                            "kind": {"enum": ["inSource", "external"]},
                                            "justification": {"type": "string"},
                                        },
                                        "additionalProperties": False,
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""Those parts of the schema of SARIF 2.1.0 that are written, as the standard has them."""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes files into the folder that the program looks for."""

    def written(**files: str) -> Path:
        folder = tmp_path / "migrations"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name.lstrip('v')}.sql").write_text(text)
        return folder

    return written


def rules(answer: Answer) -> list[tuple[str, str]]:
    return sorted((one["file"], one["rule"]) for one in answer.items)


async def test_a_person_reads_file_line_reason_and_way_out(
    ledger: LedgerProgram, write: Callable[..., Path]
) -> None:
    write(v1_a=WARNED, v2_b=INDEX)
    answer = await ledger("lint")
    assert answer.code == 1
    assert answer.out.splitlines() == [
        "migrations/2_b.sql",
        "  line 2: error, index-blocks-writes: CREATE INDEX on parcels without CONCURRENTLY",
        "    Nobody can write to the table for as long as the index is built.",
        "    Write CREATE INDEX CONCURRENTLY, in a file of its own: it then runs outside of a "
        "transaction. On a partitioned table: CREATE INDEX … ON ONLY the parent, CREATE INDEX "
        "CONCURRENTLY on each partition, then ALTER INDEX … ATTACH PARTITION for each.",
        "    ledger create NAME --recipe index-concurrently --table parcels --column weight",
        "",
        "migrations/1_a.sql",
        "  line 2: warning, drop-table: table crates is dropped",
        "    The data are gone. Programs of the last release fail from this moment until the last "
        "of them is gone.",
        "    Leave it until no program uses it, and take it away in the contract phase of its "
        "change (`NAME.contract.sql`).",
        "",
        "1 error, 1 warning in 2 files.",
    ]
    assert "no ledger is named that knows which are applied" in answer.err


async def test_the_exit_code_follows_the_worst_finding_and_the_limit(
    ledger: LedgerProgram, write: Callable[..., Path], tmp_path: Path
) -> None:
    write(v1_a=WARNED)
    assert (await ledger("lint")).code == 0
    assert (await ledger("lint", "--fail-on", "warning")).code == 1
    (tmp_path / "ledger.toml").write_text('[lint]\nfail_on = "warning"\n')
    assert (await ledger("lint")).code == 1
    assert (await ledger("lint", "--fail-on", "never")).code == 0
    (tmp_path / "ledger.toml").write_text('[lint.severity]\ndrop-table = "off"\n')
    answer = await ledger("lint", "--fail-on", "info")
    assert (answer.code, answer.out) == (0, "Nothing was found.\n")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            '[lint.severity]\ndrop-tabel = "off"',
            "lint.severity names 'drop-tabel', which is no rule",
        ),
        ('[lint.severity]\n"drop.table" = "off"', "the nearest is drop-table"),
        ('[lint.severity]\ndrop-table = "bad"', "lint.severity.drop-table"),
        ('[lint.phases]\ndrop-colum = ["contract"]', "the nearest is drop-column"),
        ('[lint.phases]\ndrop-column = ["later"]', "lint.phases.drop-column"),
        ("[lint]\nfail-on = 1", "the nearest is lint.fail_on"),
        ("[lint.limits]\nlock_timeout = 3", "the nearest is lint.limits.lock_timeout_s"),
        ("[lint.limits]\nparents = 0", "lint.limits.parents"),
    ],
)
async def test_a_setting_that_means_nothing_is_refused_with_the_nearest(
    ledger: LedgerProgram, write: Callable[..., Path], tmp_path: Path, settings: str, said: str
) -> None:
    write(v1_a=WARNED)
    (tmp_path / "ledger.toml").write_text(settings + "\n")
    answer = await ledger("lint")
    assert answer.code == 2
    assert said in answer.err


async def test_phases_in_which_a_rule_is_silent_are_the_projects(
    ledger: LedgerProgram, write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write()
    for phase in ("expand", "migrate", "contract"):
        (folder / f"1_a.{phase}.sql").write_text(WARNED)
    said = rules(await ledger("lint", "-o", "json"))
    assert [Path(file).name for file, _ in said] == ["1_a.expand.sql", "1_a.migrate.sql"]
    (tmp_path / "ledger.toml").write_text('[lint.phases]\ndrop-table = ["migrate"]\n')
    said = rules(await ledger("lint", "-o", "json"))
    assert [Path(file).name for file, _ in said] == ["1_a.contract.sql", "1_a.expand.sql"]


async def test_what_cannot_be_read_is_a_finding_too(
    ledger: LedgerProgram, write: Callable[..., Path]
) -> None:
    write(v1_a=f"{UP}SELECT 1;\nSELEC 2;\n")
    answer = await ledger("lint", "-o", "github", "--fail-on", "error")
    assert answer.code == 1
    assert answer.out.startswith("::error file=migrations/1_a.sql,line=3,title=unreadable::")
    missing = await ledger("lint", "nowhere")
    assert (missing.code, missing.out) == (2, "")
    assert "there is no file nowhere" in missing.err


async def test_files_can_be_named(
    ledger: LedgerProgram, write: Callable[..., Path], tmp_path: Path
) -> None:
    write(v1_a=WARNED, v2_b=TABLE, v3_c=INDEX)
    named = await ledger("lint", "migrations/3_c.sql", "-o", "json")
    assert rules(named) == [("migrations/3_c.sql", "index-blocks-writes")]
    both = await ledger("lint", "migrations/2_b.sql", "migrations/3_c.sql", "-o", "json")
    assert rules(both) == []
    (tmp_path / "notes.txt").write_text("")
    other = await ledger("lint", "notes.txt")
    assert other.code == 2


async def test_what_a_branch_adds_is_what_changed_since_it_left(
    ledger: LedgerProgram, write: Callable[..., Path], tmp_path: Path
) -> None:
    git = installed("git")

    def run(*words: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run([git, *name, *words], cwd=tmp_path, check=True, capture_output=True)

    write(v1_a=WARNED, v2_b=TABLE)
    for words in (
        ("init", "-b", "main"),
        ("add", "."),
        ("commit", "-m", "a"),
        ("switch", "-c", "b"),
    ):
        run(*words)
    write(v3_c=INDEX)
    run("add", ".")
    run("commit", "-m", "b")
    write(v4_d=f"{UP}CREATE INDEX again ON parcels (weight);\n")
    answer = await ledger("lint", "--since", "main", "-o", "json")
    assert rules(answer) == [
        ("migrations/3_c.sql", "index-blocks-writes"),
        ("migrations/4_d.sql", "index-blocks-writes"),
    ]
    assert answer.json["judged"] == "2 migrations that changed since main"
    for ref in ("elsewhere", "--output=x"):
        wrong = await ledger("lint", f"--since={ref}")
        assert wrong.code == 2
        assert "git knows no commit" in wrong.err


async def test_files_of_several_folders_are_named_as_they_are_found(
    ledger: LedgerProgram, tmp_path: Path
) -> None:
    for name, text in (("base/sql/1_a.sql", TABLE), ("tenant/sql/2_b.sql", WARNED)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    answer = await ledger("lint", "base/sql:tenant/sql", "-o", "json")
    assert rules(answer) == [("tenant/sql/2_b.sql", "drop-table")]


async def test_of_all_files_each_is_judged_as_if_those_before_it_were_applied(
    ledger: LedgerProgram, write: Callable[..., Path]
) -> None:
    write(v1_a=TABLE, v2_b=INDEX)
    assert rules(await ledger("lint", "-o", "json")) == []
    found = await ledger("lint", "--all", "-o", "json")
    assert rules(found) == [("migrations/2_b.sql", "index-blocks-writes")]


async def test_json_has_what_was_judged_counted_ignored_and_missing(
    ledger: LedgerProgram, write: Callable[..., Path], tmp_path: Path
) -> None:
    write(v1_a=f"{UP}-- ledger:ignore drop-table nobody reads it\nDROP TABLE crates;\n", v2_b=INDEX)
    (tmp_path / "ledger.toml").write_text("[lint]\nsquawk = false\n")
    document = (await ledger("lint", "-o", "json")).json
    assert (document["version"], document["kind"]) == (1, "lint")
    assert document["counts"] == {"error": 1, "warning": 0, "info": 0}
    ((ignored,), (found,)) = document["ignored"], document["items"]
    assert (ignored["rule"], ignored["reason"]) == ("drop-table", "nobody reads it")
    assert found["recipe"].startswith("ledger create NAME --recipe index-concurrently")
    assert found["line"] == 2
    assert "reindex-blocks" in document["rules_missing"]
    assert document["squawk"]["problem"] == "squawk is switched off by the settings"
    (tmp_path / "ledger.toml").unlink()
    with_squawk = (await ledger("lint", "-o", "json")).json
    assert with_squawk["rules_missing"] == []
    assert with_squawk["squawk"]["release"].startswith("2.")


async def test_sarif_has_the_shape_of_its_standard(
    ledger: LedgerProgram, write: Callable[..., Path]
) -> None:
    folder = write(v1_a=f"{UP}-- ledger:ignore drop-table nobody\nDROP TABLE crates;\n")
    (folder / "2_b%20 é.sql").write_text(INDEX)
    answer = await ledger("lint", "-o", "sarif")
    document = answer.json
    jsonschema.validate(document, SARIF)
    (run,) = document["runs"]
    found, suppressed = run["results"]
    assert uri_of(found) == "migrations/2_b%20 é.sql"
    assert run["tool"]["driver"]["rules"][found["ruleIndex"]]["id"] == "index-blocks-writes"
    assert suppressed["suppressions"] == [{"kind": "inSource", "justification": "nobody"}]


def uri_of(result: dict[str, Any]) -> str:
    return unquote(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv", "sarif", "github"])
async def test_names_that_would_deceive_are_escaped_in_every_form(
    ledger: LedgerProgram, write: Callable[..., Path], form: str
) -> None:
    text = (
        f"{UP}-- ledger:ignore drop-table because of {HOSTILE.splitlines()[1]}\n"
        f'DROP TABLE "{LOUD}";\n'
        f'ALTER TABLE "{LOUD}" RENAME COLUMN "{LOUD}" TO "b";\n'
        f'CREATE INDEX ON "{LOUD}" ("{LOUD}");\n-- ledger:ignore {HOSTILE[2:]} x\nSELECT 1;\n'
    )
    write(v1_a=text)
    answer = await ledger("lint", "-o", form)
    assert answer.code == 1
    for said in (answer.out, answer.err):
        assert "\x1b" not in said
        assert "\u202e" not in said
    if form == "github":
        assert all(line.startswith(("::error file=", "::warning file=")) for line in
                   answer.out.splitlines())  # fmt: skip
        assert "%250A" in answer.out
    if form == "table":
        assert not any(line.startswith("::error") for line in answer.out.splitlines())
    if form == "json":
        # Escaped on the way, it means what it was.
        assert any(HOSTILE in one["what"] for one in answer.items)


async def test_with_a_ledger_only_what_some_database_lacks_is_judged(
    ledger: LedgerProgram, write: Callable[..., Path], fleet: Fleet
) -> None:
    write(v1_a=TABLE)
    assert (await ledger("up", "--yes")).code == 0
    write(v2_b=INDEX, v3_c=f"{UP}CREATE TABLE fresh (id int);\n")
    write(v4_d=f"{UP}CREATE INDEX ON fresh (id);\n")
    answer = await ledger("lint", "-o", "json")
    assert answer.json["judged"] == "3 migrations of 4 that some database lacks"
    assert rules(answer) == [("migrations/2_b.sql", "index-blocks-writes")]
    write(v2_b=INDEX.replace("INDEX", "INDEX CONCURRENTLY"))
    assert (await ledger("up", "--yes")).code == 0
    assert (await ledger("lint", "-o", "json")).json["judged"].startswith("0 migrations of 4")
    everything = await ledger("lint", "--all", "-o", "json")
    assert rules(everything) == [("migrations/4_d.sql", "index-blocks-writes")]


async def test_a_ledger_that_cannot_say_leaves_all_files_to_be_judged(
    ledger: LedgerProgram, write: Callable[..., Path], installed: str, environment: dict[str, str]
) -> None:
    write(v1_a=INDEX)
    empty = await ledger("lint", "-o", "json")
    assert rules(empty) == [("migrations/1_a.sql", "index-blocks-writes")]
    assert "the ledger cannot say what is applied" in empty.json["judged"]
    environment["LEDGER_DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    away = await ledger("lint", "-o", "json")
    assert rules(away) == [("migrations/1_a.sql", "index-blocks-writes")]
    assert "the ledger cannot say what is applied" in away.json["judged"]
