"""From the text of a section to the section: what all formats do alike.

    text ─▶ placeholders filled ─▶ BEGIN and COMMIT left out ─▶ statements
      └── only psql understands it ─▶ refused, or (with leave) the whole text as a program

A down section that cannot be a migration is kept as broken, whether its SQL, its variables or its
bytes are at fault: the folder loads, as it does for its own tool, and only taking that migration
back is refused. A marker that cannot be read breaks the Down that it stands in, too
(`migrations.formats.way_back`); elsewhere, and as a heading, it is an error of its file.

A section has a transaction of its own, which commits at once what a script would commit in parts.
Where that is not the same, each part is a step: where the section runs step by step anyway, where
something is said for the rest of a transaction (SET LOCAL), which would hold for longer, and where
a part changes a table to which one before it has written.

What whoever reads the plan should know comes back as notes with file and line: a wrapper that was
left out, statements that make the section run step by step, roles that a second database of the
same server has already, a psql script. The checksum is the caller's: it is taken from the file's
own bytes, never from what became of them here, and leaves out what is no change
(`migrations.formats.checksum`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from migrations.errors import (
    EncodingError,
    ForbiddenSqlError,
    LoadError,
    PsqlScriptError,
    SqlSyntaxError,
    VariableError,
)
from migrations.formats import Reading
from migrations.formats.beside import checksum_with, files_of
from migrations.formats.bound_values import is_one_token
from migrations.formats.checksum import checksum as checksum_of
from migrations.formats.variables import PLACEHOLDER, Reads, fill, read
from migrations.model.migration import (
    Language,
    Migration,
    Options,
    Program,
    Section,
    SourceFile,
    Statement,
    StatementKind,
)
from migrations.sql.classify import enum_value_used
from migrations.sql.psql_files import expanded, leaves, scripts
from migrations.sql.psql_script import bare, open_transaction, referenced
from migrations.sql.refusals import script_refusal
from migrations.sql.savepoints import LABELS as SAVEPOINTS
from migrations.sql.session_state import rests_on_session

NO_OPTIONS = Options()
ROLE_REMEDY = (
    "roles belong to the server, so the second database of the same server fails here; guard it "
    "with DO $$ … IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '…') THEN … $$"
)


_RESTRICTS = re.compile(r"^\\(?:un)?restrict[ \t]+[A-Za-z0-9]+[ \t]*(?=\r?$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Body:
    """The text of a section before it is read; `line` is the 1-based line of `file` it starts on.

    `hashed` is what the checksum is taken from. `placeholder` finds what is to be filled. A section
    is `loose` when its format promises no transaction: then it runs step by step where it uses a
    value of an enum that it has just added, which no single transaction may. One that is
    `committed` may have been written for a tool that commits what the text leaves open. One that is
    `batched` runs inside of transactions, and may begin and end none. `down` says that the section
    takes back what an up did: nobody but its author is to blame if it cannot run; `ours` that the
    file is in our own format. `fault` is why there is no text.
    """

    text: str
    file: str
    hashed: bytes
    line: int = 1
    options: Options = NO_OPTIONS
    verify: bool = False
    placeholder: re.Pattern[str] = PLACEHOLDER
    loose: bool = False
    committed: bool = False
    down: bool = False
    ours: bool = False
    batched: bool = False
    fault: LoadError | None = None

    @classmethod
    def of_file(
        cls,
        file: SourceFile,
        text: str,
        options: Options = NO_OPTIONS,
        *,
        loose: bool = False,
        down: bool = False,
        fault: LoadError | None = None,
    ) -> Body:
        """A whole file as one section."""
        hashed = file.content
        return cls(text, file.name, hashed, options=options, loose=loose, down=down, fault=fault)


@dataclass(frozen=True, slots=True)
class Built:
    """A section, what it was filled with, and what to say about it."""

    section: Section
    variables: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def build(body: Body, reading: Reading) -> Built:
    """The section that `body` makes; a down is broken rather than refused. Raises LoadError."""
    checksum = checksum_of(body.hashed)
    try:
        return _built(body, checksum, reading)
    except (SqlSyntaxError, ForbiddenSqlError, VariableError, EncodingError) as error:
        if not body.down:
            raise
        section = Section((), body.options, checksum, file=body.file, broken=str(error))
        note = f"{error.place}: the down cannot run: {error.problem}. {error.remedy}"
        return Built(section, notes=(note,))


def assemble(
    named: tuple[str, str], format: str, file: SourceFile, built: Mapping[str, Built]
) -> Migration:
    """The migration of one file from its sections, called `Up`, `Down` and `Verify`."""
    up, down, verify = (
        built[key].section if key in built else None for key in ("Up", "Down", "Verify")
    )
    if up is None:
        raise AssertionError("the caller has checked that there is an Up section")
    version, name = named
    return Migration(
        version,
        name,
        format,
        up,
        down,
        verify,
        (file,),
        notes=tuple(note for one in built.values() for note in one.notes),
        variables=tuple(sorted({name for one in built.values() for name in one.variables})),
    )


def _built(body: Body, checksum: str, reading: Reading) -> Built:
    """The section, or what is wrong with it. Raises LoadError."""
    if body.fault is not None:
        raise body.fault
    try:
        reads = read(
            body.text,
            reading.variables,
            file=body.file,
            first_line=body.line,
            verify=body.verify,
            foreign=not body.ours,
            begun=None if body.batched else not body.loose and body.options.transaction,
            ended=body.committed and body.options.transaction,
            alone=not body.options.transaction,
            pattern=body.placeholder,
        )
    except PsqlScriptError as error:
        if _RESTRICTS.search(body.text):
            return _unrestricted(body, checksum, reading)
        return as_program(body, error, reading)
    options = replace(body.options, isolation=reads.isolation)
    if reads.wrapper:
        # Its author wanted one transaction; where a statement forbids that, it runs step by step.
        options = replace(options, transaction=True)
    elif reads.apart:
        options = replace(options, transaction=False)
    added = None
    if (body.loose or reads.control) and options.transaction and not reads.wrapper:
        added = enum_value_used(reads.statements)
    if added is not None:
        options = replace(options, transaction=False)
    section = Section(reads.statements, options, checksum, file=body.file)
    if not (section.transactional or body.verify):
        _refuse_session_state(body, section)
        _refuse_savepoints(body, section)
    notes = [*_notes(body, section, reads), *([_loosely(body, added)] if added else [])]
    return Built(section, reads.variables, tuple(notes))


def _refuse_session_state(body: Body, section: Section) -> None:
    """Raise ForbiddenSqlError for what would be gone if the section went on in another session."""
    for statement in section.statements:
        if what := rests_on_session(statement.text):
            raise ForbiddenSqlError(
                body.file,
                statement.line,
                f"{statement.summary}: {what} ends with the session, and a section that commits "
                "statement by statement may go on in another one",
                "Put what needs it into a migration of its own that runs in one transaction, or "
                "use an ordinary table and drop it at the end",
            )


def _refuse_savepoints(body: Body, section: Section) -> None:
    """Raise ForbiddenSqlError for a savepoint that stands in no transaction."""
    for statement in section.statements:
        if not statement.part and statement.summary in SAVEPOINTS.values():
            raise ForbiddenSqlError(
                body.file,
                statement.line,
                f"{statement.summary} needs a transaction, and this section runs statement by "
                "statement",
                "Leave it out, or put what belongs together between BEGIN and COMMIT, or into a "
                "migration of its own that runs in one transaction",
            )


def _unrestricted(body: Body, checksum: str, reading: Reading) -> Built:
    """The section without the lines by which today's pg_dump keeps psql's commands out of itself.

    They say nothing to a reader that has no such commands. Raises LoadError.
    """
    first = body.line + body.text.count("\n", 0, next(_RESTRICTS.finditer(body.text)).start())
    built = _built(replace(body, text=_RESTRICTS.sub("", body.text)), checksum, reading)
    note = f"{body.file}:{first}: \\restrict and \\unrestrict of pg_dump are left out"
    return replace(built, notes=(*built.notes, note))


def as_program(body: Body, error: PsqlScriptError, reading: Reading) -> Built:
    """The text as a psql script, if a person allowed that. Raises PsqlScriptError.

    Placeholders are filled as anywhere; psql is given the variables that it knows by `:name`.
    Raises VariableError for a value that does not fit.
    """
    if body.verify:
        raise error
    if not reading.programs:
        remedy = (
            f"{error.remedy}; or let psql run this folder's scripts with --allow-psql (for one "
            "database without a ledger: `ledger db up --allow-code`)"
        )
        raise PsqlScriptError(error.file, error.line, error.problem, remedy, error.column) from None
    filled = fill(
        body.text, reading.variables, file=body.file, first_line=body.line, pattern=body.placeholder
    )
    files = files_of(filled.filled, body.file, body.line, reading.beside)
    # Blank lines in front make psql count lines as the file has them.
    text = "\n" * (body.line - 1) + filled.filled
    program = Program(Language.PSQL, body.file, text, files=files)
    whole = expanded(program)
    for one in (*(text for text, _ in scripts(program)), whole):
        if not (refused := script_refusal(one)):
            continue
        raise ForbiddenSqlError(body.file, body.line, refused.problem, refused.remedy) from None
    taken = referenced(whole, reading.variables)
    for name, value in taken:
        if name in bare(whole) and not is_one_token(value):
            raise VariableError(
                body.file,
                body.line,
                f"the value of variable {name} is more than one literal or one name",
                f"Write :'{name}' or :\"{name}\" in the script, or give it one word",
            ) from None
    program = replace(program, variables=taken)
    checksum = checksum_with(checksum_of(body.hashed), files)
    how = (
        "in one transaction"
        if open_transaction(program)
        else "statement by statement, so that a crash in it leaves the migration in doubt"
    )
    if leaves(program, taken):
        how += ", and only where LEDGER_AGENT_PSQL_SHELL allows it to leave the database"
    note = f"{error.place}: {error.problem}; psql runs the whole section, {how}"
    names = tuple(sorted({*filled.names, *(name for name, _ in taken)}))
    section = Section((), body.options, checksum, program)
    return Built(section, names, (note,))


def _notes(body: Body, section: Section, reads: Reads) -> Iterator[str]:
    if reads.wrapper:
        first, last = reads.wrapper
        yield (
            f"{body.file}:{first}: BEGIN, and COMMIT on line {last}, stand around the whole "
            "section and are left out: it has a transaction of its own"
        )
    if reads.isolated:
        yield (
            f"{body.file}:{reads.isolated}: the section's own transaction is {reads.isolation}, "
            "too; one that cannot be serialized is tried again"
        )
    outside = [one for one in section.statements if one.kind is StatementKind.OUTSIDE]
    if reads.control:
        lines = ", ".join(dict.fromkeys(map(str, reads.control)))
        how = "has a transaction of its own, which commits all of it at once"
        if not section.transactional:
            how = "runs step by step, and what stands between them is one step"
        if reads.apart and body.options.transaction and not outside:
            how += f", which line {reads.apart} needs"
        yield (
            f"{body.file}:{reads.control[0]}: BEGIN and COMMIT on line {lines} are left out: the "
            f"section {how}"
        )
    if outside and section.options.transaction:
        yield (
            f"{_at(body, outside[0])}: {outside[0].summary} cannot run in a transaction, so the "
            "section runs and commits statement by statement"
        )
    for statement in section.statements:
        if statement.summary.startswith("CREATE ROLE"):
            yield f"{_at(body, statement)}: {statement.summary}: {ROLE_REMEDY}"


def _loosely(body: Body, added: Statement) -> str:
    return (
        f"{_at(body, added)}: adds a value to an enum that is used further down, so the section "
        "runs and commits statement by statement"
    )


def _at(body: Body, statement: Statement) -> str:
    return f"{body.file}:{statement.line}"
