"""How a statement that runs stands: how far it is, and whom it keeps waiting. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrations.printable import escaped


def progress_text(row: Mapping[str, Any]) -> str:
    """What a row of `standing` says, in a few words; empty where there is nothing to say."""
    return "; ".join(filter(None, (_progress(row), _blocked(row))))


def _progress(row: Mapping[str, Any]) -> str:
    if row["what"] is None:
        return ""
    phase = f": {escaped(row['phase'])}" if row["phase"] else ""
    share = ""
    if row["total"]:
        share = f", {int(100 * min((row['done'] or 0) / row['total'], 1))} %"
    return f"{escaped(row['what'])}{phase}{share}"


def _blocked(row: Mapping[str, Any]) -> str:
    number = row["blocked"]
    if not number:
        return ""
    sessions = "1 session waits" if number == 1 else f"{number} sessions wait"
    longest = f", the longest for {row['longest_s']:.0f} s" if row["longest_s"] is not None else ""
    return f"{sessions} for it{longest}"
