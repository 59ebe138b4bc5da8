"""Statements that touch what a migration stands on: our schema, and the role that it runs as.

Whatever names the schema `migration_ledger` is refused: in statements, in the bodies of DO blocks
and functions, and in texts that may become a statement or a name (`EXECUTE`, arguments of
functions, `regclass`, settings), also where such a text is put together from pieces. A text that is
only data may name it, and so may one that leaves it out (`nspname <> 'migration_ledger'`).

What no parser can see, a name that is computed for example, the database finds at the commit
(`migrations.target.target`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message

from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.sql.grammar import GrammarError, Word, parse, tree, words_of
from migrations.sql.role_words import EVERY_ROLE, HOLE, role_changes

BACKUP = "backup_"
"""How tables begin that a data migration's own sections may read."""
_READ = frozenset({"from_clause", "using_clause", "larg", "rarg", "source_relation"})
"""Where the grammar keeps tables that are only read."""

_NAMED = re.compile(rf"(?<![\w$]){JOURNAL_SCHEMA}(?![\w$])", re.IGNORECASE)
_MAY_NAME = re.compile(rf"{JOURNAL_SCHEMA}|u&|\\", re.IGNORECASE)
"""Without one of these no single word or text names the schema."""
_MAY_RUN_TEXT = re.compile(r"\bexecute\b|\|\|", re.IGNORECASE)
_ABOUT_ROLES = re.compile(r"\b(?:role|user|group|owned|grant|revoke)\b|u&", re.IGNORECASE)
_MEMBERS = frozenset({"addroleto", "rolemembers", "adminmembers"})
"""How the grammar calls IN ROLE, ROLE and ADMIN."""
_OWN = frozenset({"current_user", "session_user", "current_role"})
_OURSELVES = " the_login_itself "
_WHO_WE_ARE = frozenset(
    {
        tree.SVFOP_CURRENT_USER,
        tree.SVFOP_CURRENT_ROLE,
        tree.SVFOP_SESSION_USER,
        tree.SVFOP_USER,
    }
)
_FORMATTED = re.compile(r"%(?:\d+\$)?[IsL]")
_AS_A_VALUE = frozenset({"user", "USER"})
"""What else means the session's role: a function, and a variable of psql."""
_READABLE = frozenset({"plpgsql", "sql"})
"""Languages whose words are those of SQL; in a program of another one any mention counts."""
_EXCLUDES = frozenset({"<>", "!="})
_DEEPEST = 8
"""Texts within texts; what is deeper counts as naming whatever it spells."""
_KEPT = 1_000
"""Bodies that answers are remembered for."""


def touches_journal(node: Message, text: str) -> bool:
    """Whether a statement names our schema, itself or in what it defines or runs."""
    if not _MAY_NAME.search(text) and not _MAY_RUN_TEXT.search(text):
        return False
    for language, body in _bodies(node):
        if names_schema(body) or (language not in _READABLE and _NAMED.search(body)):
            return True
    return _named(node)


@lru_cache(maxsize=_KEPT)
def names_schema(code: str, depth: int = 0) -> bool:
    """Whether a program's text names our schema: as a name, or as a text that it may run.

    For PL/pgSQL, SQL and psql scripts; where the text cannot be read, any mention counts.
    """
    if not _MAY_NAME.search(code) and not _MAY_RUN_TEXT.search(code):
        return False
    found = words_of(code)
    if found is None or depth == _DEEPEST:
        return _NAMED.search(code) is not None
    if any(
        one.is_name and one.value == JOURNAL_SCHEMA and not _reads_backup(found, index)
        for index, one in enumerate(found)
    ):
        return True
    return any(
        _NAMED.search(joined) or names_schema(joined, depth + 1)
        for joined in _texts(found)
        if joined != code
    )


def acts_on_role(node: Message, text: str, logins: Iterable[str]) -> bool:
    """Whether a statement changes or drops one of the roles that the session runs as.

    `logins` are their names; `CURRENT_USER` and its like always mean them, and so does every role.
    """
    if not _ABOUT_ROLES.search(text):
        return False
    known = frozenset(logins)
    if _changes_role(node, known):
        return True
    if any(_program_acts(body, known) for _, body in _bodies(node)):
        return True
    known |= {_OURSELVES.strip()}
    return any(statement_acts_on_role(one, known) for one in _handed_over(node))


