"""What a rule is, and the statement in its surroundings that it looks at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from migrations.lint.finding import Effect, Hit, Severity
from migrations.lint.folder_catalog import FolderCatalog, KnownTable
from migrations.lint.object_names import name_of
from migrations.model.migration import Migration, Section, Statement, StatementKind
from migrations.sql.grammar import RawStatement, descend, tree

_BEGIN = re.compile(rb"^[ \t]*(?:BEGIN|START[ \t]+TRANSACTION)\b[^;\n]*;", re.I | re.M)


@dataclass(frozen=True, slots=True)
class RuleLimits:
    """From where on some rules hold; `[lint.limits]` of the settings."""

    lock_timeout_s: float = 30.0
    parents: int = 1
    """How many tables that others use a transaction may lock by foreign keys."""
    key_columns: int = 3
    small_table_mb: float = 16.0
    """What is smaller everywhere is read or written anew within a moment."""
    large_table_mb: float = 1024.0


@dataclass(frozen=True, slots=True)
class Earlier:
    """A statement that ran before in the same transaction."""

    raw: RawStatement
    statement: Statement


@dataclass(frozen=True, slots=True)
class Case:
    """One statement, what stands before it, and what the folder has made by then."""

    migration: Migration
    section: Section
    number: int
    statement: Statement
    raw: RawStatement
    catalog: FolderCatalog
    fresh: frozenset[str]
    """Migrations whose tables nobody uses yet."""
    before: Sequence[Earlier]
    """Earlier statements of the transaction that take locks; not for late rules, it grows."""
    at: int
    """How many statements the catalog had taken."""
    in_transaction: bool
    """Whether the statements of the section commit together."""
    wrapped: bool = False
    """Whether its author wrote BEGIN and COMMIT around it."""
    per_schema: bool = False
    """Whether the folder is for databases in which each tenant has a schema."""
    limits: RuleLimits = field(default_factory=RuleLimits)

    @property
    def node(self) -> Any:
        """The statement's tree."""
        return self.raw.node

    @property
    def is_code(self) -> bool:
        """Whether it runs code, which no rule looks into: a DO block, a procedure."""
        return self.raw.field in ("do_stmt", "call_stmt")

    @property
    def gives_up(self) -> bool:
        """Whether its author said that it gives up soon where it does not get its lock."""
        given = self.section.options.lock_timeout_s
        return given is not None and 0 < given <= self.limits.lock_timeout_s

    def known(self, relation: Any) -> KnownTable | None:
        """What the folder says of a table."""
        return self.catalog.table(name_of(relation))

    def in_use(self, relation: Any) -> bool:
        """Whether programs may be at work on the table: it is neither new nor temporary."""
        if relation.schemaname == "pg_temp" or relation.relpersistence == "t":
            return False
        view = self.catalog.views.get(name_of(relation))
        return view not in self.fresh if view is not None else self.is_used(self.known(relation))

    def is_used(self, table: KnownTable | None) -> bool:
        """The same for what the folder knows; what it does not know was there before."""
        return table is None or not (table.temporary or table.made_by in self.fresh)

    def made_again(self, kind: str, name: str) -> bool:
        """Whether a later statement of the section makes what this one drops: `VIEW`, `seen`."""
        bare = name.rpartition(".")[2]
        label = re.compile(rf"CREATE {kind} (?:CONCURRENTLY )?(?:.*\.)?{re.escape(bare)}")
        rest = self.section.statements[self.number + 1 :]
        return any(label.fullmatch(one.summary) for one in rest)

    def commands(self, *kinds: int) -> Iterator[Any]:
        """The commands of an ALTER TABLE on a table in use; all, or those of these kinds."""
        node = self.node
        if node.objtype != tree.OBJECT_TABLE or not self.in_use(node.relation):
            return
        for item in node.cmds:
            if not kinds or item.alter_table_cmd.subtype in kinds:
                yield item.alter_table_cmd


