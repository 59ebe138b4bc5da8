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
- A name without a number is none of a migration. Templates in subfolders are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from migrations.errors import VariableError
from migrations.formats import Reading, only
from migrations.formats.encoding import legible
from migrations.formats.history_table import HistoryTable
from migrations.formats.naming import base_name, is_program, is_sql, ordered, refuse_programs
from migrations.formats.native import is_ours
from migrations.formats.sections import NO_OPTIONS, Body, assemble, build
from migrations.formats.variables import PLACEHOLDER, name_of, not_declared, not_filled, template_at
from migrations.formats.ways import DOWN, OTHER_TOOLS, UP, MarkerLine, ways
from migrations.model.migration import Migration, Options, SourceFile

_PARTING = re.compile(
    r"^[ \t]*----[ \t]+create above / drop below[ \t]+----[ \t]*\r?$", re.MULTILINE
)
_ALONE = re.compile(r"^---- tern: disable-tx ----[ \t]*\r?$", re.MULTILINE)
_MARK = re.compile(
    rb"^(?:[ \t]*----[ \t]+create above / drop below[ \t]+----|---- tern: disable-tx ----)",
    re.MULTILINE,
)
_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_NAME = re.compile(r"([0-9]+)_(.+)\.sql", re.IGNORECASE | re.DOTALL)

HISTORY = HistoryTable("schema_version", "version integer NOT NULL")


class Tern:
    """Reads one file per migration."""

    name = "tern"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The `.sql` files of the folder itself, and programs among them, to refuse them."""
        return [name for name in names if "/" not in name and (is_sql(name) or is_program(name))]

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether a file bears one of tern's lines, and none the mark of another tool."""
        sql = [file for file in files if is_sql(file.name) and not is_ours(file)]
        if any(OTHER_TOOLS.search(file.content) for file in sql):
            return False
        return any(_MARK.search(file.content) for file in sql if _NAME.fullmatch(file.name))

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """One migration per file. Raises LoadError."""
        refuse_programs(files, self.name)
        named = [(file, _NAME.fullmatch(base_name(file.name))) for file in files]
        loaded = [
            _migration((found.group(1), found.group(2)), file, self.name, reading)
            for file, found in named
            if found is not None
        ]
        return ordered([HISTORY.noted(migration) for migration in loaded])

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """The migration of one file. Raises LoadError."""
        return only(self.load(files, reading), files)


def _migration(
    named: tuple[str, str], file: SourceFile, format: str, reading: Reading
) -> Migration:
    read = legible(file)
    marks = [MarkerLine.of(DOWN, found) for found in _PARTING.finditer(read.text)]
    sections = ways(file, read, [MarkerLine(UP, "", 0, 0), *marks])
    if DOWN in sections and not sections[DOWN].text.strip():
        del sections[DOWN]
    built = {
        way: build(_as_template(body, reading.variables), reading) for way, body in sections.items()
    }
    return assemble(named, format, file, built)


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
