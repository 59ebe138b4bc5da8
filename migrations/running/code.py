"""Code migrations: Python modules, run under the rules of every other migration.

    begin (fence) ─▶ up(conn) or down(conn) ─▶ verify(conn) ─▶ entry (guards) ─▶ COMMIT

The text is the one that was hashed. It is compiled and executed as it is, for every try anew, under
a name that nothing can import; no path is searched for it. With `notransaction` each statement of
the module commits by itself, between an intent and the final entry:

    intent ─▶ up(conn) ─▶ verify(conn) and entry, in a transaction
       └─ after a crash or a failure: up(conn) again from its first line; or down(conn)

so such a module must be able to run again over what it did before.

What a module raises is reported with its class and line. Its text is repeated only if it stands in
the module as it is: whatever was composed while it ran may hold tenant data. Time limits are those
of statements; a loop that sends none is ended by nobody, and blocks the agent while it does not
await.
"""

from __future__ import annotations

import ast
import asyncio
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import count
from types import CodeType, ModuleType

import asyncpg

from migrations.errors import ProgramRefused
from migrations.model.attempt import Failure, FailureClass
from migrations.model.migration import Direction, Language, Migration, Program, Section
from migrations.running.guarded_connection import GuardedConnection, Stage, code_name
from migrations.running.plan import Execute, StepDecision
from migrations.running.retry import StatementFailed
from migrations.sql.psql_files import leaves
from migrations.target.entries import State, entry_for
from migrations.target.session import Connection, ConnectionSettings
from migrations.target.target import Target

logger = logging.getLogger(__name__)

COMPILED = 256
"""Modules that stay compiled: a rollout runs the same few on thousands of databases."""


def refuse_programs(
    allowed: frozenset[Language], decisions: Iterable[StepDecision], *, shell: bool
) -> None:
    """Raise ProgramRefused if something is to run in a language that is not allowed here.

    Also if a psql script reaches out of the database and `shell` does not allow that.
    """
    for decision in decisions:
        if isinstance(decision, Execute):
            verify = decision.migration.verify if decision.direction is Direction.UP else None
            _refuse(allowed, decision.migration, (decision.section, verify))
            for section in filter(None, (decision.section, verify)):
                program = section.program
                if program is not None and program.language is Language.PSQL and not shell:
                    _refuse_shell(decision.migration, program)


def refuse_verify_program(
    allowed: frozenset[Language], migration: Migration, *, shell: bool
) -> None:
    """Raise ProgramRefused if its `verify` is in a language that is not allowed.

    Also if a psql script reaches out of the database and `shell` does not allow that.
    """
    _refuse(allowed, migration, (migration.verify,))
    program = migration.verify.program if migration.verify else None
    if program is not None and program.language is Language.PSQL and not shell:
        _refuse_shell(migration, program)


async def run_in_transaction(target: Target, run: Execute, program: Program) -> int:
    """Run the function in the open transaction; how many statements it sent.

    Raises StatementFailed, or what a lost connection raises.
    """
    _, statements = await _call(_stage_of(target, run, program), program)
    return statements


async def run_alone(target: Target, run: Execute, program: Program) -> int:
    """Run the function outside of any transaction, after its intent. Raises as above."""
    await target.keep_epoch()
    if run.resume is None:
        await target.record(entry_for(run.migration, run.direction, -1, State.INTENT))
    await target.set_alone(run.section.options, lock_timeout_s=None)
    stage = replace(_stage_of(target, run, program), in_transaction=False)
    _, statements = await _call(stage, program)
    return statements


async def check(
    connection: Connection, settings: ConnectionSettings, schema: str, section: Section
) -> None:
    """Run the `verify` function of a section. Raises StatementFailed when it does not hold."""
    program = section.program
    if program is None:
        return
    stage = Stage(
        connection,
        settings,
        schema,
        program.file,
        _constants(program.text),
        in_transaction=connection.is_in_transaction(),
        read_only=True,
    )
    value, _ = await _call(stage, program)
    if value is not True:
        said = repr(value) if value is None or value is False else f"a {type(value).__name__}"
        message = (
            f"verify(conn) returned {said}; the change does not hold, or `return True` is missing"
        )
        failure = Failure(FailureClass.VERIFY, message, file=program.file)
        raise StatementFailed(failure, None, ValueError(message))


