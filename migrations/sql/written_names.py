"""Names as people write them in markers and options: as they are, or in quotes as in SQL; pure.

`users`, `User` and `"User"` name what they spell, letter by letter. A name with a blank, a comma, a
dot or a quote in it stands in quotes, in which a quote is written twice.
"""

from __future__ import annotations

import re

from migrations.sql.literals import quote_ident

_QUOTED = r'"(?:[^"\s]|""|[^\S\n](?!\w+=))+"'
"""A name in quotes; what looks like the next option does not belong to it."""
_ENCLOSED = r'"(?:[^"]|"")+"'
"""The same where a text is nothing but names."""
_WORD = re.compile(rf"(?:(?<=[=,.]){_QUOTED}(?=[\s,.]|$)|\S)+")


def words_in(text: str) -> list[str]:
    """The words of a line; blanks inside of a quoted name do not end one."""
    return _WORD.findall(text)


def names_in(text: str, separator: str) -> tuple[str, ...]:
    """The names between separators, without their quotes.

    Raises ValueError where one is missing. Quotes that do not enclose a name belong to it.
    """
    sign = re.escape(separator)
    pattern = re.compile(rf"(?:{_ENCLOSED}(?={sign}|\Z)|[^{sign}]*)")
    names: list[str] = []
    at = 0
    while True:
        found = pattern.match(text, at)
        name = found.group() if found else ""
        if not name:
            raise ValueError(f"{text!r} lacks a name; write it, or leave the {separator} out")
        enclosed = re.fullmatch(_ENCLOSED, name) is not None
        names.append(name[1:-1].replace('""', '"') if enclosed else name)
        at += len(name)
        if at == len(text):
            return tuple(names)
        at += 1


def quoted_path(text: str) -> str:
    """`schema.table` or `table`, each part in quotes. Raises ValueError."""
    return ".".join(quote_ident(name) for name in names_in(text, "."))
