"""The command that leads to another attempt on a database, as its rollout and the fleet are now.

Only what would be accepted is suggested. A suspended database is tried again nowhere, so it is
reinstated first; one that left the fleet is tried again never. One that is not the database, or the
journal, that the ledger knows is refused by every order, until a person has let it in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ledger.domain.fleet import DatabaseRecord
from ledger.domain.requests import RETRIED, may_retry, was_left_out
from ledger.domain.states import ENDED, DatabaseState, RolloutState, Status
from migrations.model.attempt import FailureClass, Mode

_LETS_IN = re.compile(r"`(ledger fleet (?:reinstate|reset-fence))(?: \S+)?`\Z")
"""At the end of what a refusal says: the command that lets the database in as it is."""


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
    if (entrance := _entrance(database, record)) is not None:
        return f"{entrance} {database.database} --reason …"
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


def _entrance(database: DatabaseState, record: DatabaseRecord) -> str | None:
    """The command that lets in a database which was refused as another one, and not let in since.

    What was ordered before is forgotten when a database is reinstated or repointed; a fence that
    was reset is expected from then on.
    """
    failure = database.failure
    if failure is None or failure.kind is not FailureClass.IDENTITY:
        return None
    if record.command is None or record.command != database.command:
        return None
    named = _LETS_IN.search(failure.message)
    return named[1] if named is not None and record.expected.forged is None else None
