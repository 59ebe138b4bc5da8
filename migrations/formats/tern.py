"""tern's files: `001_name.sql`, whose way back stands below a line that parts them.

    CREATE TABLE …
    ---- create above / drop below ----
    DROP TABLE …

- Without that line, or without SQL below it, the migration cannot be undone. The line may come
  once: tern would take a second one as a comment of the way back.
- `---- tern: disable-tx ----` in a section makes it commit statement by statement.
- Every file is a template for tern: `{{.name}}` and `{{ index .map "name" }}` are filled from
  declared variables, wherever they stand; any other action is refused as what it is, in the way
  back only when that is to run.
- `{{ template "shared/a.sql" . }}` puts a file of a subfolder in its place, which then belongs to
  the migration and to the checksum of its section; lines are those of the migration's own file.
- A name without a number is none of a migration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from migrations.errors import VariableError
from migrations.formats import Reading
from migrations.formats.encoding import legible
from migrations.formats.history_table import HistoryTable
from migrations.formats.marker_lines import DOWN, OTHER_TOOLS, UP, MarkerLine, ways
from migrations.formats.naming import is_program, is_sql, named, ordered, refuse_programs
from migrations.formats.native import is_ours
from migrations.formats.sections import NO_OPTIONS, Body, Built, assemble
from migrations.formats.tern_templates import whole_of
from migrations.formats.variables import PLACEHOLDER, name_of, not_declared, not_filled, template_at
from migrations.formats.way_back import stopping_only_the_way_back
from migrations.model.migration import Migration, Options, SourceFile

_PARTING = re.compile(
    r"^[ \t]*----[ \t]+create above / drop below[ \t]+----[ \t]*\r?$", re.MULTILINE
)
_HEADING = re.compile(r"[ \t]*----[ \t]+create above / (?P<way>drop) below[ \t]+----[ \t]*\r?$")
_ALONE = re.compile(r"^---- tern: disable-tx ----[ \t]*\r?$", re.MULTILINE)
_MARK = re.compile(
    rb"^(?:[ \t]*----[ \t]+create above / drop below[ \t]+----|---- tern: disable-tx ----)",
    re.MULTILINE,
)
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_NAME = re.compile(r"([0-9]+)_(.+)\.sql", re.IGNORECASE | re.DOTALL)
_NAME_REMEDY = "Name it like 001_add_users.sql: a number, an underscore, a description"

HISTORY = HistoryTable("schema_version", "version integer NOT NULL")


class Tern:
    """Reads one file per migration."""

    name = "tern"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The `.sql` files, also of subfolders, and programs, to refuse them."""
        return [name for name in names if is_sql(name) or ("/" not in name and is_program(name))]

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a file bears one of tern's lines, and none the mark of another tool."""
        beside = [file for file in files if is_sql(file.name) and "/" not in file.name]
        sql = [file for file in beside if not is_ours(file)]
        if any(OTHER_TOOLS.search(file.content) for file in sql):
            return False
        return any(_MARK.search(file.content) for file in sql if _is_own(file.name))

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs([file for file in files if "/" not in file.name], self.name)
        shared = {file.name: file for file in files if "/" in file.name}
        loaded = [
            _migration(file, shared, self.name, reading) for file in files if _is_own(file.name)
        ]
        return ordered([HISTORY.noted(migration) for migration in loaded])

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """The migration of its own file and those that it takes in. Raises LoadError."""
        shared = {file.name: file for file in files[1:]}
        return HISTORY.noted(_migration(files[0], shared, self.name, reading))


def _is_own(name: str) -> bool:
    """Whether a name is that of a migration, in the folder itself."""
    return "/" not in name and _NAME.fullmatch(name) is not None


def _migration(
    file: SourceFile, shared: Mapping[str, SourceFile], format: str, reading: Reading
) -> Migration:
    return stopping_only_the_way_back(
        file, lambda one: _whole(one, shared, format, reading), _HEADING, _HEADING
    )


def _whole(
    file: SourceFile, shared: Mapping[str, SourceFile], format: str, reading: Reading
) -> Migration:
    found = named(file, _NAME, _NAME_REMEDY)
    read = legible(file)
    marks = [MarkerLine.of(DOWN, found) for found in _PARTING.finditer(read.text)]
    sections = ways(file, read, [MarkerLine(UP, "", 0, 0), *marks])
    if DOWN in sections and not sections[DOWN].text.strip():
        del sections[DOWN]
    built: dict[str, Built] = {}
    taken: dict[str, SourceFile] = {}
    for way, body in sections.items():
        whole = whole_of(body, shared)
        taken |= whole.files
        built[way] = whole.built(_as_template(whole.body, reading.variables), reading)
    migration = assemble((found.group(1), found.group(2)), format, file, built)
    return replace(migration, files=(file, *taken.values()))


def _as_template(body: Body, values: Mapping[str, str]) -> Body:
    """The section with its options, and with a fault where tern's template is more than values."""
    options = Options(transaction=False) if _ALONE.search(body.text) else NO_OPTIONS
    fault = body.fault or _unfilled(body, values)
    return replace(body, options=options, fault=fault)


def _unfilled(body: Body, values: Mapping[str, str]) -> VariableError | None:
    """What to say of the first action that nothing would be put in the place of."""
    for action in _ACTION.finditer(body.text):
        line = body.line + body.text.count("\n", 0, action.start())
        value = PLACEHOLDER.fullmatch(action.group())
        if value is None:
            found = template_at(action.group()) or (action.group(), "a template")
            return not_filled(found, body.file, line)
        if name_of(value) not in values:
            return not_declared(name_of(value), body.file, line)
    return None


FORMATS = (Tern(), HISTORY.kept_by(Tern()))
"""As it is, and with a look-alike of tern's own table."""
