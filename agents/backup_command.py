"""When the last backup ended, as a program says it that this agent's own settings name.

No order can name a program: one that is not in the settings never runs. It runs without a shell,
with the database's id as its last word and nothing of this process's environment but where programs
are found, for a bounded time, and what it prints is bounded.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime

from migrations.child_process import end_group
from migrations.model.attempt import Limits
from migrations.model.preflight import (
    BackupWord,
    Enforcement,
    PreflightCheck,
    PreflightPolicy,
)

RUNS_S = 10.0
SAID_MAX_BYTES = 4_096
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ")
"""This process's other variables may hold passwords of tenants."""
SOURCE = "the agent's backup command"


async def with_backup_word(
    policy: PreflightPolicy, command: tuple[str, ...], database: str
) -> PreflightPolicy:
    """The policy with what the program says, where that is later than what the ledger knows.

    Nobody is asked where the age of a backup does not matter.
    """
    bounds = policy.bounds_of(PreflightCheck.BACKUP)
    matters = bounds.warn is not None or bounds.block is not None
    if not command or not matters or policy.enforcement is Enforcement.OFF:
        return policy
    word = await ask(command, database)
    known = policy.backup.at if policy.backup is not None else None
    if known is not None and (word.at is None or word.at <= known):
        return policy
    return replace(policy, backup=word)


async def limits_with_backup(limits: Limits, command: tuple[str, ...], database: str) -> Limits:
    """The same of an order's limits."""
    if limits.preflight is None:
        return limits
    policy = await with_backup_word(limits.preflight, command, database)
    return replace(limits, preflight=policy)


async def ask(command: tuple[str, ...], database: str) -> BackupWord:
    """What the program says of a database; without a moment, why it says nothing."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            database,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            start_new_session=True,
        )
    except (OSError, ValueError):
        return _silent("cannot be started; correct LEDGER_AGENT_BACKUP_COMMAND")
    try:
        async with asyncio.timeout(RUNS_S):
            said = await _heard(process.stdout)
            code = await process.wait() if said is not None else 0
    except TimeoutError:
        return _silent(f"took longer than {RUNS_S:.0f} s")
    finally:
        await end_group(process)
    if said is None:
        return _silent(f"prints more than {SAID_MAX_BYTES} bytes; let it print one moment")
    if code != 0:
        return _silent(f"ended with {code}")
    at = _moment(said.decode(errors="replace").strip())
    if at is None:
        return _silent("prints no moment with a time zone; write one like 2026-11-30T14:05:00Z")
    return BackupWord(at, f"as {SOURCE} says; make one")


async def _heard(printed: asyncio.StreamReader | None) -> bytes | None:
    """All that it prints; `None` where that is too much."""
    said = b""
    while printed is not None and (more := await printed.read(SAID_MAX_BYTES)):
        said += more
        if len(said) > SAID_MAX_BYTES:
            return None
    return said


def _moment(text: str) -> datetime | None:
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text), UTC)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo is not None else None


def _silent(why: str) -> BackupWord:
    return BackupWord(None, f"{SOURCE} {why}")
