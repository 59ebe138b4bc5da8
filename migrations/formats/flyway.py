"""The file names of Flyway: `V1__name.sql`, `U1__name.sql`, `R__name.sql`, `B1__name.sql`.

    V13.1__name.sql, V1_20_0__name.sql   a version; `_` is `.`, and 1.2 comes before 1.10
    U13.1__name.sql                      takes V13.1 back: its down section
    R__name.sql                          repeatable: after all versions, by name (`_` is a blank),
                                         and again whenever its bytes change
    B20__name.sql                        baseline: on a database without history the newest one runs
                                         in the place of every version up to it; never elsewhere
    1__name.sql                          no prefix: when the format is named, and no file of the
                                         folder has one; else left alone, as Flyway does

    NTV2__name.sql                       another prefix: left alone with a note, as Flyway does

- Subfolders are read too, as one history. The same version twice is an error: name the folder of
  PostgreSQL's files where there are several kinds of servers.
- Every file is one section. In `<file>.conf`, `executeInTransaction=false` lets it commit statement
  by statement and `placeholderReplacement=false` leaves placeholders alone; others are refused.
- Checksums are over the file's own text, before it is filled.
- `${name}` stands for a declared variable. Of Flyway's own, `${flyway:filename}` and
  `${flyway:table}` are known; the others depend on where and when Flyway runs, and are refused
  unless they are declared.
- Migrations in Java are refused by name. Callbacks of a migration (`afterMigrate.sql`) are refused
  too, unless they hold no statement: what they do would be missing silently. Callbacks of other
  commands of Flyway are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from migrations.errors import (
    DuplicateVersionError,
    FileNameError,
    FormatError,
    VariableError,
)
from migrations.formats import Reading
from migrations.formats.encoding import text_of, text_or_fault
from migrations.formats.flyway_settings import settings_of
from migrations.formats.folder_reader import FolderReader
from migrations.formats.history_table import HistoryTable
from migrations.formats.naming import description, with_strays, without_version
from migrations.formats.native import is_ours
from migrations.formats.sections import Body, Built, build
from migrations.formats.variables import fill, undeclared
from migrations.model.baselines import replacing
from migrations.model.migration import Migration, Options, SourceFile
from migrations.model.version import version_key
from migrations.sql.grammar import GrammarError, parse

_SQL = ".sql"
_CONF = ".sql.conf"
_CODE = (".java", ".kt", ".class", ".groovy", ".scala")
_NAMED = re.compile(r"(?P<kind>[VUB]?)(?P<version>[0-9]+(?:[._][0-9]+)*)(?:__(?P<name>.*))?")
_OTHER_PREFIX = re.compile(r"[A-Za-z]{2,}[0-9]+(?:[._][0-9]+)*__.*")
_REPEATABLE = re.compile(r"R__(?P<name>.+)")
_NEAR_MISS = re.compile(r"[VUBvub][0-9]|[rR]_|.*__")
_MARKED = re.compile(r"(?:[VB][0-9]+(?:[._][0-9]+)*|R)__.*")
_LIKE_MARKED = re.compile(_MARKED.pattern, re.IGNORECASE)
"""Also with a prefix in small letters, which Flyway leaves alone and `load` refuses."""
_OTHERS = re.compile(rb"^--[ \t]*(?:\+[ \t]*(?:migrate|goose)|migrate:up)", re.MULTILINE)
_UP_DOWN = re.compile(r"\.(?:up|down)$")
_CALLBACK = re.compile(
    r"(?:before|after)(?P<of>Migrate|EachMigrate|Versioned|Repeatables|Connect|CreateSchema"
    r"|Undo|EachUndo|Clean|Info|Validate|Baseline|Repair|Deploy)\w*|createSchema"
)
_IDLE = frozenset({"Clean", "Info", "Validate", "Baseline", "Repair", "Deploy"})
"""What callbacks may be of that no migration calls."""
_OWN = "flyway:"
_LEFT = "has none of Flyway's prefixes"
_NAME_REMEDY = "Name it like V2__add_email.sql, U2__add_email.sql or R__views.sql"


HISTORY = HistoryTable(
    "flyway_schema_history",
    "installed_rank integer PRIMARY KEY, version varchar(50), description varchar(200) NOT NULL, "
    "type varchar(20) NOT NULL, script varchar(1000) NOT NULL, checksum integer, "
    "installed_by varchar(100) NOT NULL, installed_on timestamp NOT NULL DEFAULT now(), "
    "execution_time integer NOT NULL, success boolean NOT NULL",
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A file with what its name says; `kind` is V, U, R or B."""

    kind: str
    version: str
    name: str
    file: SourceFile


