"""Turns whatever went wrong into one sentence and an exit code.

Texts of drivers and of the operating system may quote connection strings, so only our own errors
speak for themselves; of everything else, only its place in our code is told.
"""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from ledger.bus.port import BusError, BusMisconfigured
from ledger.cli.app.exits import ExitCode
from ledger.contracts.envelope import UnknownMessage
from ledger.domain.refusals import InvalidArgument, RequestRefusal
from ledger.domain.rollout import BrokenStream
from ledger.embedded.errors import EmbeddedError
from ledger.errors import LedgerError
from ledger.settings.errors import SettingsError
from ledger.signing.errors import KeyUnusable
from ledger.store.obstacles import unreachable
from migrations.errors import LoadError, MigrationsError, WrongCreation
from migrations.printable import escaped

PACKAGES = Path(__file__).parents[3]
"""Where our three packages are; frames below it are ours to name."""
DATABASE_ERRORS = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""What is raised where the ledger's database is lost, or takes no session. Errors of files have a
name, and what goes wrong with our own output nobody raises (`ledger.outlet`)."""
WRONG_PATHS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""What a path that was named wrong raises; rights and a full disk are no wrong usage."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What to tell the person, and how to end."""

    text: str
    code: ExitCode


def explain(error: BaseException) -> Explanation:
    """One sentence about `error`, with the next action, and the exit code that goes with it."""
    match error:
        case BaseExceptionGroup():
            return explain(error.exceptions[0])
        case RequestRefusal():
            return _refusal(error)
        case LedgerError():
            return Explanation(str(error), ExitCode(error.exit_code))
        case BusMisconfigured() | SettingsError() | KeyUnusable():
            return Explanation(str(error), ExitCode.USAGE)
        case WrongCreation() | LoadError():
            return Explanation(str(error), ExitCode.USAGE)
        case MigrationsError() | EmbeddedError() | BusError() | UnknownMessage() | BrokenStream():
            return Explanation(str(error), ExitCode.FAILED)
        case asyncpg.InsufficientPrivilegeError():
            return Explanation(
                "your role may not do that in this ledger; GRANT ledger_viewer TO it to look, "
                "ledger_operator to ask, ledger_service to lead, or connect as another",
                ExitCode.REFUSED,
            )
        case OSError() if error.filename is not None:
            return Explanation(
                f"{_shown(error.filename)} cannot be used ({error.strerror}); correct the path, "
                "or the rights to it",
                ExitCode.USAGE if isinstance(error, WRONG_PATHS) else ExitCode.FAILED,
            )
        case _ if isinstance(error, DATABASE_ERRORS):
            return Explanation(str(unreachable(error)), ExitCode.UNREACHABLE)
        case _:
            return Explanation(
                f"something unexpected happened (in {_place(error)}{_state(error)}); "
                "`ledger --debug …` shows the details",
                ExitCode.FAILED,
            )


def _refusal(error: RequestRefusal) -> Explanation:
    """What cannot be meant at all is wrong usage, like what the command line itself refuses."""
    if isinstance(error, InvalidArgument):
        return Explanation(str(error), ExitCode.USAGE)
    return Explanation(f"refused: {error}", ExitCode.REFUSED)


def _shown(name: object) -> str:
    return escaped(os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name))


def _state(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    return f", SQLSTATE {state}" if state else ""


def _place(error: BaseException) -> str:
    """The innermost line of ours that the error passed."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(PACKAGES) and "site-packages/" not in (
            Path(frame.filename).relative_to(PACKAGES).as_posix()
        ):
            return f"{Path(frame.filename).relative_to(PACKAGES).as_posix()}:{frame.lineno}"
    return "a library"
