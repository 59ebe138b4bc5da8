"""What can be told of a psql script by looking at it; pure.

A script is taken to fit in one transaction only when every part of it is understood: its
meta-commands are harmless to a transaction, what remains parses once the variables of psql are
replaced by neutral words, and no statement controls transactions or refuses to run in one.
"""

from __future__ import annotations

import re

from migrations.classify import kind_of
from migrations.grammar import GrammarError, parse
from migrations.migration import StatementKind

_INCLUDES = re.compile(r"^[ \t]*\\(?:i|ir|include|include_relative)\b", re.MULTILINE)
_COMMAND = re.compile(r"^[ \t]*\\(\S+)[^\n]*$", re.MULTILINE)
_SEND = re.compile(r"\\(?:gexec|gset|gdesc|g|gx)\b[^\n]*")
_COPY_DATA = re.compile(
    r"^([ \t]*copy\b[^;]*?\bfrom\s+stdin\b[^;]*;)[^\n]*\n.*?^\\\.[ \t]*$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_QUOTED = re.compile(r"""(?<!:):(['"])(\w+)\1""")
_PLAIN = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")
_HARMLESS = frozenset(
    {
        *("copy", "set", "unset", "echo", "qecho", "warn", "pset", "t", "a", "x", "timing", "!"),
        *("gexec", "gset", "g", "gx", "gdesc", "restrict", "unrestrict", "prompt", "getenv"),
        *("encoding", "o", "out", "errverbose", "cd", "setenv", "d", "dt", "."),
    }
)
"""Meta-commands that neither end a transaction nor choose what runs."""


def included(text: str) -> int | None:
    """The 1-based line of the first command that reads another script; `None` without one."""
    found = _INCLUDES.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else None


def open_transaction(text: str) -> bool:
    """Whether the whole script can run in one transaction that somebody else opens."""
    sql = _COPY_DATA.sub(lambda found: found.group(1), text)
    commands = [found.group(1).lower() for found in _COMMAND.finditer(sql)]
    if any(command not in _HARMLESS for command in commands):
        return False
    sql = _SEND.sub(";", _COMMAND.sub("", sql))
    sql = _PLAIN.sub(r"\1", _QUOTED.sub(r"\1\2\1", sql))
    try:
        statements = parse(sql)
    except GrammarError:
        return False
    return not any(
        item.field == "transaction_stmt" or kind_of(item) is StatementKind.OUTSIDE
        for item in statements
    )
