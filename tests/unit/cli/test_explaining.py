"""Every error becomes one sentence and an exit code, and no secret is in it."""

from __future__ import annotations

import errno
import re

import asyncpg
import pytest

from ledger.bus.port import BusMisconfigured, BusUnavailable
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.explain_error import explain
from ledger.domain.refusals import InvalidWaves, LiteralPassword, UnknownDatabase
from ledger.errors import LedgerUnreachable, NotInstalled, UnknownCheck
from ledger.settings import SettingsError
from migrations.errors import (
    CreateError,
    FileNameError,
    ForbiddenSqlError,
    MarkerError,
    SqlSyntaxError,
    WrongCreation,
)

SECRET = "postgresql://ada:hunter2@db/ledger"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("wrong; correct it"), ExitCode.USAGE),
        (BusMisconfigured("no TLS; set it"), ExitCode.USAGE),
        (UnknownDatabase("acme"), ExitCode.REFUSED),
        (UnknownCheck("k1"), ExitCode.REFUSED),
        (InvalidWaves("1,x", "'x' is no size"), ExitCode.USAGE),
        (LiteralPassword("acme"), ExitCode.USAGE),
        (NotInstalled(), ExitCode.UNREACHABLE),
        (LedgerUnreachable("is away", "wait"), ExitCode.UNREACHABLE),
        (ConnectionRefusedError(111, SECRET), ExitCode.UNREACHABLE),
        (asyncpg.ConnectionDoesNotExistError(SECRET), ExitCode.UNREACHABLE),
        (asyncpg.InvalidPasswordError(SECRET), ExitCode.UNREACHABLE),
        (asyncpg.InvalidCatalogNameError(SECRET), ExitCode.UNREACHABLE),
        (asyncpg.AdminShutdownError(SECRET), ExitCode.UNREACHABLE),
        (asyncpg.InsufficientPrivilegeError(SECRET), ExitCode.REFUSED),
        (CreateError("no permission; give it"), ExitCode.FAILED),
        (WrongCreation("taken; choose another"), ExitCode.USAGE),
        (FileNameError("1_x.sql", 1, "it is wrong", "Correct it"), ExitCode.USAGE),
        (MarkerError("1_x.sql", 1, "it is wrong", "Correct it"), ExitCode.USAGE),
        (SqlSyntaxError("1_x.sql", 1, "it is wrong", "Correct it"), ExitCode.USAGE),
        (ForbiddenSqlError("1_x.sql", 1, "it is wrong", "Correct it"), ExitCode.USAGE),
        (BusUnavailable("no answer; try again"), ExitCode.FAILED),
        (ValueError(SECRET), ExitCode.FAILED),
        (ExceptionGroup("tasks", [UnknownDatabase("acme")]), ExitCode.REFUSED),
    ],
)
def test_the_kind_of_an_error_decides_the_exit_code(error: Exception, code: ExitCode) -> None:
    assert explain(error).code is code


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, SECRET),
        asyncpg.InvalidPasswordError(SECRET),
        asyncpg.UndefinedTableError(SECRET),
        ValueError(SECRET),
        asyncpg.ConnectionDoesNotExistError(SECRET),
        asyncpg.InterfaceError(SECRET),
        asyncpg.TooManyConnectionsError(SECRET),
        OSError(errno.EHOSTUNREACH, SECRET),
    ],
)
def test_texts_of_drivers_and_of_unexpected_errors_are_not_repeated(error: Exception) -> None:
    text = explain(error).text
    assert "hunter2" not in text
    assert "\n" not in text
    assert not re.search(r"\w+(Error|Exception)\b", text), "a class name says nothing to anybody"


def test_a_file_that_cannot_be_used_is_no_outage() -> None:
    told = explain(PermissionError(errno.EACCES, "Permission denied", "/srv/\x1bmigrations"))
    assert told.code is ExitCode.FAILED
    assert told.text.startswith(r"/srv/\x1bmigrations cannot be used (Permission denied); correct")


@pytest.mark.parametrize(
    "error", [FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError]
)
def test_a_path_that_is_named_wrong_is_wrong_usage(error: type[OSError]) -> None:
    told = explain(error(errno.EEXIST, "File exists", "a.sql"))
    assert (told.code, "a.sql cannot be used (File exists)" in told.text) == (ExitCode.USAGE, True)


def test_an_unexpected_error_is_told_with_its_place_and_where_the_details_are() -> None:
    try:
        from ledger.settings import masked

        masked(None)  # type: ignore[arg-type]
    except Exception as error:
        text = explain(error).text
    assert "ledger/settings/address.py:" in text
    assert "ledger --debug" in text


def test_our_own_errors_speak_for_themselves() -> None:
    assert explain(UnknownDatabase("acme")).text == f"refused: {UnknownDatabase('acme')}"
