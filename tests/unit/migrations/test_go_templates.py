"""Templates of Go in files: values are filled, everything else is named as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.errors import LoadError, VariableError
from migrations.formats import Reading
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import Migration
from tests.support.format_samples import TERN, written


def loaded(path: Path, text: str, **variables: str) -> Migration:
    folder = written(path, {"1_a.up.sql": text})
    (migration,) = load_folder(folder, reading=Reading(variables)).migrations
    return migration


@pytest.mark.parametrize(
    "action",
    [
        '{{ index .Options "Namespace" }}',
        '{{index .Options "Namespace"}}',
        "{{ index . `Namespace` }}",
        '{{ index $ "Namespace" }}',
        '{{ index $.Options "Namespace" }}',
        "{{ .Namespace }}",
        "{{ $.Namespace }}",
        "{{Namespace}}",
    ],
)
def test_what_stands_for_a_value_is_filled(tmp_path: Path, action: str) -> None:
    migration = loaded(tmp_path, f"CREATE TABLE {action}.users (id int);\n", Namespace="auth")
    (statement,) = migration.up.statements
    assert "".join(statement.text.split()) == "CREATETABLEauth.users(idint)"
    assert migration.variables == ("Namespace",)


def test_a_dash_takes_the_blanks_beside_it_away(tmp_path: Path) -> None:
    text = "SELECT 1;\nSELECT '  a  {{- .x -}}  b {{ .x }} c'\n, 2;\n"
    migration = loaded(tmp_path, text, x="X")
    assert migration.up.statements[1].text == "SELECT '  aXb X c'\n, 2"


@pytest.mark.parametrize(
    "action", ['{{ index .Options "Namespace" }}', "{{ .Namespace }}", "{{- .Namespace }}"]
)
def test_a_value_that_is_not_declared_is_asked_for_by_name(tmp_path: Path, action: str) -> None:
    with pytest.raises(VariableError, match="variable Namespace is not declared") as refused:
        loaded(tmp_path, f"SELECT 1;\nCREATE TABLE {action}.users (id int);\n")
    assert refused.value.line == 2
    assert "--var Namespace=VALUE" in refused.value.remedy


@pytest.mark.parametrize(
    ("action", "what"),
    [
        ("{{ if .x }}", "an action of a template"),
        ('{{ env "SCHEMA" }}', "an action of a template"),
        ("{{ .x | quote }}", "an action of a template"),
        ('{{ index .Options "a" 1 }}', "an action of a template"),
        ('{{ block "a" . }}', "an action of a template"),
        ("{{/* a comment */}}", "an action of a template"),
        ("{% if x %}", "a tag of a template"),
    ],
)
def test_what_is_no_value_is_named_as_what_it_is(tmp_path: Path, action: str, what: str) -> None:
    with pytest.raises(VariableError) as refused:
        loaded(tmp_path, f"SELECT 1;\nCREATE TABLE {action} t (id int);\n", x="y")
    assert refused.value.line == 2
    assert f"`{action}` is {what} that is not filled here" in refused.value.problem
    assert "{{.name}}" in refused.value.remedy


def test_a_template_in_a_literal_is_data_where_the_tool_fills_none(tmp_path: Path) -> None:
    text = "SELECT 'Hello {{ if .Name }}{{ .Name }}{{ end }}';\n"
    migration = loaded(tmp_path, text)
    assert "{{ if .Name }}" in migration.up.statements[0].text


def test_a_value_stays_one_name_whatever_the_action_is(tmp_path: Path) -> None:
    with pytest.raises(VariableError, match="more than one literal or one name"):
        loaded(tmp_path, 'DROP TABLE {{ index .O "n" }};\n', n="a; DROP TABLE b")


def tern(path: Path, text: str, **variables: str) -> Migration:
    folder = written(path, {"001_a.sql": text})
    (migration,) = load_folder(folder, "tern", reading=Reading(variables)).migrations
    return migration


def test_for_tern_a_template_in_a_literal_is_one_too(tmp_path: Path) -> None:
    migration = tern(tmp_path, "SELECT '{{.prefix}}_a';\n", prefix="p")
    assert migration.up.statements[0].text == "SELECT 'p_a'"
    with pytest.raises(VariableError, match=r"001_a\.sql:1: variable prefix is not declared"):
        tern(tmp_path, "SELECT '{{.prefix}}_a';\n")
    with pytest.raises(VariableError, match="an action of a template"):
        tern(tmp_path, "SELECT '{{ now }}', '{{ .x | upper }}';\n", now="1")


def test_in_terns_way_back_it_breaks_that_alone(tmp_path: Path) -> None:
    text = f"CREATE TABLE t (id int);\n{TERN}\n{{{{ if .x }}}}DROP TABLE t;\n"
    migration = tern(tmp_path, text)
    assert len(migration.up.statements) == 1
    assert migration.down is not None
    assert migration.down.broken.startswith("001_a.sql:3: `{{ if .x }}` is an action")


SHARED = {
    "001_a.sql": f'SELECT 0;\n{{{{ template "shared/f.sql" . }}}}\nSELECT 2;\n{TERN}\nSELECT 3;\n',
    "shared/f.sql": "CREATE TABLE {{.t}} (\n    id int\n);\n-- more\n",
}


def test_tern_takes_files_in_and_lines_are_those_of_the_migration(tmp_path: Path) -> None:
    folder = written(tmp_path, SHARED)
    (one,) = load_folder(folder, reading=Reading({"t": "users"})).migrations
    assert [(statement.line, statement.summary) for statement in one.up.statements] == [
        (1, "SELECT"),
        (2, "CREATE TABLE users"),
        (3, "SELECT"),
    ]
    assert [file.name for file in one.files] == ["001_a.sql", "shared/f.sql"]
    again = load_files("tern", one.files, reading=Reading({"t": "users"}))
    assert again == one
    (folder / "shared/f.sql").write_text("CREATE TABLE {{.t}} (id bigint);\n")
    (other,) = load_folder(folder, reading=Reading({"t": "users"})).migrations
    assert other.up.checksum != one.up.checksum


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("SELECT 1;\nTABEL x;\n", 2, "PostgreSQL's grammar says"),
        ("SELECT 1;\nSELECT 1;\nDROP TABLE {{.t}};\n", 2, "variable t is not declared"),
        ('{{ template "shared/g.sql" . }}\n', 2, "there is no such file"),
        ('{{ template "shared/f.sql" . }}\n', 2, "too deeply"),
    ],
)
def test_what_is_wrong_with_a_file_that_tern_takes_in_is_told_where_it_is_taken_in(
    tmp_path: Path, text: str, line: int, says: str
) -> None:
    folder = written(tmp_path, {**SHARED, "shared/f.sql": text})
    with pytest.raises(LoadError, match=says) as refused:
        load_folder(folder)
    assert (refused.value.file, refused.value.line) == ("001_a.sql", line)