class Flyway(FolderReader):
    """See the module's text."""

    name = "flyway"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """Migrations in SQL and in code, their `.conf` files, and callbacks, in every folder."""
        return [name for name in names if _is_ours(_base(name))]

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a name bears a prefix and two underscores, and no text another tool's marks.

        Files of our own format may stand among them, under names of another form.
        """
        named = {file.name for file in files if _is_marked(file.name)}
        if not named:
            return False
        others = [file for file in files if _OTHERS.search(file.content)]
        return all(is_ours(file) and file.name not in named for file in others)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """Versions in their order, each baseline behind its version, then repeatables by name."""
        settings = {file.name.removesuffix(".conf"): file for file in files if _is_conf(file)}
        named = [one for file in files if (one := _named(file)) is not None]
        if any(_MARKED.fullmatch(_stem(one.file.name) or "") for one in named):
            named = [one for one in named if not _base(one.file.name)[0].isdigit()]
        _refuse_twice(named)
        undos = {version_key(one.version): one for one in named if one.kind == "U"}
        loaded = [
            _migration(one, undos.pop(version_key(one.version), None), settings, reading)
            for one in sorted((one for one in named if one.kind == "V"), key=_order)
        ]
        if undos:
            stray = min(undos.values(), key=_order).file.name
            raise FileNameError(
                stray,
                None,
                "takes back a version that no V file has",
                "Add that file, or delete it",
            )
        baselines = [_migration(one, None, settings, reading) for one in named if one.kind == "B"]
        repeatables = [_repeatable(one, settings, reading) for one in named if one.kind == "R"]
        found = [*_with_baselines(loaded, baselines), *sorted(repeatables, key=description)]
        left_alone = {file.name: _LEFT for file in files if _has_other_prefix(file.name)}
        return with_strays([HISTORY.noted(migration) for migration in found], left_alone)


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _stem(name: str) -> str | None:
    base = _base(name)
    return base[: -len(_SQL)] if base.lower().endswith(_SQL) else None


def _is_marked(name: str) -> bool:
    stem = _stem(name)
    return bool(stem and _LIKE_MARKED.fullmatch(stem)) and not _UP_DOWN.search(stem or "")


def _is_conf(file: SourceFile) -> bool:
    return file.name.lower().endswith(_CONF)


def _is_ours(base: str) -> bool:
    lowered = base.lower()
    if lowered.endswith(_CONF):
        return True
    if lowered.endswith(_CODE):
        return _MARKED.match(base) is not None
    stem = _stem(base)
    if stem is None:
        return False
    return any(rule.match(stem) for rule in (_NAMED, _NEAR_MISS)) or _callback(stem) is not None


def _has_other_prefix(name: str) -> bool:
    return _OTHER_PREFIX.fullmatch(stem := _stem(name) or "") is not None and not _callback(stem)


def _callback(stem: str) -> str | None:
    """What the callback of that name is of; `None` when it is none."""
    found = _CALLBACK.fullmatch(stem.partition("__")[0])
    return (found["of"] or "CreateSchema") if found else None


def _named(file: SourceFile) -> _Named | None:
    """What a file is; `None` for what no migration needs. Raises LoadError."""
    if _is_conf(file):
        return None
    stem = _stem(file.name)
    if stem is None:
        raise FormatError(
            file.name,
            None,
            "is a migration in program code, which only Flyway itself can run",
            "Write it as SQL, or in Python, under the same version",
        )
    if (of := _callback(stem)) is not None:
        _refuse_callback(file, of)
        return None
    if _has_other_prefix(file.name):
        return None
    if found := _REPEATABLE.fullmatch(stem):
        return _Named("R", f"R__{found['name']}", found["name"], file)
    found = _NAMED.fullmatch(stem)
    if found is None:
        raise without_version(file, _NAME_REMEDY)
    version = found["version"].replace("_", ".")
    kind = found["kind"] or "V"
    return _Named(kind, version, found["name"] or "", file)


def _refuse_callback(file: SourceFile, of: str) -> None:
    """Raise FormatError unless nothing would be missing without this callback."""
    if of in _IDLE:
        return
    try:
        statements = parse(text_of(file))
    except GrammarError:
        statements = []
    else:
        if not statements:
            return
    raise FormatError(
        file.name,
        None,
        "is a callback of Flyway, which nothing here would call",
        "Write what it does as a repeatable migration (R__name.sql), or remove its statements",
    )


def _order(one: _Named) -> tuple[int, ...]:
    return version_key(one.version)


def _refuse_twice(named: Sequence[_Named]) -> None:
    seen: dict[tuple[str, object], _Named] = {}
    for one in named:
        key = (one.kind, one.version if one.kind == "R" else version_key(one.version))
        if key in seen:
            raise DuplicateVersionError(
                one.file.name,
                None,
                f"has the same version as {seen[key].file.name}",
                "Give one of them another version, or name the one folder to read",
            )
        seen[key] = one


def _migration(
    one: _Named, undo: _Named | None, settings: Mapping[str, SourceFile], reading: Reading
) -> Migration:
    up = _built(one, settings, reading)
    down = _built(undo, settings, reading) if undo is not None else None
    both = [built for built in (up, down) if built is not None]
    sources = [one.file] if undo is None else [one.file, undo.file]
    files = tuple(part for file in sources for part in _with_conf(file, settings))
    return Migration(
        version=f"B{one.version}" if one.kind == "B" else one.version,
        name="" if one.kind == "R" else one.name,
        format=Flyway.name,
        up=up.section,
        down=down.section if down else None,
        verify=None,
        files=files,
        notes=tuple(note for built in both for note in built.notes),
        variables=tuple(sorted({name for built in both for name in built.variables})),
    )


def _repeatable(one: _Named, settings: Mapping[str, SourceFile], reading: Reading) -> Migration:
    """An R file; Flyway's checksum of one is that of its text with the values in it."""
    found = replace(_migration(one, None, settings, reading), repeatable=True)
    said = settings_of(settings[one.file.name]) if one.file.name in settings else {}
    if not said.get("placeholderreplacement", True):
        return found
    text = text_of(one.file)
    filled = fill(text, _values(one.file, reading), file=one.file.name).filled
    return found if filled == text else replace(found, filled=filled)


