"""Turns whatever went wrong into one sentence and an exit code.

Texts of drivers and of the operating system may quote connection strings, so only our own errors
speak for themselves; of everything else, only its kind and its place in our code are told.
"""

from __future__ import annotations

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
from migrations.errors import MigrationsError, VariableError, WrongCreation

PACKAGES = Path(__file__).parents[3]
"""Where our three packages are; frames below it are ours to name."""


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
        case (
            BusMisconfigured() | SettingsError() | KeyUnusable() | WrongCreation() | VariableError()
        ):
            return Explanation(str(error), ExitCode.USAGE)
        case MigrationsError() | EmbeddedError() | BusError() | UnknownMessage() | BrokenStream():
            return Explanation(str(error), ExitCode.FAILED)
        case asyncpg.InsufficientPrivilegeError():
            return Explanation(
                "your database role may not do that in this ledger; connect as a member of "
                "ledger_operator (see `ledger init --help`)",
                ExitCode.REFUSED,
            )
        case asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | OSError():
            return Explanation(
                f"the ledger's database cannot be reached ({_kind(error)}); "
                "check `ledger config show` and that the server is up",
                ExitCode.UNREACHABLE,
            )
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():
            return Explanation(
                f"the ledger's database refuses the connection ({_kind(error)}); "
                "check the user, the password and the name in LEDGER_DATABASE_URL",
                ExitCode.UNREACHABLE,
            )
        case asyncpg.CannotConnectNowError() | asyncpg.OperatorInterventionError():
            return Explanation(
                f"the ledger's database is not taking work now ({_kind(error)}); try again",
                ExitCode.UNREACHABLE,
            )
        case _:
            return Explanation(
                f"something unexpected happened ({_kind(error)} in {_place(error)}); "
                "`ledger --debug …` shows the details",
                ExitCode.FAILED,
            )


def _refusal(error: RequestRefusal) -> Explanation:
    """What cannot be meant at all is wrong usage, like what the command line itself refuses."""
    if isinstance(error, InvalidArgument):
        return Explanation(str(error), ExitCode.USAGE)
    return Explanation(f"refused: {error}", ExitCode.REFUSED)


def _kind(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}, SQLSTATE {state}" if state else type(error).__name__


def _place(error: BaseException) -> str:
    """The innermost line of ours that the error passed."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).is_relative_to(PACKAGES) and "site-packages/" not in (
            Path(frame.filename).relative_to(PACKAGES).as_posix()
        ):
            return f"{Path(frame.filename).relative_to(PACKAGES).as_posix()}:{frame.lineno}"
    return "a library"