@lru_cache(maxsize=_KEPT)
def statement_acts_on_role(text: str, logins: frozenset[str]) -> bool:
    """As `acts_on_role`, for the text of one statement that was read before."""
    if not _ABOUT_ROLES.search(text):
        return False
    try:
        found = parse(text)
    except GrammarError:
        return False
    return any(acts_on_role(one.node, text, logins) for one in found)


@lru_cache(maxsize=_KEPT)
def only_joins(text: str, login: str) -> bool:
    """Whether a statement does nothing but make the login a member of other roles."""
    return all(
        isinstance(one.node, tree.GrantRoleStmt)
        and one.node.is_grant
        and all(granted.access_priv.priv_name != login for granted in one.node.granted_roles)
        and all(
            member.role_spec.roletype == tree.ROLESPEC_CSTRING
            and member.role_spec.rolename == login
            for member in one.node.grantee_roles
        )
        for one in parse(text)
    )


def script_acts_on_role(text: str, logins: Iterable[str]) -> bool:
    """As `acts_on_role`, for a psql script that was not taken apart."""
    return _program_acts(text, frozenset(logins))


def _changes_role(node: Any, known: frozenset[str]) -> bool:
    match node:
        case tree.AlterRoleStmt():
            return _is_own(node.role, known) or _makes_member(node.options, known)
        case tree.CreateRoleStmt():
            return _makes_member(node.options, known)
        case tree.GrantRoleStmt():
            granted = (one.access_priv.priv_name for one in node.granted_roles)
            members = (one.role_spec for one in node.grantee_roles)
            return any(one in known for one in granted) or any(
                _is_own(one, known) for one in members
            )
        case tree.AlterRoleSetStmt():
            return not node.HasField("role") or _is_own(node.role, known)
        case tree.DropRoleStmt() | tree.DropOwnedStmt() | tree.ReassignOwnedStmt():
            return any(_is_own(one.role_spec, known) for one in node.roles)
        case tree.RenameStmt() if node.rename_type == tree.OBJECT_ROLE:
            return node.subname in known
        case tree.SecLabelStmt() if node.objtype == tree.OBJECT_ROLE:
            return node.object.string.sval in known
        case _:
            return False


def _makes_member(options: Iterable[Any], known: frozenset[str]) -> bool:
    """Whether an option makes one of the roles a member of another, or another one its member."""
    return any(
        _is_own(one.role_spec, known)
        for option in options
        if option.def_elem.defname in _MEMBERS
        for one in option.def_elem.arg.list.items
    )


def _is_own(role: Any, known: frozenset[str]) -> bool:
    return role.roletype != tree.ROLESPEC_CSTRING or role.rolename in known


@lru_cache(maxsize=_KEPT)
def _program_acts(code: str, known: frozenset[str], depth: int = 0) -> bool:
    """As `acts_on_role` for a body: also what it puts together for EXECUTE."""
    if not _ABOUT_ROLES.search(code):
        return False
    found = words_of(code)
    if found is None or depth == _DEEPEST:
        return True
    own = known | _OWN
    mentions_own = any(
        one.value in (own | _AS_A_VALUE if one.is_name else known) and not _is_column(found, index)
        for index, one in enumerate(found)
    )
    for statement in _statements(found):
        changed = list(role_changes(statement))
        if any(one in own or one == EVERY_ROLE for names in changed for one in names):
            return True
        # A name that the program puts in: a variable of psql, or a piece of a text for EXECUTE.
        pieces = " ".join(_texts(statement))
        if mentions_own and (
            any(HOLE in names for names in changed) or list(role_changes(words_of(pieces) or []))
        ):
            return True
    return any(
        joined != code and _program_acts(joined, known, depth + 1)
        for joined in _texts(found)
        if words_of(joined)
    )


def _is_column(words: list[Word], index: int) -> bool:
    """Whether the name there is that of a column: behind a dot, or behind AS."""
    return words[index].is_name and index > 0 and words[index - 1].value in (".", "as")


def _statements(words: list[Word]) -> Iterator[list[Word]]:
    part: list[Word] = []
    for one in words:
        if one.value == ";":
            yield part
            part = []
        else:
            part.append(one)
    yield part


def _texts(words: list[Word]) -> Iterator[str]:
    """The text constants among these, those joined by `||` as one; not what is compared away."""
    joined: list[str] = []
    for index, one in enumerate(words):
        if one.is_text and not _left_out(words, index):
            joined.append(one.value)
        elif one.value not in ("||", "(", ")"):
            if joined:
                yield "".join(joined)
            joined = []
    if joined:
        yield "".join(joined)


