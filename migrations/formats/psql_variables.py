r"""psql's own variables, as far as they can be filled without psql and without a shell.

    \set name 'value'           known to this script from here on
    \set name `command`         left out when a variable of that name is declared: nothing is run
    \set ON_ERROR_STOP on       left out, as are \echo, \pset, \timing …: they change nothing here
    :name   :'name'   :"name"   the value as it is, as a literal, as a name

A script with any other command of psql, or with a variable that is neither set nor declared, is
given back as it was: psql has to run it, or nobody may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from migrations.formats.psql_commands import commands
from migrations.sql.grammar import colons
from migrations.sql.literals import quote_ident, quote_literal

_SET = re.compile(r"(?P<name>\w+)(?:[ \t]+(?P<value>.+))?")
_QUOTED = re.compile(r"'((?:[^'\\]|'')*)'")
_PLAIN = re.compile(r"[^\s'\"`:\\]+")
_REFERENCE = re.compile(
    r""":(?:'(?P<literal>\w+)'|"(?P<identifier>\w+)"|(?P<plain>[A-Za-z_]\w*))"""
)
_HARMLESS = frozenset({"echo", "qecho", "warn", "pset", "timing", "x", "t", "a", "errverbose"})
_HARMLESS_SETTINGS = frozenset(
    {"ON_ERROR_STOP", "QUIET", "VERBOSITY", "ECHO", "ECHO_HIDDEN", "SHOW_CONTEXT", "PAGER"}
)


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A script without what only psql understands.

    `values` are what it was and is to be filled with: what was declared, and what it sets itself.
    `used` are the declared names among those, sorted; `notes` say what was left out, by line.
    """

    text: str
    values: Mapping[str, str]
    used: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Settings:
    """What the commands of a script say, line by line."""

    declared: Mapping[str, str]
    own: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def takes(self, command: str, rest: str, line: int) -> bool:
        """Whether the command may be left out, with what it sets kept in mind."""
        if command in _HARMLESS and "`" not in rest:
            self.notes.append(f"line {line}: \\{command} is left out")
            return True
        found = _SET.fullmatch(rest) if command == "set" else None
        if found is None:
            return False
        name, value = found["name"], (found["value"] or "").strip()
        if name in _HARMLESS_SETTINGS:
            self.notes.append(f"line {line}: \\set {name} is left out")
            return True
        if value.startswith("`"):
            self.used.add(name)
            self.notes.append(f"line {line}: the shell command of \\set {name} is not run")
            return name in self.declared
        literal = _literal(value)
        if literal is not None:
            self.own[name] = literal
        return literal is not None


def interpolated(text: str, declared: Mapping[str, str]) -> Interpolated:
    """The script with its variables filled as far as it goes; as it was if that is not enough."""
    if "\\" not in text and ":" not in text:
        return Interpolated(text, declared)
    said = _Settings(declared)
    plain = _without_commands(text, said)
    if plain is None:
        return Interpolated(text, declared)
    values = {**declared, **said.own}
    filled = "".join(_filled(plain, said, values))
    used = tuple(sorted(name for name in said.used if name in declared and name not in said.own))
    return Interpolated(filled, values, used, tuple(said.notes))


def _literal(written: str) -> str | None:
    """The value of a `\\set`; `None` for one that psql would compute."""
    if not written:
        return ""
    if found := _QUOTED.fullmatch(written):
        return found[1].replace("''", "'")
    return written if _PLAIN.fullmatch(written) else None


def _without_commands(text: str, said: _Settings) -> str | None:
    """The text with empty lines in the place of commands; `None` if one must stay."""
    pieces: list[str] = []
    at, line = 0, 1
    for found in commands(text):
        line += text.count("\n", at, found.start("command"))
        if not said.takes(found["command"], found["rest"].rstrip(), line):
            return None
        pieces.append(text[at : found.start()])
        at = found.end()
    return "".join((*pieces, text[at:]))


def _filled(text: str, said: _Settings, values: Mapping[str, str]) -> Iterator[str]:
    """The text in pieces; a plain reference becomes a placeholder, whose filling is checked.

    What the script sets itself is its author's text, and goes in as it is.
    """
    at = 0
    for place in colons(text):
        found = _REFERENCE.match(text, place)
        if found is None:
            continue
        name = found["literal"] or found["identifier"] or found["plain"]
        if name not in values:
            continue
        said.used.add(name)
        yield text[at:place]
        at = found.end()
        if found["literal"]:
            yield quote_literal(values[name])
        elif found["identifier"]:
            yield quote_ident(values[name])
        elif name in said.own:
            yield values[name]
        else:
            yield f"${{{name}}}"
    yield text[at:]
