"""Every statement that is judged, before every rule that is asked: the heart of `ledger lint`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from migrations.errors import LoadError
from migrations.gc_tuning import without_collector
from migrations.lint.finding import (
    OFF,
    Effect,
    Hit,
    LargestTable,
    LintFinding,
    Severity,
    recipe_command,
    size_text,
)
from migrations.lint.folder_catalog import FolderCatalog
from migrations.lint.ignores import Ignore, Span, ignores_in, sift
from migrations.lint.rule import Case, Earlier, Evidence, Rule, RuleLimits, file_of, is_wrapped
from migrations.lint.rules import (
    BY_SQUAWK,
    LARGE_TABLE,
    OF_TRACES,
    REGISTRY,
    SEEN_REWRITE,
    SEEN_SCAN,
    UNREADABLE,
)
from migrations.lint.search_path import SearchPath
from migrations.lint.squawk import SquawkAnswer, SquawkFinding
from migrations.model.migration import Migration, Section, StatementKind
from migrations.preflight.touched_tables import touched_in
from migrations.printable import escaped
from migrations.sql.grammar import RawStatement, parse
from migrations.sql.summary import tables_of

EVERY = "*"
_EVIDENT = frozenset({"refresh_mat_view_stmt", "truncate_stmt"})
"""Statements of which a rule without an effect tells all that there is to see."""
_REMEMBERED = frozenset(
    {
        "alter_table_stmt",
        "create_stmt",
        "create_trig_stmt",
        "drop_stmt",
        "index_stmt",
        "lock_stmt",
        "rename_stmt",
        "truncate_stmt",
    }
)
"""What later statements of a transaction are judged by; a file may hold any number of others."""


@dataclass(frozen=True, slots=True)
class LintOptions:
    """What a project says of the rules: `[lint]` of its settings."""

    severities: Mapping[str, str] = field(default_factory=dict)
    """`error`, `warning`, `info` or `off`, by rule."""
    quiet_in: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The phases in which a rule is silent."""
    limits: RuleLimits = field(default_factory=RuleLimits)
    per_schema: bool = False

    def severity(self, rule: Rule) -> Severity | None:
        """How bad a finding of the rule is; `None` when it is not asked."""
        said = self.severities.get(rule.id, OFF if rule.off else rule.severity)
        return None if said == OFF else Severity(said)

    def is_quiet(self, rule: Rule, phase: str) -> bool:
        """Whether the rule says nothing in this phase."""
        return bool(phase) and phase in self.quiet_in.get(rule.id, rule.quiet_in)


