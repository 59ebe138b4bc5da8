"""A script of a Sqitch project as a section; of a verify script, what Sqitch's psql makes of it.

A verify script may begin and end transactions as often as it likes:

    BEGIN; INSERT …; ROLLBACK; BEGIN; SELECT 1 / count(*) …; ROLLBACK;

Each part is taken back at its end, whether it says ROLLBACK or COMMIT; what it sets for its session
between them holds for the parts behind it. What only psql understands, psql runs, with a person's
leave; without it the script is left out, with a note, and its change is usable all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from migrations.errors import ForbiddenSqlError, PsqlScriptError, VariableError
from migrations.formats import Reading
from migrations.formats.checksum import checksum
from migrations.formats.encoding import text_of, text_or_fault
from migrations.formats.psql_variables import interpolated
from migrations.formats.sections import Body, Built, as_program, build
from migrations.model.migration import (
    VERIFY_SAVEPOINT,
    Holds,
    Section,
    SourceFile,
    Statement,
    StatementKind,
)
from migrations.sql.grammar import GrammarError, parse, tree
from migrations.sql.psql_files import file_reads
from migrations.sql.statements import is_session_setting

_TRANSACTION_REMEDY = (
    "Leave it out, or keep one BEGIN and COMMIT around all of the script; what is to be committed "
    "in between is a change of its own"
)
_ALLOWED = (
    "with --allow-psql, psql runs it (for one database without a ledger: `ledger db up "
    "--allow-code`)"
)
_BEGINS = (tree.TRANS_STMT_BEGIN, tree.TRANS_STMT_START)
_ENDS = (tree.TRANS_STMT_COMMIT, tree.TRANS_STMT_ROLLBACK)


def script_section(file: SourceFile, reading: Reading, *, down: bool = False) -> Built:
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


def verifying(file: SourceFile, reading: Reading) -> tuple[Built | None, tuple[str, ...]]:
    """A verify script, if it can be run here, and what to say if it cannot. Raises LoadError."""
    try:
        return _without_psql(file, reading), ()
    except PsqlScriptError as error:
        if not reading.programs:
            return None, (_left_out(error, _ALLOWED),)
        why = error
    try:
        return _in_psql(file, why, reading), ()
    except (ForbiddenSqlError, VariableError) as refused:
        return None, (_left_out(refused, refused.remedy),)


def _left_out(error: ForbiddenSqlError | VariableError, remedy: str) -> str:
    return f"{error.place}: {error.problem}, so the verify script is left out; {remedy}"


def _in_psql(file: SourceFile, error: PsqlScriptError, reading: Reading) -> Built:
    """The script for psql, as it is. Raises ForbiddenSqlError and VariableError."""
    built = as_program(Body.of_file(file, text_of(file)), error, reading)
    note = f"{error.place}: {error.problem}; psql runs the verify script"
    return _holding(file, replace(built, notes=(note,)))


def _without_psql(file: SourceFile, reading: Reading) -> Built:
    """The parts of the script one after the other. Raises LoadError."""
    script = interpolated(text_of(file), reading.variables)
    given = replace(reading, variables=script.values, programs=False)
    parts: list[Built] = []
    statements: list[Statement] = []
    settings: list[Statement] = []
    ends: list[int] = []
    for text, end in _parts(file, script.text):
        built = script_section(SourceFile(file.name, text.encode()), given)
        found = built.section.statements
        if ends and found:
            statements += [_taken_back(ends[-1]), *settings]
        parts.append(built)
        statements += found
        if end is None:
            settings += [one for one in found if is_session_setting(one.text)]
        else:
            ends.append(end)
    _refuse_lasting(file, statements)
    names = {name for one in parts for name in one.variables if name in reading.variables}
    notes = tuple(dict.fromkeys(note for one in parts for note in one.notes))
    if len(ends) > 1:
        lines = ", ".join(map(str, ends))
        notes += (
            f"{file.name}:{ends[0]}: the transactions of the verify script that end on lines "
            f"{lines} are parts of one, and each is taken back",
        )
    section = Section(tuple(statements), parts[0].section.options, "", file=file.name)
    return _holding(file, Built(section, tuple(sorted(names | set(script.used))), notes))


def _holding(file: SourceFile, built: Built) -> Built:
    section = replace(built.section, checksum=checksum(file.content), holds=Holds.NO_ERROR)
    return replace(built, section=section)


def _parts(file: SourceFile, text: str) -> Iterator[tuple[str, int | None]]:
    """The text of each part, blank elsewhere, with the line of the statement that ends it.

    `None` for what stands in no transaction. Raises PsqlScriptError for what ends none of its own.
    """
    try:
        control = [item for item in parse(text) if item.field == "transaction_stmt"]
    except GrammarError:
        control = []
    data = text.encode()
    at = 0
    for item in control:
        line = data.count(b"\n", 0, item.start) + 1
        if item.node.kind not in (*_BEGINS, *_ENDS) or item.node.chain:
            word = data[item.start : item.end].decode().split(maxsplit=1)[0].upper()
            problem = f"{word} is more than the begin and the end of a transaction"
            raise PsqlScriptError(file.name, line, problem, "Let psql run the script")
        ended = line if item.node.kind in _ENDS else None
        yield _blank_elsewhere(data, at, item.start), ended
        at = item.end + (data[item.end : item.end + 1] == b";")
    yield _blank_elsewhere(data, at, len(data)), None


def _blank_elsewhere(data: bytes, start: int, end: int) -> str:
    """The text between two places on the lines and in the columns where it stands."""
    before = data[:start].decode()
    blank = "".join(letter if letter == "\n" else " " for letter in before)
    return blank + data[start:end].decode()


def _taken_back(line: int) -> Statement:
    """What ends a part: everything is as it was before the script."""
    text = f"ROLLBACK TO SAVEPOINT {VERIFY_SAVEPOINT}"
    return Statement(text, line, StatementKind.TRANSACTIONAL, "ROLLBACK")


def _refuse_lasting(file: SourceFile, statements: Sequence[Statement]) -> None:
    """Raise ForbiddenSqlError for what cannot be taken back."""
    for statement in statements:
        if statement.kind is StatementKind.OUTSIDE:
            raise ForbiddenSqlError(
                file.name,
                statement.line,
                f"{statement.summary} cannot be taken back, so it cannot verify anything",
                "Leave it out: what a verify script does is undone",
            )