class Evidence(Protocol):
    """What is known of a statement better than its grammar tells it."""

    def effects(self, version: str, number: int) -> frozenset[Effect] | None:
        """All that the statement does; `None` where that is not known.

        `number` counts the statements of the up section from 0. A rule about an effect that is not
        among them is overruled.
        """

    def seen(self, version: str, number: int) -> str:
        """What it does, in words, each table named; empty where that is not known."""

    def large(self, version: str, number: int) -> str:
        """Where it rewrites or reads all of a table that is too large, in words; else empty."""

    def is_small(self, version: str, number: int) -> bool:
        """Whether every table that it rewrites or reads all of is small wherever there is one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. What is off says nothing until a project's settings give it a severity."""

    id: str
    severity: Severity
    why: str
    """Why it hurts, in a sentence."""
    rewrite: str
    """What to write in its place."""
    kinds: tuple[str, ...] = ()
    """The statements it looks at, as the grammar calls them."""
    look: Callable[[Case], Iterable[Hit]] | None = None
    """Where it holds; `None` when only squawk knows."""
    squawk: tuple[str, ...] = ()
    """What squawk calls it. With a function of ours, squawk's word adds nothing."""
    recipe: str = ""
    """The recipe of `ledger create` that writes the safe form."""
    quiet_in: tuple[str, ...] = ()
    """The phases in which it is what is meant."""
    effect: Effect | None = None
    """What a trace would have to see for the rule to hold."""
    late: bool = False
    """Whether it is asked when all files were read."""
    off: bool = False
    """Whether it is a matter of taste."""
    once: bool = False
    """Whether its first finding in a migration says enough."""
    new_too: bool = False
    """Whether squawk is believed of new tables, too."""

    @property
    def from_squawk(self) -> bool:
        """Whether nobody but squawk can tell."""
        return self.look is None and bool(self.squawk)


def file_of(migration: Migration, section: Section) -> str:
    """The file that a section was read from."""
    return section.file or migration.files[0].name


def is_wrapped(migration: Migration, section: Section) -> bool:
    """Whether the author wrote BEGIN before the section's first statement."""
    file = file_of(migration, section)
    content = next((one.content for one in migration.files if one.name == file), b"")
    found = _BEGIN.search(content)
    return found is not None and content.count(b"\n", 0, found.start()) < section.statements[0].line


def runs_outside(case: Case) -> bool:
    """Whether PostgreSQL refuses the statement in a transaction."""
    return case.statement.kind is StatementKind.OUTSIDE


def called_functions(node: Any) -> list[tuple[str, int]]:
    """The functions that are called below a node, without their schema, and where."""
    return [
        (call.funcname[-1].string.sval, call.location)
        for call in descend(node)
        if isinstance(call, tree.FuncCall) and call.funcname
    ]


def configured(case: Case, *names: str) -> list[tuple[str, str, bool, int]]:
    """What a SELECT sets by set_config(): setting, value, for the whole session or not, where."""
    return set_by_calls(case.statement.text, case.node, *names)


def set_by_calls(text: str, node: Any, *names: str) -> list[tuple[str, str, bool, int]]:
    """The same of a statement without its surroundings."""
    if "set_config" not in text:
        return []
    found = []
    for call in descend(node):
        if (
            isinstance(call, tree.FuncCall)
            and len(call.args) == 3
            and (call.funcname[-1].string.sval == "set_config")
        ):
            name = call.args[0].a_const.sval.sval.lower()
            if name in names:
                value, left = call.args[1].a_const.sval.sval, _is_false(call.args[2])
                found.append((name, value, left, call.location))
    return found


def _is_false(argument: Any) -> bool:
    """Whether it is the constant `false`, as a word or as a text."""
    if argument.HasField("type_cast"):
        argument = argument.type_cast.arg
    constant = argument.a_const
    if constant.HasField("sval"):
        return constant.sval.sval.lower() in ("f", "false", "off", "no", "n", "0")
    return bool(constant.HasField("boolval") and not constant.boolval.boolval)
