"""Where settings come from: merges the sources, keeps the origins, refuses what nobody knows.

    flags  over  LEDGER_* variables  over  a file: --config, else ./ledger.toml  over  the user's

A name that nobody knows is an error that offers the nearest known one, because a setting that is
silently ignored is worse than one that is missing. `./ledger.toml` is found, not named: it comes
with a folder that somebody else may have written, so it may say what describes the project and
nothing that decides what runs here, whom we trust, or where secrets go. What keeps a rollout safe
it may only make stricter than the user's own file does (`ledger.settings.strictness`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from ledger.contracts.validation import message_of
from ledger.settings.address import masked
from ledger.settings.errors import SettingsError
from ledger.settings.model import OF_THE_PROJECT, LabelVariable, Settings
from ledger.settings.notify import NotifyTarget
from ledger.settings.sections import PREFIX, SharedSettings
from ledger.settings.strictness import NEVER_BEYOND_DEFAULT, is_weaker
from ledger.settings.toml_file import read_toml
from migrations.likeness import nearest

PROJECT_FILE = "ledger.toml"
TESTS = {
    "LEDGER_TEST_KAFKA": "a broker that the tests may use, instead of an embedded one",
    "LEDGER_TEST_PG": "a PostgreSQL server that the tests may use, instead of an embedded one",
    "LEDGER_TEST_PG_RELEASE": "the release of the embedded PostgreSQL server, instead of 18",
}
"""Variables that the tests and make read."""
_OPEN = ("variables.", "lint.severity.", "lint.phases.", "notify.targets.")
"""Tables whose names are not those of settings; what stands in them is looked at by its users."""
_BETWEEN = {
    "agent.secret_roots": os.pathsep,
    "agent.sockets": os.pathsep,
    "agent.secrets": "; ",
    "preflight.windows": "; ",
    "notify.routes": "; ",
}
"""What stands between the parts of a list, if no comma does: as its variable is written."""

Model = TypeVar("Model", bound=SharedSettings)


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting with its value, masked where it is secret, and where that came from."""

    setting: str
    value: str | int | float | bool | None
    origin: str
    variable: str
    description: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings and the origin of each."""

    settings: Settings
    origins: tuple[Origin, ...]


def load(flags: Mapping[str, Any], file: Path | None = None) -> LoadedSettings:
    """Merge and check all sources of `ledger`.

    `flags` maps dotted names (`kafka.bootstrap`) to what the command line said. `file` replaces
    `./ledger.toml`, and may set everything. Raises `SettingsError` for unknown names, unreadable
    files, wrong values, and for what a project's file may not decide.
    """
    settings, origins = _merged(Settings, [*_told(Settings, flags), *_files(file)])
    return LoadedSettings(settings, tuple(_origins(settings, origins)))


def load_shared(
    flags: Mapping[str, Any], names: Mapping[str, str] = MappingProxyType({})
) -> SharedSettings:
    """Merge and check what `ledger-agent` reads: flags over variables, and no file.

    `names` are what flags are called that are not called as their setting. Raises `SettingsError`.
    """
    return _merged(SharedSettings, _told(SharedSettings, flags, names))[0]


def user_file() -> Path:
    """The user's own settings file, in the folder where this system keeps such files."""
    return Path(typer.get_app_dir("migration-ledger")) / PROJECT_FILE


def variable(setting: str) -> str:
    """The variable that sets the dotted name `setting`."""
    return PREFIX + setting.replace(".", "_").upper()


def setting_names() -> dict[str, str]:
    """Every setting's dotted name with its description."""
    return {name: description for name, description, _ in _fields(Settings, "")}


def variables() -> dict[str, str]:
    """Every `LEDGER_*` variable that a program of ours reads, with what it is for."""
    return {variable(name): said for name, said in setting_names().items()} | TESTS


def _told(
    model: type[SharedSettings],
    flags: Mapping[str, Any],
    names: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[str, Any]]:
    """What was said for this one run: origins with values by dotted name, strongest first."""
    known = variables()
    for name in sorted(os.environ):
        # Also in other letters: what nobody reads is not silently ignored.
        if name.upper().startswith(PREFIX) and name not in known:
            raise SettingsError(
                f"{name} is no variable that this program knows; "
                f"{_nearest(name.upper(), known)}unset it"
            )
    for name, value in flags.items():
        called = names.get(name, name.replace(".", "-").replace("_", "-"))
        yield f"flag --{called}", {name: value}
    for name, value in _flat(dict(_environment(model)), ""):
        yield f"variable {variable(name)}", {name: value}


def _environment(model: type[SharedSettings]) -> Iterator[tuple[str, Any]]:
    """What variables say, by dotted name; an empty one says nothing. Raises `SettingsError`."""
    for name, _, _ in _fields(model, ""):
        said = os.environ.get(variable(name))
        if not said:
            continue
        try:
            yield name, json.loads(said) if f"{name}." in _OPEN else said
        except ValueError:
            raise SettingsError(
                f"{variable(name)} is no JSON object; write "
                """{"name": "value"}, with double quotes"""
            ) from None


