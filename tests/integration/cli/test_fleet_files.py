"""The fleet as a file: what differs is shown, asked about, and recorded as it was shown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ledger.cli.app.exits import ExitCode
from ledger.cli.fleet.options import EXAMPLE_FILE
from tests.integration.cli.conftest import Fleet
from tests.support.program import LedgerProgram

FILE = """\
pools:
  default: {host: db1, user: "mig_{database}", password: "env:SECRET_{database}"}
databases:
- {database: t1, labels: {tier: gold, old: "yes"}}
- {database: t2, labels: {tier: silver}}
- {database: t3}
"""


async def fleet_events(ledger: LedgerProgram) -> list[tuple[str, object]]:
    answer = await ledger("events", "--stream", "fleet", "-o", "json")
    return [(one["event"], one["body"]["database"]) for one in answer.items]


async def test_a_fleet_follows_its_file(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(FILE)
    shown = await ledger("fleet", "diff", "-f", "fleet.yaml", "-o", "json")
    assert [(one["change"], one["database"]) for one in shown.items] == [
        ("add", "t1"),
        ("add", "t2"),
        ("add", "t3"),
    ]
    unasked = await ledger("fleet", "apply", "-f", "fleet.yaml")
    assert (unasked.code, "--yes" in unasked.err) == (ExitCode.USAGE, True)
    assert await fleet_events(ledger) == []
    made = await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes", "-o", "json")
    assert (made.json["added"], made.json["changed"], made.json["unchanged"]) == (3, 0, 0)
    again = await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes")
    assert "is so already" in again.err
    assert len(await fleet_events(ledger)) == 3

    file.write_text(FILE.replace("- {database: t3}\n", "").replace("tier: silver", "tier: tin"))
    moved = file.read_text().replace("t1,", "t1, host: db9,")
    file.write_text(moved)
    shown = await ledger("fleet", "diff", "-f", "fleet.yaml")
    assert "host: db1 -> db9" in shown.out
    assert "label tier: silver -> tin" in shown.out
    assert "1 database of the fleet not in the file: t3; --prune" in shown.err
    assert (await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes", "--prune")).code == 0
    assert (await fleet_events(ledger))[3:] == [
        ("DatabaseRetired", "t3"),
        ("DatabaseRepointed", "t1"),
        ("DatabaseRelabelled", "t2"),
    ]
    asked = await ledger("events", "--type", "CheckRequested", "-o", "json")
    assert [one["body"]["databases"] for one in asked.items] == [["t1"]]
    file.write_text(FILE)
    refused = await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes")
    assert (refused.code, "'t3' is retired" in refused.err) == (ExitCode.REFUSED, True)


async def test_the_example_of_the_help_can_be_applied_and_imported(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(EXAMPLE_FILE)
    made = await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes", "-o", "ndjson")
    assert [json.loads(line)["database"] for line in made.out.splitlines()] == ["acme", "bolt"]
    (tmp_path / "fleet.yaml").write_text(EXAMPLE_FILE.replace("tier: gold", "tier: tin"))
    refused = await ledger("fleet", "import", "fleet.yaml", "--yes")
    assert refused.code == ExitCode.REFUSED
    assert "differs in labels" in refused.err
    assert "ledger fleet apply -f FILE" in refused.err


@pytest.mark.parametrize("command", ["diff", "apply"])
async def test_all_faults_of_a_file_are_told_at_once(
    ledger: LedgerProgram, installed: str, tmp_path: Path, command: str
) -> None:
    faulty = FILE.replace("t2, labels", "t1, lables").replace("t3}", "t3, password: hunter2}")
    (tmp_path / "fleet.yaml").write_text(faulty)
    answer = await ledger("fleet", command, "-f", "fleet.yaml")
    assert answer.code == ExitCode.USAGE
    assert "line 5: `lables` is not a field of a database; the nearest is `labels`" in answer.err
    assert "line 5: database t1 stands at line 4 already" in answer.err
    assert "line 6: database t3: password must be a reference" in answer.err
    assert "hunter2" not in answer.err + answer.out


async def test_labels_of_all_selected_databases_change_at_once(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(FILE)
    assert (await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes")).code == 0
    words = ("fleet", "label", "-s", "tier", "tier=gold", "old-")
    unasked = await ledger(*words)
    assert (unasked.code, "--yes" in unasked.err) == (ExitCode.USAGE, True)
    done = await ledger(*words, "--yes")
    assert "label tier: silver -> gold" in done.out
    assert "label old: yes -> none" in done.out
    again = await ledger(*words, "--yes", "-o", "json")
    assert (again.json["changed"], again.json["unchanged"]) == (0, 2)
    assert (await fleet_events(ledger))[3:] == [
        ("DatabaseRelabelled", "t1"),
        ("DatabaseRelabelled", "t2"),
    ]
    for wrong, said in (
        (("-s", "teir=gold", "a=b"), "the nearest is tier"),
        (("-s", "tier", "t1", "a=b"), "'t1' is no label"),
        (("-s", "tier", "a=b", "a-"), "a is to be set and taken away"),
        (("-s", "tier"), "lacks "),
    ):
        answer = await ledger("fleet", "label", *wrong, "--yes")
        assert answer.code in (ExitCode.USAGE, ExitCode.REFUSED), wrong
        assert said in answer.err, wrong
    assert (await ledger("fleet", "label", "t3", "a=b", "c=d")).code == 0
    assert (await ledger("fleet", "label", "t3", "a-", "--remove", "c")).code == 0
    assert (await fleet_events(ledger))[5:] == [("DatabaseRelabelled", "t3")] * 2


async def test_one_database_is_shown_with_what_it_has_and_what_happened_last(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path
) -> None:
    before = (await ledger("fleet", "show", "t0", "-o", "json")).json
    assert (before["applied"], before["last_attempt"], before["last_look"]) == ([], None, None)
    assert "nobody has looked at it" in before["notes"][0]
    assert (await ledger("up", "--yes", "--select", "id=t0")).code == 0
    assert (await ledger("fleet", "check", "--select", "id=t0")).code == 0
    after = (await ledger("fleet", "show", "t0", "-o", "json")).json
    assert (after["applied"], after["missing"], after["notes"]) == (["1", "2"], [], [])
    assert (after["last_attempt"]["mode"], after["last_attempt"]["verdict"]) == ("up", "done")
    assert (after["last_look"]["reachable"], after["last_look"]["problem"]) == (True, None)
    assert after["connection"]["password"] == "env:TENANTS"
    shown = await ledger("fleet", "show", "t0")
    for line in ("REGISTERED", "LAST ATTEMPT", "LAST LOOK"):
        assert re.search(rf"{line} +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ \(", shown.out), line
    assert fleet.password not in shown.out
    unknown = await ledger("fleet", "show", "t9")
    assert (unknown.code, "'t9'" in unknown.err) == (ExitCode.REFUSED, True)


async def test_a_look_is_not_judged_by_what_became_known_after_it(
    ledger: LedgerProgram, fleet: Fleet, migrations: Path
) -> None:
    async def look() -> dict[str, Any]:
        found: dict[str, Any] = (await ledger("fleet", "show", "t0", "-o", "json")).json
        return {name: found["last_look"][name] for name in ("problem", "overtaken")}

    assert (await ledger("fleet", "check", "-s", "id=t0")).code == 0
    assert await look() == {"problem": None, "overtaken": False}
    assert (await ledger("up", "--yes")).code == 0
    assert await look() == {"problem": None, "overtaken": True}
    shown = (await ledger("fleet", "show", "t0")).out
    assert "no migration was in its journal; that was before the last change" in shown
    assert "reinstate" not in shown
    assert (await ledger("fleet", "check", "-s", "id=t0")).code == 0
    assert await look() == {"problem": None, "overtaken": False}
    assert (await ledger("fleet", "label", "t0", "tier=gold")).code == 0
    assert await look() == {"problem": None, "overtaken": False}, "a look is about no label"
    (migrations / "9_more.sql").write_text("-- +migrate Up\nSELECT 1;\n-- +migrate Down\n")
    assert (await ledger("up", "--yes")).code == 0
    assert await look() == {"problem": None, "overtaken": True}
    assert "its journal ended in" in (await ledger("fleet", "show", "t0")).out


async def test_a_request_of_several_kinds_is_told_by_each_of_them(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(FILE)
    assert (await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes")).code == 0
    changed = FILE.replace("- {database: t3}\n", "").replace("gold", "tin").replace("silver", "tin")
    file.write_text(changed)
    assert (await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes", "--prune")).code == 0
    newest, first = (await ledger("history", "-o", "json")).items
    assert newest["what"] == "t3 retired, 2 relabelled"
    assert newest["kinds"] == {"DatabaseRetired": 1, "DatabaseRelabelled": 2}
    # Alike in kind, they are one with how many more.
    assert first["what"].startswith("t1 ")
    assert first["what"].endswith(" and 2 more")
    assert (first["databases"], newest["databases"]) == (3, None)


async def test_what_was_so_already_is_said_to_be_as_it_was_and_who_left_is_still_shown_whole(
    ledger: LedgerProgram, installed: str, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(FILE)
    assert (await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes")).code == 0
    events = await fleet_events(ledger)
    for words in (["nolabel-"], ["tier=gold"], ["tier=gold", "nolabel-"]):
        assert (
            "t1: labelled like this already, as it was"
            in (await ledger("fleet", "label", "t1", *words)).out
        )
    assert await fleet_events(ledger) == events
    assert "t1: relabelled" in (await ledger("fleet", "label", "t1", "tier=tin")).out
    for verb, said in (("suspend", "t2: suspended"), ("retire", "t2: retired")):
        assert f"{said};" in (await ledger("fleet", verb, "t2", "--yes")).out
        assert f"{said} already, as it was;" in (await ledger("fleet", verb, "t2", "--yes")).out
    refused = await ledger("fleet", "apply", "-f", "fleet.yaml", "--yes")
    assert refused.code == ExitCode.REFUSED
    assert "take it out of the file (line 5), or register it under a new id" in refused.err
    for words in (["suspend", "t2"], ["label", "t2", "a=b"]):
        assert "`ledger fleet show t2` shows what it had" in (await ledger("fleet", *words)).err
