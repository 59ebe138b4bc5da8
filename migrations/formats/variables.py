"""Placeholders: the declared ones are filled, everything that only looks like one is left alone.

    ${name}   {{name}}   {{ name }}   {{.name}}   {{- .name -}}   {{ index .Options "name" }}

Only declared names are replaced, letter by letter as the tools do it, wherever they stand: also in
literals, comments and bodies of functions. `{{.OTP}}`, `${…}` or `$$` in a JSON literal are data
unless somebody declares a variable of that name. An undeclared placeholder that stands where SQL
cannot be read without it is refused by its name, and so is any other action of a template, as what
it is. The dashes of Go's templates take the blanks beside them away, up to the line's end.

A value is one literal or one name, or a part of one, never more (see `bound_values` beside this):
what the statements are, and which tokens they have, is the same whatever the values are. Checksums
are taken from the file's own bytes, and lines are those of the file, also behind a value of many
lines.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from migrations.errors import LoadError, SqlSyntaxError, VariableError
from migrations.formats.bound_values import first_unbound
from migrations.model.migration import Statement
from migrations.sql.isolation import USUAL
from migrations.sql.statements import Script, script, split

NAME = r"[A-Za-z_][A-Za-z0-9_.:-]*"
"""What a variable may be called."""
_OPENING = r"(?:\{\{(?!-[ \t])|(?:(?<=[^ \t\n])[ \t]*)?\{\{-(?=[ \t]))[ \t]*"
_CLOSING = r"(?:[ \t]+-\}\}[ \t]*|[ \t]*\}\})"
_FIELDS = rf"(?:\$?\.{NAME}|\$?\.|\$)"
BRACES = (
    rf"{_OPENING}(?:(?:\$?\.)?(?P<braces>{NAME})"
    rf"|index[ \t]+{_FIELDS}[ \t]+(?:\"(?P<index>{NAME})\"|`(?P<raw>{NAME})`)){_CLOSING}"
)
"""The actions of Go's templates that stand for a value."""
PLACEHOLDER = re.compile(rf"\$\{{(?P<shell>{NAME})\}}|{BRACES}")
"""What looks like a placeholder."""
_TEMPLATES = (
    (re.compile(r"\{\{.*?\}\}|\{\{"), "an action of a template that is not filled here"),
    (re.compile(r"\{%.*?%\}|\{%"), "a tag of a template that is not filled here"),
    (re.compile(r"<%.*?%>|<%"), "a tag of a template that is not filled here"),
)
_TEMPLATE_REMEDY = (
    "Write what it makes; of templates only a value is filled, as in {{.name}} or "
    '{{ index .Options "name" }}, from variables that are declared with --var name=VALUE'
)
_SHOWN_CHARS = 60


class Reads(NamedTuple):
    """The statements of a section, and what was filled in: the variables' names, sorted.

    `left` are placeholders that stand in it and were not declared, sorted: data, or forgotten.
    """

    statements: tuple[Statement, ...]
    variables: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    wrapper: tuple[int, int] | None = None
    """Lines of the BEGIN and the COMMIT around all of it, which were left out."""
    control: tuple[int, ...] = ()
    """Lines of others that were left out."""
    apart: int | None = None
    """As `statements.Script` has it, and so are these two."""
    isolation: str = USUAL
    isolated: int | None = None


def read(
    sql: str,
    values: Mapping[str, str],
    *,
    file: str,
    first_line: int = 1,
    verify: bool = False,
    foreign: bool = False,
    begun: bool | None = None,
    ended: bool = False,
    alone: bool = False,
    pattern: re.Pattern[str] = PLACEHOLDER,
) -> Reads:
    """Fill the declared placeholders of `sql`, and split it as `statements.script` does.

    A Verify section is split as `statements.split` does.

    `pattern` finds placeholders; its groups that matched hold the name. Raises VariableError, and
    what `split` raises, with lines of the file.
    """
    text = fill(sql, values, file=file, first_line=first_line, pattern=pattern)
    try:
        if verify:
            found = Script(split(text.filled, file=file, first_line=first_line, verify=True))
        else:
            found = script(
                text.filled,
                file=file,
                first_line=first_line,
                foreign=foreign,
                begun=begun,
                ended=ended,
                alone=alone,
            )
    except LoadError as error:
        raise _explained(error, text, file, first_line, pattern) from None
    statements, wrapper, control, apart, isolation, isolated = found
    if text.longer:
        statements = tuple(replace(one, line=text.line(one.line, first_line)) for one in statements)
        wrapper = wrapper and (text.line(wrapper[0], first_line), text.line(wrapper[1], first_line))
        control = tuple(text.line(line, first_line) for line in control)
        apart = apart and text.line(apart, first_line)
        isolated = isolated and text.line(isolated, first_line)
    return Reads(statements, text.names, text.left, wrapper, control, apart, isolation, isolated)


