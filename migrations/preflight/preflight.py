"""The whole of it, on a session that is there, and in one of its own."""

from __future__ import annotations

from collections.abc import Sequence

from migrations.clock import Clock
from migrations.errors import FailureClass, Refused
from migrations.model.preflight import (
    Enforcement,
    PreflightPolicy,
    PreflightResult,
    TouchedTables,
    blocking_results,
    result_text,
)
from migrations.preflight.checks import Situation, results
from migrations.preflight.questions import answers
from migrations.running.telemetry import PREFLIGHT_SPAN, part_span
from migrations.target.session import Connection, ConnectionSettings, close_session, open_session

APPLICATION_NAME = "migration-ledger preflight"
"""What `pg_stat_activity` shows."""
TOLD_AT_MOST = 3
"""Checks in one sentence; all of them are in the report."""


class PreflightBlocked(Refused):
    """What is asked before anything is applied says that this is no good moment for it."""

    kind = FailureClass.PREFLIGHT


async def ask_all(
    connection: Connection,
    policy: PreflightPolicy,
    touched: TouchedTables,
    role: str | None,
    clock: Clock,
) -> tuple[PreflightResult, ...]:
    """What every check comes to, before these are touched; in one round trip, and read-only.

    Raises what a lost connection raises.
    """
    with part_span(PREFLIGHT_SPAN):
        found = await answers(connection, policy, touched, role)
    return results(Situation(found, policy, clock.now()))


async def ask_by_itself(
    settings: ConnectionSettings,
    target: str,
    policy: PreflightPolicy,
    touched: TouchedTables,
    clock: Clock,
) -> tuple[PreflightResult, ...]:
    """The same in a session of its own. Raises Unreachable, and what a lost connection raises."""
    connection = await open_session(
        settings, application_name=APPLICATION_NAME, target=target, read_only=True
    )
    try:
        return await ask_all(connection, policy, touched, settings.role, clock)
    finally:
        await close_session(connection)


def refuse_blocked(found: Sequence[PreflightResult], policy: PreflightPolicy) -> None:
    """Raise PreflightBlocked where something keeps migrations from being applied."""
    if policy.enforcement is not Enforcement.BLOCK:
        return
    if blocked := blocking_results(found, policy):
        told = "; ".join(map(result_text, blocked[:TOLD_AT_MOST]))
        more = len(blocked) - TOLD_AT_MOST
        raise PreflightBlocked(f"{told}{f'; and {more} more' if more > 0 else ''}")