def _files(file: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """What stands in files, strongest first."""
    if file is not None and not file.is_file():
        raise SettingsError(f"there is no settings file {file}; check the path after --config")
    own = _read(user_file()) if user_file().is_file() else {}
    if file is not None:
        yield str(file), _read(file)
    elif (project := Path(PROJECT_FILE)).is_file():
        values = _read(project)
        if not (user_file().is_file() and project.samefile(user_file())):
            _refuse_what_is_not_the_projects(values)
            yield from _in_place_of_weaker(values, own)
        yield str(project), values
    if own:
        yield str(user_file()), own


def _in_place_of_weaker(
    values: Mapping[str, Any], own: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What counts before a project's file: each value that keeps a rollout safer than its own."""
    for entry in values:
        name = _setting_of(entry)
        if entry not in own and name not in NEVER_BEYOND_DEFAULT:
            continue
        origin = str(user_file()) if entry in own else "default"
        safer = _typed(entry, origin, own if entry in own else {})
        if is_weaker(name, _typed(entry, PROJECT_FILE, values), safer):
            yield f"{origin}, because {PROJECT_FILE} asks for less", {entry: safer}


def _typed(entry: str, origin: str, values: Mapping[str, Any]) -> Any:
    """One setting as these values have it, checked; the default where they are silent."""
    said = {entry: values[entry]} if entry in values else {}
    value: Any = _merged(Settings, [(origin, said)])[0]
    name = _setting_of(entry)
    for part in name.split("."):
        value = getattr(value, part)
    return value if name == entry else value[entry.removeprefix(f"{name}.")]


def _setting_of(entry: str) -> str:
    """Of a table with names of its own, the table is the setting."""
    return next((one[:-1] for one in _OPEN if entry.startswith(one)), entry)


def _refuse_what_is_not_the_projects(values: Iterable[str]) -> None:
    for entry in values:
        name = _setting_of(entry)
        if name.partition(".")[0] not in OF_THE_PROJECT:
            raise SettingsError(
                f"{PROJECT_FILE} in this folder sets {name}, which no folder may decide: whoever "
                f"wrote it would choose what runs here or where secrets go. Set {variable(name)}, "
                f"or write it into {user_file()}; or, if this file is your own, name it: "
                f"--config {PROJECT_FILE}"
            )


def _read(path: Path) -> dict[str, Any]:
    content = read_toml(path)
    values = dict(_flat(content, ""))
    known = setting_names()
    for name in values:
        if any(one.startswith(f"{name}.") for one in known) or f"{name}." in _OPEN:
            raise SettingsError(
                f"{path} sets {name}, which is a table of settings; write [{name}], and its "
                "settings below that"
            )
        if name not in known and not name.startswith(_OPEN):
            raise SettingsError(
                f"{path} sets {_printable(name)}, which is no setting; {_nearest(name, known)}"
                "`ledger config show` has all of them"
            )
    return values


def _nearest(name: str, known: Mapping[str, str]) -> str:
    """What was probably meant, as the beginning of what there is to do."""
    near = nearest(name, known)
    return f"the nearest is {near}: write that, or " if near else ""


def _printable(name: str) -> str:
    """A name that somebody else wrote, with nothing in it that a terminal would obey."""
    return ascii(name)[1:-1]


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and prefix not in _OPEN:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, bool]]:
    """Dotted name, description, and whether it is a secret, of every setting."""
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{key}.")
        else:
            secret = "SecretStr" in str(field.annotation)
            yield f"{prefix}{key}", field.description or "", secret


def _merged(
    model: type[Model], sources: Iterable[tuple[str, dict[str, Any]]]
) -> tuple[Model, dict[str, str]]:
    """The checked settings and the origin of each, by dotted name."""
    nested: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, values in sources:
        for name in values.keys() - origins.keys():
            origins[name] = origin
            # Names in open tables may have dots of their own.
            head = next((one for one in _OPEN if name.startswith(one)), "")
            *path, last = (
                [*head.split(".")[:-1], name.removeprefix(head)] if head else name.split(".")
            )
            table = nested
            for part in path:
                table = table.setdefault(part, {})
            table[last] = values[name]
    try:
        return model(**nested), origins
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name, said = ".".join(str(part) for part in problem["loc"] if isinstance(part, str)), ""
        # Behind the name of a variable stands which of its forms was tried.
        forms = (
            one for one in origins if one.startswith("variables.") and name.startswith(f"{one}.")
        )
        called = next(forms, name)
        if called != name:
            said = 'it is neither a text in quotes nor {label = "LABEL", sample = "VALUE"}'
        raise SettingsError(
            f"{_printable(called)} (from {_origin_around(called, origins)}) is wrong: "
            f"{said or message_of(problem)}; correct it there"
        ) from None


def _origins(settings: Settings, origins: Mapping[str, str]) -> Iterator[Origin]:
    for name, description, secret in _fields(Settings, ""):
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        yield Origin(
            name,
            _shown(name, value, secret),
            origins.get(name) or _origin_below(name, origins),
            variable(name),
            description,
        )


def _origin_around(name: str, origins: Mapping[str, str]) -> str:
    """Where a value comes from, or the nearest table around it that somebody wrote."""
    parts = name.split(".")
    around = (".".join(parts[:number]) for number in range(len(parts), 0, -1))
    return next((origins[one] for one in around if one in origins), "the settings")


def _origin_below(name: str, origins: Mapping[str, str]) -> str:
    """Where the entries of a table come from, each place once."""
    found = [origin for one, origin in origins.items() if one.startswith(f"{name}.")]
    return ", ".join(dict.fromkeys(found)) or "default"


def _shown(setting: str, value: Any, secret: bool) -> str | int | float | bool | None:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if secret:
        return masked(value.get_secret_value())
    if isinstance(value, dict):
        return ", ".join(f"{name}={_entry_shown(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        return _BETWEEN.get(setting, ",").join(str(part) for part in value)
    return str(value)


def _entry_shown(value: str | tuple[str, ...] | LabelVariable | NotifyTarget) -> str:
    """An entry of an open table: a text, a list of words, a variable by its label, a target."""
    match value:
        case str():
            return value
        case tuple():
            return "+".join(value)
        case NotifyTarget():
            return f"({value})"
        case _:
            return f"label {value.label}"
