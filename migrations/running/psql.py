"""psql scripts as migrations: the file's text, run by the psql that is installed here.

A script that fits in one transaction (`migrations.sql.psql_script`) gets one from psql; our entry
is its last statement:

    psql --single-transaction:  script ─▶ entry (step done) ─▶ COMMIT    then: verify ─▶ final entry

so the journal has the entry exactly when the effect is there, crash or not: a psql that outlives
its agent finds the entry's number taken by the next attempt, and its transaction rolls back. Any
other script commits as it goes:

    intent ─▶ psql ─▶ step done          a crash or a failure in between leaves the state in doubt

Declared variables are set by a script of their own before it. The password goes through a file
that only we can read and that is gone before the script begins; values go through such files too,
and nothing secret through its environment or its arguments. Where no shell is allowed, psql can
start no process (`migrations.running.confinement`). Its output is thrown away, for it may hold
tenant data; what it says of an error is kept as if a session of ours had heard it, without values.
When we are cancelled, psql is interrupted, and killed if that does not end it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
import re
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import asyncpg

from migrations.child_process import end_group, signal_group
from migrations.clock import Clock, elapsed_ms
from migrations.errors import InDoubt
from migrations.model.attempt import Failure, FailureClass
from migrations.model.migration import Options, Program
from migrations.running.plan import Execute
from migrations.running.psql_environment import PsqlPlace, application_name, environment
from migrations.running.retry import AT_THE_END, StatementFailed, failed_at, retrying
from migrations.sql.psql_files import expanded, scripts
from migrations.sql.psql_script import open_transaction, prologue
from migrations.sql.psql_shell import checked
from migrations.target.entries import NewEntry, State, entry_for
from migrations.target.failure import from_error
from migrations.target.journal import statement
from migrations.target.password_file import password_lines
from migrations.target.refusals import is_touched, journal_touched, written_too_late
from migrations.target.session import ConnectionSettings
from migrations.target.session_role import ourselves
from migrations.target.target import Target

LOCK_TIMED_OUT = "55P03"
SAID_MAX_BYTES = 64 * 1024
"""Of psql's messages: the last one is the error that ended it."""
INTERRUPT_GRACE_S = 3.0
"""Enough for a cancelled statement to end; then the process is killed."""

CONNECTED_EVERY_S = 0.01
"""How often is looked whether psql has connected."""
SETTING, SCRIPT, CLOSING = "setting.sql", "ledger script.sql", "closing.sql"
"""What psql is given, in this order: its variables, what the author wrote, and our entry."""
CONFINED = Path(__file__).with_name("confinement.py")

_CLOSING = """
SET CONSTRAINTS ALL IMMEDIATE;
SET SESSION AUTHORIZATION DEFAULT;
SET ROLE {ourselves};
SET LOCAL search_path TO pg_catalog, pg_temp;
{untouched};
{entry};
{commit};
"""
_SERVER_ERROR = re.compile(
    r"^psql:(?:([^\n]*?):(\d+): |\s*(?:error: )?)"
    r"(?:ERROR|FATAL|PANIC):\s+([0-9A-Z]{5}): ([^\n]*)",
    re.MULTILINE,
)
_BESIDE = re.compile(r"^(DETAIL|HINT|CONTEXT|LOCATION|SCHEMA NAME): +(.*)$", re.MULTILINE)
"""What psql says of an error behind its first line, as long as its messages are verbose."""
_FIELDS = {"DETAIL": "D", "HINT": "H", "CONTEXT": "W", "LOCATION": "R", "SCHEMA NAME": "s"}
"""The letters of the protocol for what psql shows."""
_OWN_ERROR = re.compile(r"^psql:(?:([^\n]*?):(\d+):)?\s*(?:error: )?([^\n]*)", re.MULTILINE)
_MESSAGE_MAX_CHARS = 500


async def run_psql(target: Target, run: Execute, program: Program) -> int:
    """Run the script, and journal that it is done; how many steps that was.

    Raises StatementFailed when nothing of it holds, InDoubt when nobody can tell.
    """
    if run.resume is not None and 1 in run.resume.done:
        return 1
    # A long script must not run under an epoch that only this process knows.
    await target.keep_epoch()
    if target.use.schemas:
        # Asked in our own session, where its names would be found.
        await target.begin(run.section.options)
        await target.rollback()
    started = target.clock.monotonic()
    if open_transaction(program):
        # What did not get its locks has left nothing behind.
        await retrying(target, lambda: _in_one_transaction(target, run, program, started))
    else:
        await _as_it_goes(target, run, program, started)
    return 1


