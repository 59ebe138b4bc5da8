"""Placeholders in the files that a rehearsal plays are filled as in migrations, or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.errors import SqlSyntaxError, VariableError
from migrations.formats.bundle import load_files
from migrations.model.migration import SourceFile
from migrations.rehearsal.fixtures import Fixtures, load_fixtures

ONE = load_files("sql-migrate", [SourceFile("001_m.sql", b"-- +migrate Up\nSELECT 1;\n")])


def loaded(folder: Path, values: dict[str, str] | None = None) -> Fixtures:
    return load_fixtures(folder, [ONE], needed=True, variables=values)


def test_values_stand_in_rows_and_checks_and_lines_stay_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "before.sql").write_text("CREATE ROLE ${app};\n")
    (tmp_path / "001.before.sql").write_text("\nINSERT INTO {{schema}}.t VALUES ('${app}');\n")
    (tmp_path / "001.after.sql").write_text(
        "SELECT count(*) = 1 FROM ${schema}.t;\n"
        "-- ledger:expect no rows\nSELECT '${other}' WHERE 1=0;\n"
    )
    found = loaded(tmp_path, {"app": "shop", "schema": "acme"})
    assert found.first is not None
    assert [one.text for one in found.first.statements] == ["CREATE ROLE shop"]
    (row,) = found.before["001"].statements
    assert (row.text, row.line) == ("INSERT INTO acme.t VALUES ('shop')", 2)
    first, second = found.after["001"].checks
    assert first.statement.text == "SELECT count(*) = 1 FROM acme.t"
    # What nobody has declared is data.
    assert second.statement.text == "SELECT '${other}' WHERE 1=0"
    assert (second.statement.line, second.rows) == (3, 0)


def test_what_is_not_declared_and_no_data_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "001.before.sql").write_text("SELECT 1;\nINSERT INTO ${schema}.t VALUES (1);\n")
    with pytest.raises(VariableError, match="variable schema is not declared") as error:
        loaded(tmp_path)
    assert error.value.line == 2


def test_a_value_is_one_literal_or_one_name(tmp_path: Path) -> None:
    (tmp_path / "001.before.sql").write_text("INSERT INTO t VALUES (${n});\n")
    with pytest.raises(VariableError, match="more than one literal"):
        loaded(tmp_path, {"n": "1); DROP TABLE t; --"})


def test_what_is_no_sql_is_still_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "001.after.sql").write_text("SELEC 1;\n")
    with pytest.raises(SqlSyntaxError):
        loaded(tmp_path, {"n": "1"})
