"""Sqitch projects: a plan file that gives the order, and scripts to deploy, revert and verify.

    sqitch.conf                 where the rest is, if not here (`migrations.formats.sqitch_conf`)
    sqitch.plan                 the changes in order (`migrations.formats.sqitch_plan`)
    deploy/users.sql            up; a change without it is an error
    revert/users.sql            down, if it is there
    verify/users.sql            holds when no statement raises an error; what it does is taken back
    deploy/users@v1.0.sql       the same for an older instance of a change that was reworked

- A migration's version is the change's name, with the tag for an older instance: `users@v1.0`.
- BEGIN and COMMIT around a whole script are left out, as is the ROLLBACK that ends a verify script:
  every migration runs in a transaction of its own. Without them Sqitch would commit statement by
  statement; here the script is one transaction as well, unless a statement cannot run in one,
  or uses a value that the script has just added to an enum.
- Variables of psql (`:name`, `:'name'`) are filled from declared variables; what else only psql
  understands goes the way of `migrations.formats.sections`.
- A script's checksum is that of its file, before it is filled. What the
  plan does not name is left alone.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from migrations.errors import FolderError, ForbiddenSqlError, LoadError, PsqlScriptError
from migrations.formats import Reading
from migrations.formats.checksum import checksum
from migrations.formats.encoding import text_of, text_or_fault
from migrations.formats.history_table import WithHistoryTable
from migrations.formats.psql_variables import interpolated
from migrations.formats.sections import Body, Built, build
from migrations.formats.sqitch_conf import CONF, Layout, layout_of, variables_of
from migrations.formats.sqitch_plan import Change, SqitchPlan, parse_plan
from migrations.formats.sqitch_registry import REGISTRY
from migrations.model.migration import Holds, Migration, SourceFile, StatementKind
from migrations.sql.grammar import GrammarError, parse, tree
from migrations.sql.psql_files import file_reads
from migrations.sql.statements import settings_before

_DEPLOY, _REVERT, _VERIFY = range(3)
_TRANSACTION_REMEDY = (
    "Leave it out, or keep one BEGIN and COMMIT around all of the script; what is to be committed "
    "in between is a change of its own"
)
_MARKS = (b"%syntax-version", b"%project")
_ENDS = (tree.TRANS_STMT_COMMIT, tree.TRANS_STMT_ROLLBACK)
_BEGINS = (tree.TRANS_STMT_BEGIN, tree.TRANS_STMT_START)


class Sqitch:
    """See the module's text."""

    name = "sqitch"

    def claims(self, names: Sequence[str]) -> Sequence[str]:
        """The configuration, the plans, and whatever may be a script of theirs."""
        if not any(name == CONF or name.endswith(".plan") for name in names):
            return []
        return [
            name for name in names if name.endswith((".plan", ".sql", ".pgsql")) or name == CONF
        ]

    def detect(self, files: Sequence[SourceFile]) -> bool:
        """Whether there is a plan with the pragmas that every plan of Sqitch has."""
        plans = [file for file in files if file.name.endswith(".plan")]
        return any(mark in file.content for file in plans for mark in _MARKS)

    def load(self, files: Sequence[SourceFile], reading: Reading) -> list[Migration]:
        """The changes of the plan, in its order. Raises LoadError."""
        known = {file.name: file for file in files}
        conf = text_of(known[CONF]) if CONF in known else None
        layout = layout_of(list(known), conf)
        if layout.plan not in known:
            raise FolderError(layout.plan, None, "there is no such plan", f"Correct {CONF}")
        plan = parse_plan(text_of(known[layout.plan]), layout.plan)
        found = [self._loaded(change, plan, layout, known, reading) for change in plan.changes]
        return _with_stale([_noted(migration) for migration in found], layout)

    def rebuild(
        self, version: str, name: str, files: Sequence[SourceFile], reading: Reading
    ) -> Migration:
        """The change of its own scripts; the first one deploys. Raises LoadError."""
        conf = next((file for file in files if file.name == CONF), None)
        own = [file for file in files if file is not conf]
        scripts: list[SourceFile | None] = [own[0], None, None]
        if len(own) == 3:
            scripts = list(own)
        elif len(own) == 2:
            scripts[_VERIFY if _verifies(own[1].name) else _REVERT] = own[1]
        return _noted(self._migration(version, scripts, (), reading, conf))

    def _loaded(
        self,
        change: Change,
        plan: SqitchPlan,
        layout: Layout,
        known: dict[str, SourceFile],
        reading: Reading,
    ) -> Migration:
        tag = _tag_of(change, layout, known)
        deploy = layout.script(_DEPLOY, change.name, tag)
        if deploy not in known:
            raise FolderError(
                layout.plan,
                change.line,
                f"change {change.name} has no script {deploy}",
                "Add the file, or correct the plan",
            )
        scripts = [known.get(layout.script(kind, change.name, tag)) for kind in range(3)]
        _refuse_unclear(scripts)
        version = f"{change.name}@{tag}" if tag else change.name
        notes = tuple(
            f"{layout.plan}:{change.line}: {need.written} belongs to another project, which is to "
            "be applied before this one"
            for need in plan.foreign(change)
        )
        return self._migration(version, scripts, notes, reading, known.get(CONF))

    def _migration(
        self,
        version: str,
        scripts: Sequence[SourceFile | None],
        notes: tuple[str, ...],
        reading: Reading,
        conf: SourceFile | None,
    ) -> Migration:
        deploy, revert, verify = scripts
        if deploy is None:
            raise AssertionError("every change has a script that deploys")
        given = [_given(conf, kind, reading) for kind in range(3)]
        up = _built(deploy, given[_DEPLOY])
        down = _built(revert, given[_REVERT], down=True) if revert else None
        holds = _verifying(verify, given[_VERIFY]) if verify else None
        parts = [built for built in (up, down, holds) if built is not None]
        used = {name for built in parts for name in built.variables}
        files = [file for file in scripts if file is not None]
        if conf is not None and not used <= set(reading.variables):
            # The configuration belongs to the change: an agent has nothing else to fill it from.
            files.append(conf)
        return Migration(
            version=version,
            name="",
            format=self.name,
            up=up.section,
            down=down.section if down else None,
            verify=holds.section if holds else None,
            files=tuple(files),
            notes=(*notes, *(note for built in parts for note in built.notes)),
            variables=tuple(sorted(used & set(reading.variables))),
        )


