"""What can be told of a psql script by looking at it; pure.

A script is taken to fit in one transaction only when every part of it is understood: its
meta-commands are harmless to a transaction, what remains parses once the variables of psql are
replaced by neutral words, and no statement controls transactions or refuses to run in one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from migrations.model.migration import Program, StatementKind
from migrations.sql.classify import kind_of
from migrations.sql.grammar import GrammarError, parse
from migrations.sql.psql_files import expanded
from migrations.sql.savepoints import is_savepoint

_COMMAND = re.compile(r"^[ \t]*\\(\S+)[^\n]*$", re.MULTILINE)
_GEXEC = re.compile(r"\\gexec\b")
_SEND = re.compile(r"\\(?:gset|gdesc|g|gx)\b[^\n]*")
_COPY_DATA = re.compile(
    r"^([ \t]*copy\b[^;]*?\bfrom\s+stdin\b[^;]*;)[^\n]*\n.*?^\\\.[ \t]*$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_QUOTED = re.compile(r"""(?<!:):(['"])(\w+)\1""")
_PLAIN = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")
_REFERENCE = re.compile(r"""(?<!:):(?:'(\w+)'|"(\w+)"|\{\?(\w+)\}|([A-Za-z_]\w*))""")
_PSQLS_OWN = frozenset(
    {
        "AUTOCOMMIT",
        "ON_ERROR_STOP",
        "ON_ERROR_ROLLBACK",
        "SINGLELINE",
        "SINGLESTEP",
        "FETCH_COUNT",
        "VERBOSITY",
        "QUIET",
        "ECHO",
        "ECHO_HIDDEN",
    }
)
"""Variables that choose how psql runs and reports: not for a person's values."""
_ESCAPED = {"\\": r"\\", "'": r"\'", "\n": r"\n", "\r": r"\r"}
_HARMLESS = frozenset(
    {
        "copy", "set", "unset", "echo", "qecho", "warn", "pset", "t", "a", "x", "timing", "!",
        "gset", "g", "gx", "gdesc", "restrict", "unrestrict", "prompt", "getenv",
        "encoding", "o", "out", "errverbose", "cd", "setenv", "d", "dt", ".",
    }
)  # fmt: skip
r"""Meta-commands that neither end a transaction nor choose what runs.

`\gexec` runs what a query returns, which nobody knows before; so does a bare `:name` whose value
comes from elsewhere (`_BRINGING`), or is set to what may end a statement and hold others.
"""
_BRINGING = re.compile(
    r"\\(?:gset|prompt|getenv)\b|^[ \t]*\\set[ \t]+\S+[^\n]*?[`;:\\]", re.MULTILINE
)


def referenced(text: str, declared: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The declared variables that the script may ask psql for, with their values, sorted.

    A reference inside a literal is none for psql; to count it here does no harm.
    """
    found = {name for match in _REFERENCE.finditer(text) for name in match.groups() if name}
    return tuple((name, declared[name]) for name in sorted(found & (set(declared) - _PSQLS_OWN)))


def bare(text: str) -> frozenset[str]:
    """The variables that a script takes as they are, `:name`, and not as a literal or a name."""
    return frozenset(match[4] for match in _REFERENCE.finditer(text) if match[4])


def prologue(program: Program) -> str:
    """What runs before the script, as one of its own: its variables, and what we make for it."""
    known = [f"\\set {name} '{_escaped(value)}'\n" for name, value in program.variables]
    return "".join((*known, program.before))


def open_transaction(program: Program) -> bool:
    """Whether the whole script can run in one transaction that somebody else opens."""
    values = dict(program.variables)
    sql = _COPY_DATA.sub(lambda found: found.group(1), expanded(program))
    commands = [found.group(1).lower() for found in _COMMAND.finditer(sql)]
    if any(command not in _HARMLESS for command in commands):
        return False
    if _GEXEC.search(sql) or (_BRINGING.search(sql) and bare(sql)):
        return False
    sql = _SEND.sub(";", _COMMAND.sub("", sql))
    sql = _QUOTED.sub(r"\1\2\1", sql)
    sql = _PLAIN.sub(lambda found: values.get(found.group(1), found.group(1)), sql)
    try:
        statements = parse(sql)
    except GrammarError:
        return False
    return not any(
        (item.field == "transaction_stmt" and not is_savepoint(item))
        or kind_of(item) is StatementKind.OUTSIDE
        for item in statements
    )


def _escaped(value: str) -> str:
    return "".join(_ESCAPED.get(letter, letter) for letter in value)