def _values(file: SourceFile, reading: Reading) -> Mapping[str, str]:
    """What placeholders of a file stand for: Flyway's own that are known, and what is declared."""
    own = {f"{_OWN}filename": _base(file.name), f"{_OWN}table": "flyway_schema_history"}
    return {**own, **reading.variables}


def _with_conf(file: SourceFile, settings: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
    yield file
    if file.name in settings:
        yield settings[file.name]


def _built(one: _Named, settings: Mapping[str, SourceFile], reading: Reading) -> Built:
    """The section of one file. Raises LoadError."""
    file, down = one.file, one.kind == "U"
    said = settings_of(settings[file.name]) if file.name in settings else {}
    text, fault = text_or_fault(file)
    options = Options(transaction=said.get("executeintransaction", True))
    body = Body.of_file(file, text, options, down=down, fault=fault)
    if not said.get("placeholderreplacement", True):
        return build(body, replace(reading, variables={}))
    values = _values(file, reading)
    missing = undeclared(text, values)
    built = build(_without_own(body, missing), replace(reading, variables=values))
    declared = tuple(name for name in built.variables if name in reading.variables)
    left = tuple(name for name in missing if f"${{{name}}}" in text)
    notes = (*built.notes, *((_left_note(file, left),) if left else ()))
    return replace(built, variables=declared, notes=notes)


def _left_note(file: SourceFile, names: Sequence[str]) -> str:
    listed = ", ".join(f"${{{name}}}" for name in names)
    return f"{file.name}: {listed} stays as it is written, because no such variable is declared"


def _without_own(body: Body, missing: Sequence[str]) -> Body:
    """The body, with a fault if it holds a placeholder that only Flyway could fill."""
    for name in missing:
        if name.startswith(_OWN):
            fault = VariableError(
                body.file,
                body.text.count("\n", 0, body.text.find(name)) + 1,
                f"{name} is filled by Flyway alone, from where and when it runs",
                f"Take it out, or declare it with --var {name}=VALUE",
            )
            return replace(body, fault=fault)
    return body


def _with_baselines(
    versions: Sequence[Migration], baselines: Sequence[Migration]
) -> list[Migration]:
    """Everything in running order; a baseline knows what it stands for."""
    found = sorted(
        [*versions, *baselines], key=lambda one: (version_key(one.version), one in baselines)
    )
    return [
        replace(one, replaces=replacing(found, one, [one.version.removeprefix("B")]))
        if one in baselines
        else one
        for one in found
    ]


FORMATS = (Flyway(), HISTORY.kept_by(Flyway()))
"""As it is, and with a look-alike of Flyway's own table."""