@dataclass(frozen=True, slots=True)
class LintQuestion:
    """What is to be judged: `migrations` are all of the folder, in order.

    `judged` are the versions that findings are wanted of. With `together` they meet a database one
    after the other and at once, so that what an earlier one makes is new to the later ones; else
    each meets a database that has had those before it for long.
    """

    migrations: Sequence[Migration]
    judged: frozenset[str]
    together: bool
    today: date
    options: LintOptions = field(default_factory=LintOptions)
    evidence: Evidence | None = None
    sizes: Mapping[str, LargestTable] = field(default_factory=dict)
    """Of tables of the fleet, by name, quoted: `"users"`."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of it. `unseen` are programs, which no rule can read: migrations, DO blocks."""

    findings: tuple[LintFinding, ...]
    ignored: tuple[tuple[LintFinding, str], ...] = ()
    unseen: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Rules that only squawk knows, and that were not asked."""

    def count(self, severity: Severity) -> int:
        """How many findings of this severity there are."""
        return sum(one.severity is severity for one in self.findings)


def judge(question: LintQuestion, squawk: SquawkAnswer) -> Judgement:
    """All findings, the worst first, without those that a comment ignores."""
    walk = _Walk(question, squawk)
    with without_collector():
        for migration in question.migrations:
            walk.take(migration)
        walk.ask_late()
    asked = question.options
    missing = [
        one.id
        for one in REGISTRY.values()
        if one.from_squawk and asked.severity(one) is not None and not squawk.answered
    ]
    silent = [one.id for one in REGISTRY.values() if asked.severity(one) is None]
    sifted = sift(
        walk.findings,
        walk.ignores,
        walk.spans,
        today=question.today,
        unasked={*missing, *silent},
    )
    left = [
        _weighed(
            one if one.severity is severity.eased else replace(one, severity=severity), question
        )
        for one in dict.fromkeys(sifted.left)
        if (severity := asked.severity(REGISTRY[one.rule])) is not None
    ]
    return Judgement(
        tuple(sorted(left, key=lambda one: one.order)),
        tuple(sifted.ignored),
        tuple(walk.unseen),
        tuple(missing),
    )


def unreadable(error: LoadError, options: LintOptions) -> LintFinding:
    """What keeps a folder from being read, as a finding."""
    severity = options.severity(UNREADABLE) or Severity.ERROR
    return LintFinding(
        error.file,
        error.line or 1,
        UNREADABLE.id,
        severity,
        error.problem,
        UNREADABLE.why,
        error.remedy,
    )


def _weighed(finding: LintFinding, question: LintQuestion) -> LintFinding:
    """A finding as bad as its tables are large in the fleet; what a project has set stays so.

    Only what takes the longer the larger a table is: less bad if all are small in every database.
    A trace knows better which tables those are, and has weighed them.
    """
    if (
        question.evidence is not None
        or REGISTRY[finding.rule].effect is None
        or finding.rule in question.options.severities
    ):
        return finding
    known = {name: question.sizes[name] for name in finding.tables if name in question.sizes}
    if not known:
        return finding
    name, largest = max(known.items(), key=lambda one: one[1].size_bytes)
    size = size_text(largest.size_bytes)
    said = f"{escaped(name)} has {size} at most, in {escaped(largest.database)}"
    limits = question.options.limits
    if largest.size_mb >= limits.large_table_mb:
        return replace(
            finding, severity=finding.severity.moved(-1), why=f"{finding.why} Worse here: {said}."
        )
    small = all(one.everywhere and one.size_mb < limits.small_table_mb for one in known.values())
    if small and len(known) == len(finding.tables):
        return replace(
            finding, severity=finding.severity.moved(1), why=f"{finding.why} Less so here: {said}."
        )
    return finding


class _Walk:
    """Through all migrations, in order: what was found, and where each statement stands."""

    def __init__(self, question: LintQuestion, squawk: SquawkAnswer) -> None:
        self._question = question
        self._heard: dict[tuple[str, int], list[SquawkFinding]] = defaultdict(list)
        for one in squawk.findings:
            self._heard[one.version, one.number].append(one)
        self._catalog = FolderCatalog()
        self._path = SearchPath(self._catalog)
        self._rules = _by_field(question.options)
        self._late: list[tuple[Rule, Case]] = []
        self.findings: list[tuple[LintFinding, Span]] = []
        self.ignores: list[Ignore] = []
        self.spans: list[Span] = []
        self.unseen: list[str] = []
        self._said: set[tuple[str, str]] = set()
        self._spans: dict[tuple[str, int], Span] = {}
        self._found: set[tuple[str, int]] = set()
        """Statements of which a rule tells what a trace could see."""

    def take(self, migration: Migration) -> None:
        """Judge a migration if it is to be, and note what it makes."""
        section = migration.up
        file = file_of(migration, section)
        judged = migration.version in self._question.judged
        self._catalog.begin(migration.version, file)
        self._path.begin()
        if judged and section.program is not None:
            self.unseen.append(migration.label)
        elif judged:
            self._read_comments(migration, section, file)
        # Of every statement together, so asked once.
        in_transaction = section.transactional
        before: list[Earlier] = []
        for number, statement in enumerate(section.statements):
            raw = parse(statement.text)[0]
            if not self._question.options.per_schema:
                self._path.resolve(raw)
            if judged:
                case = self._case(migration, number, raw, before, in_transaction)
                self._ask(case)
                self._hear(case)
                self._see(case)
            self._catalog.take(raw, statement.line)
            self._path.take(raw, statement, in_transaction=in_transaction)
            if in_transaction and raw.field in _REMEMBERED:
                before.append(Earlier(raw, statement))

    def _case(
        self,
        migration: Migration,
        number: int,
        raw: RawStatement,
        before: Sequence[Earlier],
        in_transaction: bool,
    ) -> Case:
        question = self._question
        statement = migration.up.statements[number]
        outside = statement.kind is StatementKind.OUTSIDE
        return Case(
            migration,
            migration.up,
            number,
            statement,
            raw,
            self._catalog,
            question.judged if question.together else frozenset({migration.version}),
            before,
            self._catalog.taken,
            in_transaction,
            wrapped=outside and is_wrapped(migration, migration.up),
            per_schema=question.options.per_schema,
            limits=question.options.limits,
        )

    def _ask(self, case: Case) -> None:
        for rule in (*self._rules[EVERY], *self._rules[case.raw.field]):
            if self._question.options.is_quiet(rule, case.migration.phase):
                continue
            if rule.late:
                self._late.append((rule, case))
            else:
                self._note(rule, case)

    def _note(self, rule: Rule, case: Case) -> None:
        if rule.look is None or _is_overruled(rule, case, self._question.evidence):
            return
        if rule.once and (rule.id, case.migration.version) in self._said:
            return
        for hit in rule.look(case):
            self._add(rule, case, hit)

    def _see(self, case: Case) -> None:
        """Tell what a trace has seen, and no rule has found."""
        evidence, place = self._question.evidence, (case.migration.version, case.number)
        if case.is_code and (evidence is None or evidence.effects(*place) is None):
            self.unseen.append(f"{case.migration.label}, line {case.statement.line}")
        if evidence is None:
            return
        large = evidence.large(*place)
        if large:
            self._add(LARGE_TABLE, case, Hit(large))
        seen = evidence.effects(*place) or frozenset()
        if Effect.BLOCKS_WRITES not in seen or case.raw.field in _EVIDENT or place in self._found:
            return
        for rule in (SEEN_REWRITE, SEEN_SCAN):
            if rule.effect in seen:
                self._add(rule, case, Hit(f"{case.statement.summary} {evidence.seen(*place)}"))
                return

    def _add(self, rule: Rule, case: Case, hit: Hit) -> None:
        severity = self._question.options.severity(rule)
        if severity is None:
            return
        evidence, place = self._question.evidence, (case.migration.version, case.number)
        seen = ""
        if evidence is not None and rule.effect is not None:
            self._found.add(place)
            seen = "" if rule in OF_TRACES else evidence.seen(*place)
            if evidence.is_small(*place):
                severity = severity.eased
        text = case.statement.text.encode()[: max(hit.offset, 0)]
        recipe = hit.recipe or rule.recipe
        finding = LintFinding(
            file_of(case.migration, case.section),
            case.statement.line + text.count(b"\n"),
            rule.id,
            severity,
            hit.what,
            rule.why,
            rule.rewrite,
            recipe_command(recipe, hit.options) if recipe else "",
            case.migration.label,
            case.statement.summary,
            tuple(one.name for one in touched_in(case.statement.text).tables),
            seen,
        )
        self._said.add((rule.id, case.migration.version))
        self.findings.append((finding, self._spans[case.migration.version, case.number]))

    def ask_late(self) -> None:
        """Ask the rules that must know every file."""
        for rule, case in self._late:
            self._note(rule, case)

    def _hear(self, case: Case) -> None:
        """Take squawk's word of a statement where no rule of ours has a better one."""
        for one in self._heard.get((case.migration.version, case.number), ()):
            rule = BY_SQUAWK.get(one.rule)
            if rule is None or not rule.from_squawk:
                continue
            quiet = self._question.options.is_quiet(rule, case.migration.phase)
            overruled = _is_overruled(rule, case, self._question.evidence)
            if not (quiet or overruled) and (rule.new_too or _is_about_used(case)):
                self._add(rule, case, Hit(one.message.rstrip("."), one.offset))

    def _read_comments(self, migration: Migration, section: Section, file: str) -> None:
        for source in migration.files:
            if source.name == file or len(migration.files) == 1:
                text = source.content.decode(errors="replace")
                self.ignores += ignores_in(file, text)
        before = Span(file, 0, 0)
        for number, statement in enumerate(section.statements):
            last = statement.line + statement.text.count("\n")
            # Statements on one line share what stands above it; else a comment on the line on
            # which the statement before ends belongs to that one.
            first = before.first if statement.line == before.last else before.last + 1
            before = Span(file, min(first, statement.line), last)
            self._spans[migration.version, number] = before
            self.spans.append(before)


def _by_field(options: LintOptions) -> Mapping[str, list[Rule]]:
    """The rules to ask of each kind of statement."""
    found: dict[str, list[Rule]] = defaultdict(list)
    for rule in REGISTRY.values():
        if rule.look is not None and options.severity(rule) is not None:
            for kind in rule.kinds:
                found[kind].append(rule)
    return found


def _is_overruled(rule: Rule, case: Case, evidence: Evidence | None) -> bool:
    """Whether it is known that the statement does not do what the rule is about."""
    if evidence is None or rule.effect is None:
        return False
    seen = evidence.effects(case.migration.version, case.number)
    return seen is not None and rule.effect not in seen


def _is_about_used(case: Case) -> bool:
    """Whether a statement names no table, or one that programs may be using."""
    names = tables_of(case.raw)
    return not names or any(
        case.is_used(case.catalog.table(name.removeprefix("public."))) for name in names
    )