async def _in_one_transaction(
    target: Target, run: Execute, program: Program, started: float
) -> None:
    async def once() -> None:
        entry = _done(target, run, started)
        closing = _CLOSING.format(
            ourselves=ourselves(target.connection),
            untouched=target.untouched(),
            entry=target.entry_for_elsewhere(entry),
            commit=statement("commit"),
        )
        code, said, _ = await _psql(PsqlPlace.of(target), run.section.options, program, closing)
        if await target.written_elsewhere(entry):
            return
        if code == 0:
            raise InDoubt(
                f"psql ended {program.file} without an error and without the entry that ends it; "
                "take what ends it early or switches ON_ERROR_STOP off out of the script"
            )
        if is_touched(said):
            raise failed_at(journal_touched(), None)
        failed = _failed(PsqlPlace.of(target), program, said)
        cause = failed.cause
        if failed.at_the_end and isinstance(cause, asyncpg.ReadOnlySQLTransactionError):
            raise failed_at(written_too_late(cause), None)
        raise failed

    await retrying(target, once)


async def _as_it_goes(target: Target, run: Execute, program: Program, started: float) -> None:
    if run.resume is not None:
        raise InDoubt(f"{program.file} was begun before and nobody knows how far it came")
    await target.record(entry_for(run.migration, run.direction, -1, State.INTENT))
    try:
        code, said, connected = await _psql(PsqlPlace.of(target), run.section.options, program)
    except StatementFailed as failed:
        failed.without_effect = 1
        raise
    if not connected:
        unconnected = _failed(PsqlPlace.of(target), program, said)
        unconnected.without_effect = 1
        raise unconnected
    if code != 0:
        failure = _failed(PsqlPlace.of(target), program, said).failure
        raise InDoubt(
            f"{failure.message} (line {failure.line or '?'} of {program.file}); what stands before "
            "that may be committed"
        )
    await target.record(_done(target, run, started))


async def verify_in_psql(place: PsqlPlace, options: Options, program: Program) -> None:
    """Run a verify script, and take back what it does if it does not do so itself.

    Raises StatementFailed when it ends with an error.
    """
    closing = "ROLLBACK;\n" if open_transaction(program) else ""
    code, said, _ = await _psql(place, options, program, closing)
    if code != 0:
        failed = _failed(place, program, said)
        message = f"Verify: {failed.failure.message}; the change does not hold"
        failed.failure = replace(failed.failure, kind=FailureClass.VERIFY, message=message)
        raise failed


def _done(target: Target, run: Execute, started: float) -> NewEntry:
    entry = entry_for(run.migration, run.direction, 1, State.STEP_DONE)
    return replace(entry, statements=1, duration_ms=elapsed_ms(target.clock, started))


async def _psql(
    place: PsqlPlace,
    options: Options,
    program: Program,
    closing: str = "",
) -> tuple[int, str, bool]:
    """The exit code of psql, what it said of errors, and whether it had a session.

    With a closing it is one transaction. Raises StatementFailed where psql cannot be started.
    """
    psql = shutil.which("psql")
    if psql is None:
        message = "psql is not installed here; install PostgreSQL's client programs where this runs"
        raise StatementFailed(
            Failure(FailureClass.PROGRAM, message), None, FileNotFoundError("psql")
        )
    with tempfile.TemporaryDirectory(prefix="migration-ledger-psql-") as name:
        folder = Path(name)
        connected = folder / "0.sql"
        os.mkfifo(connected, 0o600)
        arguments = ["--no-psqlrc", "--quiet", "--no-password", f"--file={connected}"]
        arguments += ["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose"]
        if closing:
            arguments.append("--single-transaction")
        text = checked(program.text, SCRIPT)
        scripts = {SETTING: prologue(program), SCRIPT: text, CLOSING: closing}
        here = _lay_out(folder, program)
        for script, content in scripts.items():
            if content:
                beside = here / posixpath.dirname(program.file) if script == SCRIPT else folder
                file = beside / script
                file.write_bytes(content.encode())
                arguments.append(f"--file={file}")
        passwords = _write_password(place.settings, folder)
        confined = () if place.shell else (sys.executable, "-I", "-S", str(CONFINED))
        process = await asyncio.create_subprocess_exec(
            *confined,
            psql,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment(place, options, folder, passwords),
            cwd=here,
            # Its own group, so that what it starts ends with it.
            start_new_session=True,
        )
        place.lookout.beside = application_name(place)
        try:
            return await _ended(process, connected, passwords, place.clock)
        finally:
            place.lookout.beside = ""


def _lay_out(folder: Path, program: Program) -> Path:
    """The folder that psql runs in, with the files that the script reads where it looks for them.

    The script itself stands where it stands in its own folder, for what is relative to it.
    """
    here = folder / "files"
    for name in (program.file, *(one.name for one in program.files)):
        if name.startswith("/") or ".." in name.split("/"):
            raise AssertionError("a name that leads out of the folder is refused before")
    (here / posixpath.dirname(program.file)).mkdir(parents=True)
    for one in program.files:
        place = here / one.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(one.content)
    for text, name in scripts(program):
        if name != program.file and (watched := checked(text, name)) != text:
            (here / name).write_bytes(watched.encode())
    return here