def _reads_backup(words: list[Word], index: int) -> bool:
    """Whether the name at `index` begins that of a backup which is only read."""
    before = [one.value for one in words[max(index - 2, 0) : index]]
    behind = [one.value for one in words[index + 1 : index + 3]]
    return (
        before[-1:] in (["from"], ["join"])
        and before[:-1] != ["delete"]
        and behind[:1] == ["."]
        and behind[-1].startswith(BACKUP)
    )


def _left_out(words: list[Word], index: int) -> bool:
    """Whether the text at `index` is exactly our schema's name in a comparison that excludes it."""
    if words[index].value != JOURNAL_SCHEMA or index == 0:
        return False
    if words[index - 1].value in _EXCLUDES:
        return True
    at = index - 1
    while at > 0 and (words[at].value == "," or words[at].is_text):
        at -= 1
    return [one.value for one in words[max(at - 2, 0) : at + 1]] == ["not", "in", "("]


def _bodies(node: Any) -> Iterator[tuple[str, str]]:
    """The programs in DO and CREATE FUNCTION, each behind its language."""
    if isinstance(node, tree.DoStmt):
        options, language = node.args, "plpgsql"
    elif isinstance(node, tree.CreateFunctionStmt):
        options, language = node.options, "sql"
    else:
        return
    programs: list[str] = []
    for option in options:
        value = option.def_elem.arg
        if option.def_elem.defname == "language":
            language = value.string.sval
        elif option.def_elem.defname == "as":
            parts = value.list.items if value.HasField("list") else [value]
            programs += [part.string.sval for part in parts]
    yield from ((language, program) for program in programs)


def _named(root: Message) -> bool:
    """Whether a name in a tree is our schema's, or a text that may become one names it."""
    pending: list[tuple[Message, bool, bool]] = [(root, False, False)]
    while pending:
        node, runs, reads = pending.pop()
        if isinstance(node, tree.A_Const):
            if runs and (_NAMED.search(node.sval.sval) or names_schema(node.sval.sval)):
                return True
            continue
        if isinstance(node, tree.RangeVar) and reads and node.relname.startswith(BACKUP):
            continue
        runs = _becomes(node, runs)
        if runs and isinstance(node, tree.A_Expr) and names_schema(_joined(node)):
            return True
        for descriptor, value in node.ListFields():
            if descriptor.type == descriptor.TYPE_STRING:
                names = (value,) if isinstance(value, str) else value
                if any(name.partition(".")[0] == JOURNAL_SCHEMA for name in names):
                    return True
            elif descriptor.message_type is not None:
                below = (value,) if isinstance(value, Message) else value
                wrapped = reads and isinstance(node, tree.Node)
                read = descriptor.name in _READ or wrapped
                pending.extend((one, runs, read) for one in below)
    return False


def _handed_over(root: Message) -> Iterator[str]:
    """The texts that a statement gives to functions and procedures, which may run them.

    What is put into a text is taken to be who we are, where that is among what is given.
    """
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, tree.FuncCall | tree.ExecuteStmt):
            given = node.args if isinstance(node, tree.FuncCall) else node.params
            texts = [_joined(node), *map(_joined, given)]
            yield from texts
            if _OURSELVES in texts[0]:
                yield from (_FORMATTED.sub(_OURSELVES, one) for one in texts[1:])
        for descriptor, value in node.ListFields():
            if descriptor.message_type is not None:
                pending.extend((value,) if isinstance(value, Message) else value)


def _joined(root: Message) -> str:
    """The text constants below an expression, one behind the other; and who we are."""
    pieces: list[str] = []
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, tree.A_Const):
            pieces.append(node.sval.sval)
        elif isinstance(node, tree.SQLValueFunction) and node.op in _WHO_WE_ARE:
            pieces.append(_OURSELVES)
        for descriptor, value in reversed(node.ListFields()):
            if descriptor.message_type is not None:
                pending.extend((value,) if isinstance(value, Message) else reversed(value))
    return "".join(pieces)


def _becomes(node: Message, runs: bool) -> bool:
    """Whether constants below `node` may become a statement, a name or a setting."""
    match node:
        case tree.FuncCall() | tree.VariableSetStmt() | tree.ExecuteStmt() | tree.CallStmt():
            return True
        case tree.TypeCast():
            names = [one.string.sval for one in node.type_name.names]
            return runs or names[-1].startswith("reg")
        case tree.SubLink() | tree.SelectStmt():
            return False
        case _:
            return runs