def _refuse(
    allowed: frozenset[Language], migration: Migration, sections: Iterable[Section | None]
) -> None:
    for program in (section.program for section in sections if section):
        if program is not None and program.language not in allowed:
            language = program.language
            raise ProgramRefused(
                f"migration {migration.label} runs {language}, which is not allowed here; set "
                f"LEDGER_AGENT_PROGRAMS={language} on the agents of this pool, or pass "
                "--allow-code to `ledger db`"
            )


def _refuse_shell(migration: Migration, program: Program) -> None:
    found = leaves(program, program.variables)
    if found is not None:
        line, word = found
        raise ProgramRefused(
            f"migration {migration.label}: line {line} of {program.file} says {word}, which leaves "
            "the database: programs, files, variables or servers of the agent; take it out, or "
            "allow it with LEDGER_AGENT_PSQL_SHELL=true on agents that serve nothing else, or pass "
            "--allow-shell to `ledger db`"
        )


def _stage_of(target: Target, run: Execute, program: Program) -> Stage:
    migration: Migration = run.migration
    return Stage(
        target.connection,
        target.settings,
        target.work.target,
        program.file,
        _constants(program.text),
        in_transaction=True,
        role=run.section.options.role,
        clock=target.clock,
        finished=lambda statement, number, ms: target.observer.statement_finished(
            migration, statement, number, number, ms
        ),
    )


async def transformed(
    target: Target, run: Execute, program: Program, rows: Sequence[asyncpg.Record]
) -> object:
    """What the function makes of one batch in the open transaction. Raises as above."""
    value, _ = await _call(_stage_of(target, run, program), program, rows)
    return value


async def _call(stage: Stage, program: Program, *given: object) -> tuple[object, int]:
    """Run the module and its function; the function's value and the number of statements."""
    conn = GuardedConnection(stage)
    cancellations = _cancellations()
    try:
        with _executed(program) as module:
            value = await getattr(module, program.entry)(*given, conn)
            if isinstance(value, Iterator):
                # Reading it runs more of the module.
                value = list(value)
    except asyncio.CancelledError as error:
        if _cancellations() > cancellations:
            raise
        raise _failed(conn, program, error) from None
    except (Exception, SystemExit, BaseExceptionGroup) as error:
        logger.debug("%s of %s failed", program.entry, program.file, exc_info=error)
        raise _failed(conn, program, error) from None
    finally:
        conn.close()
    if _cancellations() > cancellations:
        # The module has swallowed it, and must not commit what somebody wanted to stop.
        raise asyncio.CancelledError
    if conn.lost is not None or conn.failed is not None:
        raise conn.lost or conn.failed or AssertionError
    return value, conn.statements


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


def _failed(conn: GuardedConnection, program: Program, error: BaseException) -> BaseException:
    """What is raised in the place of `error`: the statement behind it, or the module's own."""
    if conn.lost is not None:
        return conn.lost
    if (behind := conn.failure_behind(error)) is not None:
        return behind
    text = str(error)
    shown = f": {text}" if text and text in _constants(program.text) else ""
    hidden = "; its text is in the debug log only, as it may hold data" if not shown else ""
    message = f"{type(error).__name__} in {program.entry}{shown}{hidden if text else ''}"
    failure = Failure(FailureClass.CODE, message, file=program.file, line=_line_of(error, program))
    return StatementFailed(failure, None, error)


def _line_of(error: BaseException, program: Program) -> int | None:
    """The last line of the module that the error came through."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == code_name(program.file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


_NUMBERS = count()
"""Of the modules that this process has run, so that none has the name of another."""


@contextmanager
def _executed(program: Program) -> Iterator[ModuleType]:
    """The module, executed; it can be found under its name while it runs (dataclasses look)."""
    name = f"migration-{next(_NUMBERS)}"
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        # The text is the one that was hashed and ordered, and a person allowed code here.
        exec(_compiled(program.text, program.file), module.__dict__)  # noqa: S102
        yield module
    finally:
        del sys.modules[name]


@lru_cache(maxsize=COMPILED)
def _compiled(text: str, file: str) -> CodeType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(text, code_name(file), "exec", dont_inherit=True)


@lru_cache(maxsize=COMPILED)
def _constants(text: str) -> frozenset[str]:
    """The texts that stand in the module as they are."""
    constants = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return frozenset(value for value in constants if isinstance(value, str))