def _write_password(settings: ConnectionSettings, folder: Path) -> Path | None:
    """A file with the password of this one database, which only we can read."""
    if settings.password is None:
        return None
    file = folder / "password"
    place = (settings.host, str(settings.port), settings.database, settings.user)
    try:
        content = password_lines(place, settings.password.reveal())
    except ValueError as error:
        failure = Failure(
            FailureClass.PROGRAM, "the password holds a line end, which psql cannot take"
        )
        raise StatementFailed(failure, None, error) from None
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(content)
    return file


async def _forget_password(connected: Path, passwords: Path | None, clock: Clock) -> None:
    """Remove the password as soon as psql has used it: when it opens its first script.

    That one is a pipe, and opening it fails for as long as nobody reads it.
    """
    while True:
        try:
            descriptor = os.open(connected, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            await clock.sleep(CONNECTED_EVERY_S)
            continue
        if passwords is not None:
            os.unlink(passwords)
        os.close(descriptor)
        return


async def _ended(
    process: asyncio.subprocess.Process, connected: Path, passwords: Path | None, clock: Clock
) -> tuple[int, str, bool]:
    """Wait for the end, which is as `_psql` says; a cancellation ends the process first."""
    forget = _forget_password(connected, passwords, clock)
    forgetting = asyncio.create_task(forget, name="psql-password")
    try:
        said = await _said(process)
        await process.wait()
        had_session = forgetting.done()
    except asyncio.CancelledError:
        signal_group(process, signal.SIGINT)
        try:
            async with clock.timeout(INTERRUPT_GRACE_S):
                # It cannot end while what it says is not read.
                await _said(process)
                await process.wait()
        except TimeoutError:
            await end_group(process)
        raise
    finally:
        forgetting.cancel()
        await asyncio.gather(forgetting, return_exceptions=True)
    return process.returncode or 0, said.decode(errors="replace"), had_session


async def _said(process: asyncio.subprocess.Process) -> bytes:
    """The end of what it says of errors, however much that is."""
    if process.stderr is None:
        raise AssertionError("its errors are read")
    said = b""
    while more := await process.stderr.read(SAID_MAX_BYTES):
        said = (said + more)[-SAID_MAX_BYTES:]
    return said


def _failed(place: PsqlPlace, program: Program, said: str) -> StatementFailed:
    """What psql said, as a failure of the script."""
    found = _SERVER_ERROR.search(said)
    cause: BaseException | None = None
    if found is not None:
        cause = _error(found, said)
        failure = from_error(cause, expanded(program))
        if failure.sqlstate == LOCK_TIMED_OUT:
            failure = replace(failure, blocker=place.lookout.seen())
    else:
        found = _OWN_ERROR.search(said)
        message = f"psql: {found[3][:_MESSAGE_MAX_CHARS]}" if found else "psql ended with an error"
        failure, cause = Failure(FailureClass.SQL, message), RuntimeError(message)
    file, line = (found[1], found[2]) if found else (None, None)
    failed = StatementFailed(_located(failure, program, file, line), None, cause)
    failed.at_the_end = Path(file or "").name == CLOSING
    return failed


def _error(found: re.Match[str], said: str) -> BaseException:
    """The server's error as it would have come to a session of ours, with what stands beside it."""
    end = _SERVER_ERROR.search(said, found.end())
    beside = said[found.end() : end.start() if end else len(said)]
    fields = {"S": "ERROR", "V": "ERROR", "C": found[3], "M": found[4]}
    for name, text in _BESIDE.findall(beside):
        fields.setdefault(_FIELDS[name], text.partition(",")[0] if name == "LOCATION" else text)
    error: BaseException = asyncpg.PostgresError.new(fields)
    return error


def _located(failure: Failure, program: Program, file: str | None, line: str | None) -> Failure:
    """The failure where it was; behind the script's last line is what ours of it said."""
    failure = replace(failure, file=program.file)
    match Path(file or "").name:
        case name if name == SCRIPT and line is not None:
            return replace(failure, line=int(line))
        case name if line is not None and (inner := _carried(program, file or "", name)):
            return replace(failure, file=inner, line=int(line))
        case name if name == CLOSING:
            last = program.text.rstrip().count("\n") + 1
            return replace(failure, line=last, message=f"{failure.message} ({AT_THE_END})")
        case _:
            return replace(failure, line=1)


def _carried(program: Program, path: str, name: str) -> str:
    """The file beside the script that psql speaks of; empty if it is none."""
    ends = (one.name for one in program.files if Path(one.name).name == name)
    return next((one for one in ends if path == one or path.endswith(f"/{one}")), "")
