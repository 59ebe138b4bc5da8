"""Files that cannot be read: each kind of fault in our own words, with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ledger.cli.fleet.file import read_fleet
from ledger.errors import FleetFileError
from ledger.settings import SettingsError, load
from ledger.settings.model import Settings

LIBRARIES = re.compile(
    r"Input should|valid (integer|string|number|boolean)|Extra inputs|Field required"
    r"|unable to parse|at end of document|Expected|while (parsing|scanning)|could not|\(at line"
)
"""Words of the libraries that read."""
VALUES = {
    "a text": '"many"',
    "a number": "5",
    "a fraction": "2.5",
    "a huge number": "9" * 40,
    "less than nothing": "-7",
    "true": "true",
    "no number": "nan",
    "endless": "inf",
    "a list": '["a", 1]',
    "a table": "{a = 1}",
    "a day": "2026-11-30",
    "nothing": '""',
}


@pytest.fixture(autouse=True)
def nothing_else_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    monkeypatch.delenv("LEDGER_DATABASE_URL", raising=False)


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


@pytest.mark.parametrize("kind", VALUES)
def test_every_setting_says_in_our_words_what_is_wrong_with_a_value_of_a_wrong_kind(
    tmp_path: Path, kind: str
) -> None:
    file, wrong = tmp_path / "ours.toml", []
    for name, _ in settings_of(Settings):
        file.write_text(f"{name} = {VALUES[kind]}\n")
        try:
            load({}, file)
        except SettingsError as error:
            said = str(error)
            if LIBRARIES.search(said) or name not in said or str(file) not in said:
                wrong.append(said)
    assert not wrong, "\n".join(wrong)


def test_every_number_among_the_settings_has_an_end() -> None:
    for name, field in settings_of(Settings):
        if re.search(r"\b(int|float)\b", str(field.annotation)):
            limits = [*field.metadata, *getattr(field.annotation, "__metadata__", ())]
            assert any(getattr(one, "le", None) is not None for one in limits), name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[monitoring]\nport = "x"', "monitoring.port .* it is no whole number"),
        ("[monitoring]\nport = true", "monitoring.port .* it is true or false, where a number"),
        ("[monitoring]\nport = 70000", "monitoring.port .* at most 65,535"),
        ('[rollout]\nwhen_spent = "cry"', "rollout.when_spent .* it can be 'halt' or 'rollback'"),
        ("[rollout]\nin_flight = 0", "rollout.in_flight .* it can be 1 or more"),
        ("[rollout]\nexpiry_s = 1e300", "rollout.expiry_s .* it can be at most 31,622,400"),
        ("[rollout]\nwaves = 3", "rollout.waves .* it is no text; write it in quotes"),
        ("rollout = 5", r"sets rollout, which is a table of settings; write \[rollout\]"),
        ("[variables]\nx = 5", r"variables.x \(from .*\) is wrong: it is neither a text"),
        ('[variables]\nx = {label = ""}', "variables.x .* it is neither a text in quotes nor"),
        ('[kafka]\nbootstrap = ":9"', "kafka.bootstrap .* ':9' has no host"),
        ("insecure_bus = 7", "insecure_bus .* it is neither true nor false"),
        ('name = ""', "name .* it is empty"),
        ("qqqq = 1", "sets qqqq, which is no setting; `ledger config show` has all of them"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said) as refused:
        load({}, file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pool", "line 1, at the end of the file: an `=` is missing"),
        ("\n[agent]\n\tname 5", "line 3, column 7: an `=` is missing"),
        ("pool = ", "line 1, at the end of the file: behind the `=` is no value"),
        ("pool = a", "line 1, column 8: behind the `=` is no value"),
        ("insecure_bus = True", "line 1, column 16: behind the `=` is no value"),
        ('pool = "a', "line 1, at the end of the file: a quote is not closed"),
        ("pool = 'a", "a quote is not closed"),
        ('pool = "a\nname = "b"', "line 1, column 10: a quote is not closed on its line"),
        ("[agent", "a `]` is missing"),
        ("pool = 1 2", "line 1, column 10: something stands behind a value"),
        ('pool = "\\q"', r"line 1, column \d+: a `\\` in double quotes means nothing there"),
        ("[[x]", "a `]` is missing"),
        ("pool = [1", "a (bracket is not closed|value)|a bracket|no value"),
        ("= 1", "line 1, column 1: a name is missing"),
        ('pool = "a"\n\nname = "x"\npool = "b"\n', "line 4: a name or a table is there twice"),
        ("[agent]\n[kafka]\n[agent]\nname = 1", "line 3: a name or a table is there twice"),
        ('pool = "a\x00"', "a character is there that no text can have"),
        ("x = " + "[" * 5000, "it has too many parts within parts|is no value"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line_and_what_to_write(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "ours.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said) as refused:
        load({}, file)
    assert f"{file} is not TOML" in str(refused.value)
    assert not LIBRARIES.search(str(refused.value))


def test_a_file_of_settings_that_is_no_text_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "ours.toml"
    file.write_bytes(b"name = '\xff'")
    with pytest.raises(SettingsError, match=r"cannot be read \(it is no text in UTF-8\)"):
        load({}, file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("databases:\n\t- a: b", "line 2 is not YAML: it begins with a tab; write spaces"),
        ("databases: a: b", "line 1 is not YAML: a `:` stands where none can be"),
        ("databases:\n  - {database: a", r"line \d is not YAML: a `,`, or the bracket"),
        ("databases:\n- {database: a, host: ]}", "line 2 is not YAML: "),
        ('databases:\n- host: "x', "line 2 is not YAML: a quote is not closed"),
        ('databases:\n- host: "\\q"', "line 2 is not YAML: a text in double quotes has a"),
        ("databases:\n- host: *x", "line 2 is not YAML: `\\*` begins an alias"),
        ("databases:\n- host: @x", "line 2 is not YAML: a text that begins with such a sign"),
        ("databases: []\n- a", "line 2 is not YAML: it is indented otherwise"),
        ("databases: []\n---\ndatabases: []", "not YAML: another document begins"),
        ("databases: []\nx: \x01", "line 2 is not YAML: a character is there that no text"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line_and_what_to_write(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(text)
    with pytest.raises(FleetFileError, match=said) as refused:
        read_fleet(file, "default")
    assert not LIBRARIES.search(str(refused.value))
