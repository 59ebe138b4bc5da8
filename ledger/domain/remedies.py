"""The command that leads to another attempt on a database, as its rollout and the fleet are now.

Only what would be accepted is suggested. A suspended database is tried again nowhere, so it is
reinstated first; one that left the fleet is tried again never.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.domain.fleet import DatabaseRecord
from ledger.domain.requests import RETRIED, may_retry, was_left_out
from ledger.domain.states import ENDED, DatabaseState, RolloutState, Status
from migrations.model.attempt import FailureClass, Mode


def another_attempt(
    state: RolloutState, database: DatabaseState, records: Mapping[str, DatabaseRecord]
) -> str | None:
    """What leads to another attempt on a database that failed, is unknown or was left out."""
    record = records.get(database.database)
    if record is None or record.retired:
        return None
    if not (may_retry(state, database) or was_left_out(database)):
        return None
    if not record.active:
        return f"ledger fleet reinstate {database.database} --reason …"
    if is_behind(database) and state.status not in ENDED:
        # Only another rollout brings what it lacks, and its own comes first.
        return None
    if state.status in RETRIED:
        return f"ledger rollout retry {state.rollout} {database.database}"
    if state.status is Status.PAUSED:
        return f"ledger rollout resume {state.rollout}"
    # A rollout that ended tries nothing again; what it left undone is planned anew.
    if state.goes_back:
        return f"ledger rollout rollback {state.plan.undoes}"
    return "ledger up" if state.plan.mode is Mode.UP and not state.undone_by else None


def is_behind(database: DatabaseState) -> bool:
    """Whether it lacks what its rollout does not bring."""
    return database.failure is not None and database.failure.kind is FailureClass.BEHIND
