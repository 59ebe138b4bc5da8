"""PostgreSQL's own grammar, behind one door: the only module that imports postgast.

postgast wraps libpg_query (the PostgreSQL 18 grammar). Facts this module hides, seen with 0.2.0:

- The C side ends a text at the first NUL, so callers refuse NUL before they come here.
- Positions in the tree are *byte* offsets, positions in errors are 1-based *character* offsets.
- A statement's location leaves out comments before it; the last one has length 0 when no semicolon
  follows. The scanner's way of splitting cuts `BEGIN ATOMIC` bodies, therefore only the parser's
  positions are used.
- PostgreSQL's own normalisation leaves the literals of DDL in place (`DEFAULT 'x'`, `COMMENT`),
  therefore literals are masked from the tokens.
- protobuf gives up on trees deeper than 100 messages, which 47 times `||` or 94 times UNION reach;
  unbounded, trees are as deep as PostgreSQL's own parser and stack let them be.
- The C side recurses: 30,000 operators in one expression overflow a stack of 8 MB, which ends the
  process. So a long text is read on a larger stack, and what is too deep for protobuf is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

import postgast
from google.protobuf.message import DecodeError, Message
from postgast import pg_query_pb2 as tree

__all__ = [
    "TOO_DEEP",
    "GrammarError",
    "RawStatement",
    "Token",
    "Word",
    "colons",
    "definition_names",
    "descend",
    "enclosed",
    "masked",
    "parse",
    "plpgsql",
    "relations",
    "roles",
    "tokens",
    "tree",
    "words",
    "words_of",
]

_LITERALS = frozenset(
    {
        tree.Token.SCONST,
        tree.Token.USCONST,
        tree.Token.BCONST,
        tree.Token.XCONST,
        tree.Token.ICONST,
        tree.Token.FCONST,
    }
)
_NODE = tree.Node.DESCRIPTOR
_COMMENTS = frozenset({tree.Token.SQL_COMMENT, tree.Token.C_COMMENT})
_TEXTS = frozenset({tree.Token.SCONST, tree.Token.USCONST})
_MASKED = _LITERALS | _COMMENTS
_ENCLOSED = _COMMENTS | _TEXTS

_LEAVES = frozenset(
    {
        "type_name",
        "a_const",
        "column_ref",
        "string",
        "integer",
        "boolean",
        "collate_clause",
        "role_spec",
        "alias",
    }
)
"""Parts of the tree with no statement, relation or call below; skipping them halves the walk."""

_WITHOUT_RELATIONS = _LEAVES | {
    "raw_expr",
    "index_params",
    "options",
    "def_elem",
    "funcname",
    "vals",
    "return_type",
    "parameters",
    "cols",
}
"""Parts where the server allows no subquery either: defaults, checks, index columns, options."""

_RELATIONS = (tree.RangeVar, tree.CommonTableExpr)


_LONG_CHARS = 40_000
"""Shorter texts are never too deep for the usual stack of 8 MB."""
_STACK_BYTES = 256 * 2**20
"""For hundreds of thousands of operators in one expression; only what is used takes memory."""
_STACK_SIZE = threading.Lock()
TOO_DEEP = "memory exhausted"
"""How PostgreSQL's own grammar begins to say that an expression is nested too deeply."""


with suppress(ImportError):  # another implementation of protobuf has another bound
    from google._upb import _message as protobuf

    protobuf.SetAllowOversizeProtos(True)