def _noted(migration: Migration) -> Migration:
    for table in REGISTRY:
        migration = table.noted(migration)
    return migration


def _tag_of(change: Change, layout: Layout, known: dict[str, SourceFile]) -> str:
    """The tag in the names of an older instance's scripts: the first one that has a script."""
    for tag in change.tags:
        if layout.script(_DEPLOY, change.name, tag) in known:
            return tag
    return change.tags[0] if change.tags else ""


def _given(conf: SourceFile | None, kind: int, reading: Reading) -> Reading:
    """How scripts of a kind are read: what the configuration sets stands under what is declared."""
    if conf is None:
        return reading
    return replace(reading, variables={**variables_of(text_of(conf), kind), **reading.variables})


def _with_stale(loaded: Sequence[Migration], layout: Layout) -> list[Migration]:
    """The migrations; the newest, which most plans name, says which other plans there are."""
    if not loaded:
        return []
    notes = [
        f"{other}: is another plan beside {layout.plan}, which Sqitch reads, and is left alone"
        for other in layout.others
    ]
    return [*loaded[:-1], replace(loaded[-1], notes=(*loaded[-1].notes, *notes))]


def _verifies(name: str) -> bool:
    return any("verify" in part.lower() for part in posixpath.dirname(name).split("/"))


def _refuse_unclear(scripts: Sequence[SourceFile | None]) -> None:
    """An agent tells two scripts apart by their folders alone. Raises FolderError."""
    second = [script for script in scripts[1:] if script is not None]
    if len(second) == 1 and _verifies(second[0].name) is not (scripts[_VERIFY] is second[0]):
        raise FolderError(
            second[0].name,
            None,
            "cannot be told apart from a script of the other kind",
            "Give the folder of verify scripts a name with `verify` in it, and no other",
        )


