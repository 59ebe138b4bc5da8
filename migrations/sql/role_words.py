"""Which roles the statements in a text change, read from its words: for bodies and scripts.

A statement of the server's is asked for its tree instead (`own_schema`); here only words are there,
with the rest of a program around them, and with holes where the program puts something in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migrations.sql.grammar import Word

EVERY_ROLE = "all"
HOLE = ":"
"""Where psql puts in the value of a variable."""
_KINDS = frozenset({"role", "user", "group"})
_MEMBERS = frozenset({"in", "role", "user", "admin"})
"""Behind one of these CREATE ROLE names whom the new one is a member of, or its members."""
_RIGHTS_END = frozenset({"to", "from", ","})
"""What may stand behind a role that is called `on`, but not behind the ON of a right."""


def role_changes(words: Sequence[Word]) -> Iterator[tuple[str, ...]]:
    """For each statement that changes roles, names among which are those of all that it changes.

    A membership changes both: who is a member may do more, and the other can be reached.
    """
    said = [one.value for one in words if one.is_name or one.value in (HOLE, ",")]
    for index, first in enumerate(said):
        second, rest = "".join(said[index + 1 : index + 2]), said[index + 2 :]
        if first in ("grant", "revoke"):
            yield from _membership(said[index + 1 :])
        elif (first, second) == ("drop", "owned"):
            yield tuple(rest)
        elif (first, second) == ("reassign", "owned"):
            yield tuple(_before("to", rest))
        elif second not in _KINDS or rest[:1] == ["mapping"]:
            continue
        elif first == "drop":
            yield tuple(rest)
        elif first == "alter":
            yield (*rest[:1], *_behind(frozenset({"user"}), rest[1:]))
        elif first == "create" and (members := _behind(_MEMBERS, rest[1:])):
            yield members


def _membership(said: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The roles behind GRANT or REVOKE; none where it is about rights, which are ON something."""
    for index, one in enumerate(said):
        if one == "on" and "".join(said[index + 1 : index + 2]) not in _RIGHTS_END:
            return
    if "to" in said or "from" in said:
        yield tuple(_before("granted", said))


def _before(word: str, said: Sequence[str]) -> Sequence[str]:
    return said[: said.index(word)] if word in said else said


def _behind(any_of: frozenset[str], said: Sequence[str]) -> tuple[str, ...]:
    found = [index for index, one in enumerate(said) if one in any_of]
    return tuple(said[found[0] + 1 :]) if found else ()