class Filled(NamedTuple):
    """A text with its values, the names that were filled in and those that were not declared."""

    filled: str
    names: tuple[str, ...]
    left: tuple[str, ...]
    longer: tuple[tuple[int, int], ...]
    """(0-based line of the filled text in which a value ends, lines that values added so far)."""

    def line(self, line: int, first_line: int) -> int:
        """The file's line of a line of the filled text; inside a value, that of its placeholder."""
        at = line - first_line
        found = bisect_right(self.longer, (at, len(self.filled) + 1))
        added = self.longer[found - 1][1] if found else 0
        inside = self._inside(at, found)
        return first_line + (inside if inside is not None else at - added)

    def _inside(self, at: int, found: int) -> int | None:
        if found == len(self.longer):
            return None
        end, added = self.longer[found]
        before = self.longer[found - 1][1] if found else 0
        start = end - (added - before)
        return start - before if start <= at else None


def fill(
    sql: str,
    values: Mapping[str, str],
    *,
    file: str,
    first_line: int = 1,
    pattern: re.Pattern[str] = PLACEHOLDER,
) -> Filled:
    """`sql` with the declared placeholders filled.

    Raises VariableError for a value that does not fit.
    """
    found = list(pattern.finditer(sql))
    if not found:
        return Filled(sql, (), (), ())
    known = [match for match in found if name_of(match) in values]
    names = tuple(sorted({name_of(match) for match in known}))
    left = tuple(sorted({name_of(match) for match in found} - set(names)))
    if not known:
        return Filled(sql, (), left, ())
    filled = _joined(sql, known, [values[name_of(match)] for match in known])
    _refuse_unbound(sql, known, values, file, first_line)
    return Filled(filled, names, left, tuple(_longer(sql, known, values)))


def undeclared(sql: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the placeholders in a text that have no value, sorted."""
    return tuple(sorted({name_of(match) for match in PLACEHOLDER.finditer(sql)} - set(values)))


def name_of(match: re.Match[str]) -> str:
    """The variable that a placeholder names."""
    return next(group for group in match.groups() if group is not None)


def _joined(sql: str, known: Sequence[re.Match[str]], values: Sequence[str]) -> str:
    pieces, at = [], 0
    for match, value in zip(known, values, strict=True):
        pieces += [sql[at : match.start()], value]
        at = match.end()
    return "".join((*pieces, sql[at:]))


def _longer(
    sql: str, known: Sequence[re.Match[str]], values: Mapping[str, str]
) -> Iterator[tuple[int, int]]:
    """See `Filled.longer`; only values with line ends count."""
    line, at, added = 0, 0, 0
    for match in known:
        line += sql.count("\n", at, match.start())
        at = match.start()
        ends = values[name_of(match)].count("\n")
        if ends:
            added += ends
            yield line + added, added


def _refuse_unbound(
    sql: str,
    known: Sequence[re.Match[str]],
    values: Mapping[str, str],
    file: str,
    first_line: int,
) -> None:
    """Refuse the first value that is more than one literal or one name in its place."""
    places = [match.span() for match in known]
    unbound = first_unbound(sql, places, [values[name_of(match)] for match in known])
    if unbound is not None:
        match = known[unbound]
        raise VariableError(
            file,
            first_line + sql.count("\n", 0, match.start()),
            f"the value of variable {name_of(match)} is more than one literal or one name",
            "Give it one number, one name or one quoted text, or what stays inside of the quotes "
            "around it, and write everything else in the file",
        )


def _explained(
    error: LoadError, text: Filled, file: str, first_line: int, pattern: re.Pattern[str]
) -> LoadError:
    """The error with the line of the file; an undeclared placeholder in its place is named."""
    line = text.line(error.line, first_line) if error.line is not None else None
    if isinstance(error, SqlSyntaxError) and error.line is not None and error.column is not None:
        lines = text.filled.split("\n")
        row = lines[error.line - first_line]
        for match in pattern.finditer(row):
            if match.start() <= error.column - 1 < match.end():
                return not_declared(name_of(match), file, line, error.column)
        if action := template_at(row, error.column - 1):
            return not_filled(action, file, line, error.column)
    return type(error)(error.file, line, error.problem, error.remedy, error.column)


def not_declared(
    name: str, file: str, line: int | None, column: int | None = None
) -> VariableError:
    """What to say of a placeholder without a value."""
    return VariableError(
        file,
        line,
        f"variable {name} is not declared",
        f"Declare it with --var {name}=VALUE, or under [variables] in ledger.toml",
        column,
    )


def not_filled(
    action: tuple[str, str], file: str, line: int | None, column: int | None = None
) -> VariableError:
    """What to say of a part of a template that is no value: its text, and what it is."""
    text, what = action
    return VariableError(file, line, f"`{text[:_SHOWN_CHARS]}` is {what}", _TEMPLATE_REMEDY, column)


def template_at(text: str, place: int = 0) -> tuple[str, str] | None:
    """What of a template stands at a place of a text, and what it is; `None` for anything else."""
    for pattern, what in _TEMPLATES:
        for match in pattern.finditer(text):
            if match.start() <= place < match.end():
                return match.group(), what
    return None
