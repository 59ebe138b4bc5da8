"""Turns what the ledger's functions and PostgreSQL refuse into the ledger's own errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import asyncpg

from ledger.errors import (
    DuplicateEventDiffers,
    LedgerError,
    LedgerIsStandby,
    NotInstalled,
    NotPermitted,
    Overtaken,
    PartlyKnown,
    RequestUnfit,
    StaleTerm,
    StoreError,
    TailMissing,
    VersionConflict,
)
from ledger.store.connections import CONNECTION_LOST

REFUSALS: dict[str, Callable[..., LedgerError]] = {
    "LG001": VersionConflict,
    "LG002": DuplicateEventDiffers,
    "LG003": PartlyKnown,
    "LG005": StaleTerm,
    "LG008": TailMissing,
    "LG009": Overtaken,
    "LG010": RequestUnfit,
}
"""What a function of the log refuses for; the fields come with it."""


def translated(error: asyncpg.PostgresError) -> LedgerError:
    """The ledger's error for what the server said: its message, without DETAIL, when unforeseen."""
    refused_for = REFUSALS.get(error.sqlstate or "")
    if refused_for is not None:
        return refused_for(**_detail(error))
    match error.sqlstate:
        case "LG004":
            refused = _detail(error)
            return NotPermitted(refused["role"], refused["type"])
        case "42501":
            return NotPermitted("of this session")
        case "25006":
            return LedgerIsStandby()
        case "3F000" | "42P01" | "42883":
            return NotInstalled()
        case _:
            return StoreError(
                f"the ledger's database refused this (SQLSTATE {error.sqlstate}): "
                f"{error.as_dict()['message']}; "
                "nothing was recorded: correct what it names and try again"
            )


def trouble_of(error: BaseException) -> str:
    """What a process that waits says of an error of the ledger's database."""
    if isinstance(error, BaseExceptionGroup):
        return trouble_of(error.exceptions[0])
    if isinstance(error, LedgerError):
        return str(error)
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, CONNECTION_LOST):
        return str(translated(error))
    return "the ledger's database does not answer"


def _detail(error: asyncpg.PostgresError) -> dict[str, Any]:
    """The fields that `ledger.append` gives with a refusal."""
    fields: dict[str, Any] = json.loads(error.as_dict()["detail"])
    return fields
