"""Turns what the ledger's functions and PostgreSQL refuse into the ledger's own errors."""

from __future__ import annotations

import json
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
    StaleTerm,
    StoreError,
    TailMissing,
    VersionConflict,
)


def translated(error: asyncpg.PostgresError) -> LedgerError:
    """The ledger's error for what the server said: its message, without DETAIL, when unforeseen."""
    match error.sqlstate:
        case "LG001":
            return VersionConflict(**_detail(error))
        case "LG002":
            return DuplicateEventDiffers(**_detail(error))
        case "LG003":
            return PartlyKnown(**_detail(error))
        case "LG004":
            refused = _detail(error)
            return NotPermitted(refused["role"], refused["type"])
        case "LG005":
            return StaleTerm(**_detail(error))
        case "LG008":
            return TailMissing(**_detail(error))
        case "LG009":
            return Overtaken(**_detail(error))
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


def _detail(error: asyncpg.PostgresError) -> dict[str, Any]:
    """The fields that `ledger.append` gives with a refusal."""
    fields: dict[str, Any] = json.loads(error.as_dict()["detail"])
    return fields