class GrammarError(Exception):
    """PostgreSQL's grammar refuses a text; `position` is a 0-based character offset."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message, position)
        self.message = message
        self.position = position


class RawStatement(NamedTuple):
    """One parsed statement; `start` and `end` are byte offsets, semicolon excluded."""

    node: Any
    """The concrete statement, for example an `IndexStmt`."""
    field: str
    """Its name in the grammar, for example `index_stmt`."""
    start: int
    end: int


class Word(NamedTuple):
    """A token as it is meant: a name in the case that counts, the value of a text constant."""

    value: str
    is_name: bool = False
    is_text: bool = False


class Token(NamedTuple):
    """A token where it stands; `start` and `end` are character offsets."""

    kind: int
    start: int
    end: int
    reserved: bool


def parse(sql: str) -> list[RawStatement]:
    """Parse a whole script once. Raises GrammarError."""
    try:
        parsed = postgast.parse(sql) if len(sql) < _LONG_CHARS else _parsed_with_room(sql)
    except postgast.PgQueryError as error:
        raise GrammarError(error.message, max(error.cursorpos - 1, 0)) from None
    except DecodeError:
        raise GrammarError(TOO_DEEP, 0) from None
    size = len(sql.encode())
    return [_raw(statement, size) for statement in parsed.stmts]


def _parsed_with_room(sql: str) -> tree.ParseResult:
    """The tree of a text that may be deep, made on a stack that is large enough for it."""
    # The size is one for the whole process, so two of these must not undo each other's.
    with _STACK_SIZE:
        before = threading.stack_size(_STACK_BYTES)
        try:
            with ThreadPoolExecutor(max_workers=1) as pool:
                return pool.submit(postgast.parse, sql).result()
        finally:
            threading.stack_size(before)


def masked(sql: str, values: Collection[int] = ()) -> str:
    """A text that was parsed before, with literals as `$1`, `$2`, … and without comments.

    At the byte offsets of `values` stand words that are values, too.
    """
    data = sql.encode()
    out, at, count = [], 0, 0
    for token in postgast.scan(sql).tokens:
        if token.token in _MASKED or token.start in values:
            out.append(data[at : token.start])
            at = token.end
            if token.token not in _COMMENTS:
                count += 1
                out.append(b"$%d" % count)
    out.append(data[at:])
    return b"".join(out).decode().strip()


def colons(sql: str) -> list[int]:
    """Character offsets of the single colons outside of literals and comments.

    None when a literal or comment is not closed.
    """
    return [one.start for one in tokens(sql) or () if one.kind == tree.Token.ASCII_58]


def enclosed(sql: str) -> list[tuple[int, int]]:
    """Character spans of the literals and comments, in order; none when one is not closed."""
    try:
        tokens = postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return []
    found = [token for token in tokens if token.token in _ENCLOSED]
    ends = _characters(sql, [at for token in found for at in (token.start, token.end)])
    return list(zip(ends[::2], ends[1::2], strict=True))


def _characters(sql: str, offsets: list[int]) -> list[int]:
    """Ascending byte offsets as character offsets."""
    if sql.isascii():
        return offsets
    data = sql.encode()
    at, characters, found = 0, 0, []
    for offset in offsets:
        characters += len(data[at:offset].decode())
        at = offset
        found.append(characters)
    return found


def is_keyword(name: str) -> bool:
    """Whether a plain name has to be quoted where tables and columns are named."""
    # Nothing runs it.
    try:
        parse(f"ALTER TABLE {name} ADD COLUMN {name} int; SELECT {name} FROM {name}")  # noqa: S608
    except GrammarError:
        return True
    return False


def words(sql: str) -> list[str]:
    """The tokens of a text, lower case, comments left out; empty when it has no tokens."""
    data = sql.encode()
    try:
        scanned = postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return []
    return [
        data[token.start : token.end].decode().strip('"').lower()
        for token in scanned
        if token.token not in _COMMENTS
    ]


def tokens(sql: str) -> list[Token] | None:
    """The tokens of a text, comments included; `None` when it cannot be taken apart."""
    try:
        found = postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return None
    starts = _characters(sql, [one.start for one in found])
    ends = _characters(sql, [one.end for one in found])
    return [
        Token(one.token, start, end, one.keyword_kind == tree.RESERVED_KEYWORD)
        for one, start, end in zip(found, starts, ends, strict=True)
    ]


def words_of(sql: str) -> list[Word] | None:
    """The tokens of a text as they are meant, without comments; `None` as `tokens`."""
    found = tokens(sql)
    if found is None:
        return None
    meant: list[Word] = []
    for index, one in enumerate(found):
        text = sql[one.start : one.end]
        if one.kind in (tree.Token.UIDENT, tree.Token.USCONST):
            # The character that escapes may be named behind it.
            behind = _uescape(sql, found[index + 1 : index + 5])
            text += "".join(f" {sql[at.start : at.end]}" for at in behind)
        if one.kind in _COMMENTS:
            continue
        if one.kind in _TEXTS:
            meant.append(Word(_constant(text), is_text=True))
        elif one.kind in (tree.Token.IDENT, tree.Token.UIDENT):
            meant.append(Word(_identifier(text), is_name=True))
        else:
            meant.append(Word(text.lower(), is_name=text[0].isalpha()))
    return meant


def _uescape(sql: str, behind: list[Token]) -> list[Token]:
    found = [one for one in behind if one.kind not in _COMMENTS][:2]
    named = found and sql[found[0].start : found[0].end].lower() == "uescape"
    return found if named else []


def _constant(text: str) -> str:
    """The value of a text constant; as it is written if the grammar refuses it."""
    try:
        select = postgast.parse(f"SELECT {text}").stmts[0].stmt.select_stmt
    except (postgast.PgQueryError, DecodeError):
        return text
    return str(select.target_list[0].res_target.val.a_const.sval.sval)


def _identifier(text: str) -> str:
    if text[0] not in '"uU' or '"' not in text:
        return text.lower()
    try:
        select = postgast.parse(f"SELECT 1 AS {text}").stmts[0].stmt.select_stmt
    except (postgast.PgQueryError, DecodeError):
        return text
    return str(select.target_list[0].res_target.name)


def plpgsql(statement: str) -> Any:
    """The tree of a PL/pgSQL body as plain lists and dicts, given its DO or CREATE statement.

    Empty when the parser cannot see into the body: the server is the judge of those.
    """
    try:
        return postgast.parse_plpgsql(statement)
    except postgast.PgQueryError:
        return []


def descend(node: Message) -> list[Message]:
    """The concrete messages below `node` that can hold a call or a change, `node` included."""
    return _collected(node, _LEAVES)


def relations(node: Message) -> list[Any]:
    """The RangeVar and CommonTableExpr messages below `node`: tables, and names it defines."""
    found = _collected(node, _WITHOUT_RELATIONS)
    return [message for message in found if isinstance(message, _RELATIONS)]


def roles(node: Message) -> list[str]:
    """The roles that are named below `node`; words such as CURRENT_USER name none."""
    found = _collected(node, _LEAVES - {"role_spec"})
    return [one.rolename for one in found if isinstance(one, tree.RoleSpec) and one.rolename]


def definition_names(parts: Any) -> tuple[str, ...]:
    """The words of a qualified name written as a list of String nodes."""
    # What is no String node has an empty one; no name is empty.
    return tuple(word for part in parts if (word := part.string.sval))


def _raw(statement: tree.RawStmt, size: int) -> RawStatement:
    node, start, length = statement.stmt, statement.stmt_location, statement.stmt_len
    field = node.WhichOneof("node") or ""
    return RawStatement(getattr(node, field), field, start, start + length if length else size)


def _collected(root: Message, skipped: frozenset[str]) -> list[Message]:
    """The messages below `root` in the order of the text; without recursion, they may be deep."""
    found: list[Message] = []
    pending = [root]
    while pending:
        node = pending.pop()
        found.append(node)
        below: list[Any] = []
        for descriptor, value in node.ListFields():
            leads_to = _leads_to(descriptor, skipped)
            if leads_to is _Below.NOTHING:
                continue
            children: Any = (value,) if isinstance(value, Message) else value
            if leads_to is _Below.MESSAGES:
                below.extend(children)
                continue
            for wrapper in children:
                field = wrapper.WhichOneof("node")
                if field is not None and field not in skipped:
                    below.append(getattr(wrapper, field))
        pending.extend(reversed(below))
    return found


class _Below(Enum):
    """What a field of a message holds."""

    NOTHING = 0
    MESSAGES = 1
    NODES = 2


@cache
def _leads_to(descriptor: Any, skipped: frozenset[str]) -> _Below:
    """Remembered, because reading a descriptor costs more than the rest of a step."""
    if descriptor.message_type is None or descriptor.name in skipped:
        return _Below.NOTHING
    return _Below.NODES if descriptor.message_type is _NODE else _Below.MESSAGES
