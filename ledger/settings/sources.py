"""Where settings come from: merges the sources, keeps the origins, refuses what nobody knows.

A name that nobody knows is an error that offers the nearest known one, because a setting that is
silently ignored is worse than one that is missing.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import typer
from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource

from ledger.contracts.variables import VARIABLES
from ledger.errors import SettingsError
from ledger.settings.model import PREFIX, LabelVariable, Settings, SettingsSection

PROJECT_FILE = "ledger.toml"
MASK = "********"
_VARIABLES = "variables."
"""The table whose names are the project's own."""


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
    """Merge and check all sources.

    `flags` maps dotted names (`kafka.bootstrap`) to what the command line said. `file` replaces
    `./ledger.toml`. Raises `SettingsError` for unknown names, unreadable files and wrong values.
    """
    _refuse_unknown_variables()
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, source in _sources(flags, file):
        for name, value in source.items():
            if name not in values:
                values[name] = value
                origins[name] = origin
    settings = _checked(values, origins)
    return LoadedSettings(settings, tuple(_origins(settings, origins)))


def user_file() -> Path:
    """The user's own settings file, in the folder where this system keeps such files."""
    return Path(typer.get_app_dir("migration-ledger")) / PROJECT_FILE


def variable(setting: str) -> str:
    """The variable that sets the dotted name `setting`."""
    return PREFIX + setting.replace(".", "_").upper()


def setting_names() -> dict[str, str]:
    """Every setting's dotted name with its description."""
    return {name: description for name, description, _ in _fields(Settings, "")}


def _sources(flags: Mapping[str, Any], file: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Origins with their values by dotted name, strongest first."""
    for name, value in flags.items():
        yield f"flag --{name.replace('.', '-').replace('_', '-')}", {name: value}
    for name, value in _flat(EnvSettingsSource(Settings)(), ""):
        yield f"variable {variable(name)}", {name: value}
    project = file or Path(PROJECT_FILE)
    if file is not None and not file.is_file():
        raise SettingsError(f"there is no settings file {file}; check the path after --config")
    for path in (project, user_file()):
        if path.is_file():
            yield str(path), _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}; fix or remove the file") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}; fix that line") from None
    values = dict(_flat(content, ""))
    known = setting_names()
    for name in values:
        if name not in known and not name.startswith(_VARIABLES):
            raise SettingsError(
                f"{path} sets {name}, which is no setting; {_nearest(name, known)} "
                "or `ledger config show` for all of them"
            )
    return values


def _refuse_unknown_variables() -> None:
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in VARIABLES:
            raise SettingsError(
                f"{name} is no variable that this program knows; {_nearest(name, VARIABLES)} "
                "or unset it"
            )


def _nearest(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"the nearest is {close[0]}: write that,"


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and prefix != _VARIABLES:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, bool]]:
    """Dotted name, description, and whether it is a secret, of every setting."""
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsSection):
            yield from _fields(field.annotation, f"{prefix}{key}.")
        else:
            secret = "SecretStr" in str(field.annotation)
            yield f"{prefix}{key}", field.description or "", secret


def _checked(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        # Names of variables may have dots of their own.
        at = 1 if name.startswith(_VARIABLES) else -1
        *path, last = name.split(".", at)
        table = nested
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    try:
        return Settings(**nested)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in problem["loc"] if isinstance(part, str))
        raise SettingsError(
            f"{name} (from {origins.get(name, 'the settings')}) is wrong: {problem['msg']}; "
            "correct it there"
        ) from None


def _origins(settings: Settings, origins: Mapping[str, str]) -> Iterator[Origin]:
    for name, description, secret in _fields(Settings, ""):
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        yield Origin(
            name,
            _shown(value, secret),
            origins.get(name) or _origin_below(name, origins),
            variable(name),
            description,
        )


def _origin_below(name: str, origins: Mapping[str, str]) -> str:
    """Where the entries of a table come from, each place once."""
    found = [origin for one, origin in origins.items() if one.startswith(f"{name}.")]
    return ", ".join(dict.fromkeys(found)) or "default"


def _shown(value: Any, secret: bool) -> str | int | float | bool | None:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if secret:
        return masked(value.get_secret_value())
    if isinstance(value, dict):
        return ", ".join(f"{name}={_variable_shown(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        return os.pathsep.join(str(part) for part in value)
    return str(value)


def _variable_shown(value: str | LabelVariable) -> str:
    return value if isinstance(value, str) else f"label {value.label}"


def masked(secret: str) -> str:
    """`secret` as it may be shown: of an address, everything but passwords and parameters."""
    try:
        parts = urlsplit(secret)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        return MASK
    if parts.scheme not in ("postgres", "postgresql"):
        return MASK
    user = parts.username
    who = f"{user}:{MASK}@" if user and parts.password else f"{user}@" if user else ""
    return urlunsplit((parts.scheme, who + place, parts.path, "", "")) + (
        "?…" if parts.query else ""
    )
