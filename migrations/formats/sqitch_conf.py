"""Where a Sqitch project keeps its plan and its scripts, by its `sqitch.conf`.

    [core]              [engine "pg"]              [target "production"]
        engine = pg         target = production        top_dir = db
        top_dir = db        deploy_dir = …

    [deploy "variables"]   [engine "pg.variables"]   [target "production.variables"]
        owner = app            schema = shop

Variables of psql are defaults, which `--var` overrides. The plan is `sqitch.plan` where nothing
else is named. What a target says goes before its engine, and that before `core`. Folders are
relative to the configuration's own folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migrations.errors import FolderError, FormatError

CONF = "sqitch.conf"
PLAN = "sqitch.plan"

_SECTION = re.compile(r'\[\s*([\w.-]+)(?:\s+"([^"]*)")?\s*\]')
_ENGINES = frozenset({"", "pg", "yugabyte", "cockroach"})
_KINDS = ("deploy", "revert", "verify")


@dataclass(frozen=True, slots=True)
class Layout:
    """Names in the folder that is read; `reworked` are the folders of older instances.

    `others` are plans in the place of the one that counts.
    """

    plan: str
    folders: tuple[str, str, str]
    reworked: tuple[str, str, str]
    extension: str = "sql"
    others: tuple[str, ...] = ()

    def script(self, kind: int, change: str, tag: str = "") -> str:
        """The name of a change's script: 0 deploys, 1 reverts, 2 verifies."""
        folder = self.reworked[kind] if tag else self.folders[kind]
        suffix = f"@{tag}" if tag else ""
        return posixpath.join(folder, f"{change}{suffix}.{self.extension}")


def layout_of(names: Sequence[str], conf: str | None) -> Layout:
    """Where things are; `names` are the folder's files, `conf` the text of its configuration.

    Raises FormatError for another engine or several plans, FolderError for a place outside.
    """
    said = _settings(conf) if conf is not None else {}
    top = _inside(said.get("top_dir", ""), "top_dir")
    if conf is None and PLAN not in names:
        top = _only_folder(names)
    if "plan_file" in said:
        plan, others = _inside(said["plan_file"], "plan_file"), []
    else:
        plan, *others = _plans(names, top)
    folders = [_place(said, f"{kind}_dir", posixpath.join(top, kind)) for kind in _KINDS]
    below = said.get("reworked_dir")
    reworked = [
        _place(said, f"reworked_{kind}_dir", posixpath.join(below, kind) if below else folder)
        for kind, folder in zip(_KINDS, folders, strict=True)
    ]
    return Layout(
        plan,
        (folders[0], folders[1], folders[2]),
        (reworked[0], reworked[1], reworked[2]),
        said.get("extension", "sql"),
        tuple(others),
    )


def variables_of(conf: str | None, kind: int) -> dict[str, str]:
    """The variables that the configuration sets for scripts of a kind, as in `Layout.script`.

    What a target says goes before its engine, then what is said of reverting or verifying, of
    deploying, and of all.
    """
    if conf is None:
        return {}
    sections = _sections(conf, folded=False)
    target = _settings(conf).get("target", "")
    places = ("core", "deploy", _KINDS[kind], "engine.pg", f"target.{target}")
    said: dict[str, str] = {}
    for place in places:
        said |= sections.get(f"{place}.variables", {})
    return said


def _place(said: Mapping[str, str], key: str, default: str) -> str:
    return _inside(said.get(key, default), key)


def _inside(place: str, key: str) -> str:
    """A normal relative name. Raises FolderError for one that leads out of the folder."""
    normal = posixpath.normpath(place) if place else ""
    if normal == ".." or normal.startswith(("../", "/")):
        raise FolderError(
            CONF, None, f"{key} leads out of the folder ({place})", "Name a folder that holds it"
        )
    return "" if normal == "." else normal


def _only_folder(names: Sequence[str]) -> str:
    """The one subfolder with a plan. Raises FormatError."""
    found = sorted(name for name in names if posixpath.basename(name) == PLAN)
    if len(found) > 1:
        raise _several(found, "Name the folder of the project to read")
    return posixpath.dirname(found[0]) if found else ""


def _plans(names: Sequence[str], top: str) -> list[str]:
    """The plan of the project's folder, then those that Sqitch would not read there.

    Raises FormatError.
    """
    found = sorted(
        name for name in names if name.endswith(".plan") and posixpath.dirname(name) == top
    )
    usual = posixpath.join(top, PLAN)
    if usual in found:
        return [usual, *(name for name in found if name != usual)]
    if len(found) > 1:
        raise _several(found, f"Name one as plan_file in {CONF}, or remove what is stale")
    if not found:
        raise FolderError(
            posixpath.join(top, PLAN), None, "there is no plan", f"Name its folder in {CONF}"
        )
    return found


def _several(found: Sequence[str], remedy: str) -> FormatError:
    return FormatError(found[0], None, f"there are several plans ({', '.join(found)})", remedy)


def _settings(conf: str) -> dict[str, str]:
    """The settings that count, by key. Raises FormatError for another engine."""
    sections = _sections(conf)
    core = sections.get("core", {})
    engine = core.get("engine", "")
    if engine not in _ENGINES:
        raise FormatError(
            CONF, None, f"the project is for {engine}", "Name the folder of a PostgreSQL project"
        )
    said = {**core, **sections.get("core.pg", {}), **sections.get("engine.pg", {})}
    said |= sections.get(f"target.{said.get('target', '')}", {})
    return said


def _sections(conf: str, *, folded: bool = True) -> dict[str, dict[str, str]]:
    """Keys and values by `section` or `section.name`, keys in lower case if they are `folded`."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for raw in conf.splitlines():
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if found := _SECTION.match(line):
            name = f"{found[1].lower()}.{found[2]}" if found[2] is not None else found[1].lower()
            current = sections.setdefault(name, {})
            continue
        key, _, value = line.partition("=")
        name = key.strip()
        current[name.lower() if folded else name] = _value(value)
    return sections


def _value(written: str) -> str:
    value = written.strip()
    if value.startswith('"'):
        return value[1:].partition('"')[0]
    return re.split(r"\s[#;]", value, maxsplit=1)[0].strip()
