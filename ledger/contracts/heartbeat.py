"""What an agent says of itself every few seconds. Heartbeats stay outside the log."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from ledger.contracts.registry import WireValue

UNSIGNED_ORDERS = "unsigned orders"
"""Among what is insecure: whoever can write to the broker can give this agent orders."""
UNSIGNED_REPORTS = "unsigned reports"
"""Among what is insecure: whoever can write to the broker can report in this agent's words."""


class Busy(WireValue):
    """One command in an agent's hands: its phase and what it waits for, if anything.

    `phase` is `queued`, `connecting`, `waiting` (for a lock or a retry), or `running`. `since` is
    when the command came. What it `waits_for` since `waiting_since` is tried at `next_try_at`, or,
    without one, now.
    """

    database: str
    command: UUID
    phase: str
    since: datetime
    waits_for: str = ""
    waiting_since: datetime | None = None
    next_try_at: datetime | None = None
    migration: str = ""
    statement: int = 0
    statements: int = 0
    standing: str = ""
    """How far the server says that the statement is, and whom it keeps waiting."""


class Heartbeat(WireValue):
    """An agent is alive, and this is what it works on.

    One that `lives_in_leader` has no process of its own: it ends with the one that leads.
    """

    agent: str
    pool: str
    host: str
    version: str
    started_at: datetime
    at: datetime
    insecure: tuple[str, ...] = ()
    """Development flags in use, and what is not signed: `bus`, `postgres`, `unsigned orders`,
    `unsigned reports`."""
    refuses: str = ""
    """Why it put aside what came as an order of its ledger, if it did so of late."""
    busy: tuple[Busy, ...] = ()
    lives_in_leader: bool = False
