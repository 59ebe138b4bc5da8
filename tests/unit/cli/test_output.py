"""Data on stdout, in the form that was asked for; everything else on stderr."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from typing import Any
from uuid import UUID

import pytest

from ledger.cli.app.output import SHAPE_VERSION, TOGETHER, Output, OutputFormat

ROWS: list[dict[str, Any]] = [
    {"database": "acme", "labels": {"tier": "gold"}, "reachable": True, "hidden": 1},
    {"database": "bolt", "labels": {}, "reachable": None, "hidden": 2},
]


def write_rows(form: OutputFormat) -> None:
    Output(form).rows(
        "fleet.list", ROWS, ("database", "labels", "reachable"), empty="Nothing.", finished=True
    )


def test_a_table_shows_the_named_columns_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(OutputFormat.TABLE)
    head, acme, bolt = capsys.readouterr().out.splitlines()
    assert head.split() == ["DATABASE", "LABELS", "REACHABLE"]
    assert acme.split() == ["acme", "tier=gold", "yes"]
    assert bolt.split() == ["bolt", "-", "-"]


def test_a_json_document_has_version_kind_and_every_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_rows(OutputFormat.JSON)
    assert json.loads(capsys.readouterr().out) == {
        "version": SHAPE_VERSION,
        "kind": "fleet.list",
        "finished": True,
        "items": ROWS,
    }


def test_ndjson_has_one_whole_document_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(OutputFormat.NDJSON)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"version": SHAPE_VERSION, "kind": "fleet.list", **row} for row in ROWS]


def test_an_empty_list_is_explained_on_stderr_and_is_an_empty_list_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Output(OutputFormat.TABLE).rows("fleet.list", [], ("database",), empty="Nothing.")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "Nothing.\n")
    Output(OutputFormat.JSON).rows("fleet.list", [], ("database",), empty="Nothing.")
    assert json.loads(capsys.readouterr().out)["items"] == []


def test_long_values_are_not_cut_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    Output(OutputFormat.TABLE).rows("x", [{"what": "x" * 500}], ("what",), empty="")
    assert "x" * 500 in capsys.readouterr().out


def test_times_are_shown_in_utc_and_ids_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 11, 23, 6, 30, tzinfo=timezone(timedelta(hours=2)))
    fields = {"at": at, "id": UUID(int=7)}
    Output(OutputFormat.TABLE).record("x", fields)
    assert "2026-11-23 04:30:00" in capsys.readouterr().out
    Output(OutputFormat.JSON).record("x", fields)
    document = json.loads(capsys.readouterr().out)
    assert datetime.fromisoformat(document["at"]) == at.astimezone(UTC)
    assert document["id"] == str(UUID(int=7))


def test_values_are_data_and_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Output(OutputFormat.TABLE).rows("x", [{"what": "[bold]a[/bold] [/nope]"}], ("what",), empty="")
    assert "[bold]a[/bold] [/nope]" in capsys.readouterr().out


def test_a_sheet_has_every_field_once_and_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"a": "=1+1", "b": None, "c": {"k": [1, 2]}, "d": True, "n": -3},
        {"a": 'say "hi",\nthen\x1b[31m', "b": datetime(2026, 1, 1, tzinfo=UTC), "extra": "@x"},
    ]
    Output(OutputFormat.CSV).rows("x", rows, ("b", "a"), empty="")
    head, *body = csv.reader(StringIO(capsys.readouterr().out))
    assert head == ["b", "a", "c", "d", "n", "extra"]
    assert body[0] == ["", "'=1+1", '{"k":[1,2]}', "true", "-3", ""]
    assert body[1][0] == "2026-01-01T00:00:00+00:00"
    assert body[1][1] == 'say "hi",\\nthen\\x1b[31m'
    assert body[1][5] == "'@x"


def test_a_sheet_without_rows_has_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    Output(OutputFormat.CSV).rows("x", [], ("a", "b"), empty="Nothing.")
    assert capsys.readouterr().out == "a,b\n"


def test_items_are_written_as_they_come_and_make_one_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written: list[str] = []

    def rows() -> Iterator[dict[str, int]]:
        for number in range(3 * TOGETHER + 1):
            if number and number % TOGETHER == 0:
                written.append(capsys.readouterr().out)
            yield {"number": number}

    Output(OutputFormat.JSON).rows("x", rows(), ("number",), empty="Nothing.", more=1)
    written.append(capsys.readouterr().out)
    for number in (1, 2):
        assert f'"number":{number * TOGETHER - 1}' in written[number - 1]
    document = json.loads("".join(written))
    assert [row["number"] for row in document["items"]] == list(range(3 * TOGETHER + 1))
    assert (document["kind"], document["more"]) == ("x", 1)