def _built(file: SourceFile, reading: Reading, *, down: bool = False) -> Built:
    """A script as a section. Raises LoadError."""
    text, fault = text_or_fault(file)
    script = interpolated(text, reading.variables)
    body = Body.of_file(file, script.text, loose=True, down=down, fault=fault)
    try:
        built = build(body, replace(reading, variables=script.values))
    except ForbiddenSqlError as error:
        raise _in_words_of_sqitch(error, script.text) from None
    names = {name for name in built.variables if name in reading.variables} | set(script.used)
    notes = tuple(f"{file.name}: {note}" for note in script.notes)
    return replace(built, variables=tuple(sorted(names)), notes=(*notes, *built.notes))


def _in_words_of_sqitch(error: ForbiddenSqlError, text: str) -> ForbiddenSqlError:
    """The error with a remedy that fits a project of Sqitch."""
    line, problem, remedy = error.line, error.problem, error.remedy
    if not isinstance(error, PsqlScriptError):
        remedy = _TRANSACTION_REMEDY if problem.endswith("is transaction control") else remedy
    elif "reads another file" in problem:
        # With leave for psql: it says which, and what to do.
        pass
    elif found := [one.line for one in file_reads(text) if one.script]:
        line, problem = found[0], "the script reads another file, which is no part of it"
        remedy = "Write the other file's text in its place, or let psql run it (--allow-psql)"
    elif "variable" in problem or "\\set" in problem:
        remedy = f"Declare the variables that it uses with --var NAME=VALUE. {remedy}"
    return type(error)(error.file, line, problem, remedy, error.column)


def _verifying(file: SourceFile, reading: Reading) -> Built:
    """A verify script: BEGIN and its end left out, and nothing that needs a place of its own.

    Raises LoadError.
    """
    script = interpolated(text_of(file), reading.variables)
    bare = SourceFile(file.name, _unwrapped(script.text).encode())
    built = _built(bare, replace(reading, variables=script.values, programs=False))
    for statement in built.section.statements:
        if statement.kind is StatementKind.OUTSIDE:
            raise ForbiddenSqlError(
                file.name,
                statement.line,
                f"{statement.summary} cannot be taken back, so it cannot verify anything",
                "Leave it out: what a verify script does is undone",
            )
    section = replace(built.section, checksum=checksum(file.content), holds=Holds.NO_ERROR)
    names = {name for name in built.variables if name in reading.variables} | set(script.used)
    return Built(section, tuple(sorted(names)), built.notes)


def _unwrapped(text: str) -> str:
    """The text without a BEGIN as its first and a COMMIT or ROLLBACK as its last statement."""
    try:
        raw = parse(text)
    except (GrammarError, LoadError):
        return text
    begin = settings_before(raw)
    ends = [raw[begin], raw[-1]] if len(raw) > begin + 1 else []
    if [item.field for item in ends] != ["transaction_stmt"] * 2:
        return text
    if ends[0].node.kind not in _BEGINS or ends[1].node.kind not in _ENDS:
        return text
    data = text.encode()
    for item in reversed(ends):
        end = item.end + (data[item.end : item.end + 1] == b";")
        kept = b"\n" * data.count(b"\n", item.start, end)
        data = data[: item.start] + kept + data[end:]
    return data.decode()


FORMATS = (Sqitch(), WithHistoryTable(Sqitch(), REGISTRY))
"""As it is, and with look-alikes of Sqitch's own tables."""
