"""What orders, reports and looks at databases change in the read models. Pure.

- What an attempt's reports say is kept by its command, so a late report on an earlier command
  changes that attempt and nothing else. After the last word on a command, no report on it says
  anew why it failed.
- Identity and journal head are what the next order expects. Only where they are unknown does a look
  or a first contact set them; the latest attempt, when it worked on the database, moves the head;
  repoint and reinstate clear both, and end what was ordered before them. A database that is not
  the one we knew therefore stays visible as such.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.contracts.registry import Mode
from ledger.store.views.patches import CHANGE, PUT, Patch, PatchKind
from ledger.store.views.projected_rows import (
    NO_FAILURE,
    NOT_LEFT_OUT,
    REPORTS_SUFFIX,
    UNANSWERED,
    EventPlace,
    applied_row,
    attempt_change,
    contact_columns,
    failing,
    failure_columns,
    fleet_change,
    identity_columns,
    json_array,
    planned_change,
    rollout_of,
    spoken_head,
)
from ledger.store.views.tables import ANSWERED_LOOK, ATTEMPT, INSPECTION

DONE = r.Verdict.DONE
"""Looked up once: a rule that every attempt ends with is as fast as it can be."""
BELIEVED = frozenset(r.Verdict) - {r.Verdict.REFUSED}
"""Verdicts of attempts that read the journal of the database they were meant for."""
IN_DOUBT = "in_doubt"
"""The failure kind that says: nobody knows whether it happened."""
JOURNAL_STATES = {"applied": "applied", "rolled_back": "rolled_back", "failed": "failed"}
"""A journal's states in the words of `applied`; any other one is something half-done."""
NOT_INSPECTED: dict[str, Any] = {
    name: None for name in INSPECTION.columns if name not in ("purpose", "requested_at", "command")
}

# --- orders and their reports ---------------------------------------------------------------------


def ordered(event: e.Ordered, place: EventPlace) -> list[Patch]:
    """An attempt begins, and speaks for its database from here on."""
    row = {
        "rollout": event.rollout,
        "database": event.database,
        "pool": event.pool,
        "mode": event.mode,
        "attempt": event.attempt,
        "ordered_position": place.position,
        "ordered_at": place.recorded_at,
        "ordered_by": place.recorded_by,
        "expires_at": event.expires_at,
        "deadline_at": event.deadline_at,
        "last_try": event.last_try,
        **UNANSWERED,
    }
    return [
        Patch(ATTEMPT, PUT, (event.command,), row),
        planned_change(
            event.rollout,
            event.database,
            {"command": event.command, "released_position": None, **NOT_LEFT_OUT},
        ),
        fleet_change(event.database, {"command": event.command}),
    ]


def left_out(event: e.DatabaseLeftOut, place: EventPlace) -> list[Patch]:
    """The fleet left the database out, until it is ordered or asked for again."""
    columns = {
        "left_out_position": place.position,
        "left_out_why": event.why,
        "released_position": place.position,
    }
    return [planned_change(event.rollout, event.database, columns)]


def attempt_started(event: r.AttemptStarted, place: EventPlace) -> list[Patch]:
    """An agent has it."""
    return [attempt_change(event.command, {"started_at": place.recorded_at})]


def timed_out(event: e.AttemptTimedOut, place: EventPlace) -> list[Patch]:
    """Nobody answered in time; an answer that comes later still counts."""
    return [attempt_change(event.command, {"timed_out_position": place.position})]


def finished(event: r.AttemptFinished, place: EventPlace) -> list[Patch]:
    """The last word on an attempt."""
    verdict, head = event.verdict, event.journal_head
    failure = NO_FAILURE if verdict is DONE else failure_columns(event.failure)
    columns = {
        "finished_position": place.position,
        "finished_at": place.recorded_at,
        "verdict": verdict,
        "changed": event.changed,
        **failure,
    }
    changed = [attempt_change(event.command, columns)]
    if head is not None and (verdict is DONE or verdict in BELIEVED):
        seen = fleet_change(event.database, contact_columns(place))
        changed += (seen, spoken_head(event.database, event.command, head))
    return changed


def contradicted(event: e.ReportContradicted, place: EventPlace) -> list[Patch]:
    """Two reports claim two effects: the attempt counts as unanswered, until a look settles it."""
    if not event.effect:
        return []
    columns = {"timed_out_position": place.position, "finished_position": None, "verdict": None}
    return [attempt_change(event.command, columns)]


def batch_progressed(event: r.BatchProgressed, place: EventPlace) -> list[Patch]:
    """How far a data migration is."""
    said = event.model_dump_json(exclude={"database", "command"})
    return [attempt_change(event.command, {"progress": said})]


def refused(event: r.CommandRefused, place: EventPlace) -> list[Patch]:
    """Why an agent did not try."""
    return [failing(event.command, event.failure)]


def identified(event: r.DatabaseIdentified, place: EventPlace) -> list[Patch]:
    """A database was reached, and this is who it is."""
    columns = {"server_version": event.server_version, **contact_columns(place)}
    return [fleet_change(event.database, columns, identity_columns(event.identity))]


def migration_applied(event: r.MigrationApplied, place: EventPlace) -> list[Patch]:
    """A migration is in force."""
    return [_in_force(event, "applied", place), attempt_change(event.command, {"touched": True})]


def migration_rolled_back(event: r.MigrationRolledBack, place: EventPlace) -> list[Patch]:
    """A migration was undone."""
    patch = _in_force(event, "rolled_back", place)
    return [patch, attempt_change(event.command, {"touched": True})]


def history_adopted(event: r.HistoryAdopted, place: EventPlace) -> list[Patch]:
    """What another tool had applied is in force; what was let go of is not."""
    taken = [
        applied_row(
            event.database,
            one.version,
            "applied",
            place,
            command=event.command,
            checksum=one.checksum or None,
        )
        for one in event.taken
    ]
    released = [
        applied_row(event.database, version, "not_applied", place, command=event.command)
        for version in event.released
    ]
    touched = [attempt_change(event.command, {"touched": True})] if taken else []
    return [*taken, *released, *touched]


def skipped(event: r.MigrationSkipped, place: EventPlace) -> list[Patch]:
    """Applied by something else: what is known of it stays. Not there to be undone: nothing new."""
    if event.direction != Mode.UP.value:
        return []
    patch = applied_row(
        event.database,
        event.version,
        "applied",
        place,
        command=event.command,
        checksum=event.checksum,
        outside=True,
    )
    return [patch._replace(kind=PatchKind.ENSURE)]


def migration_failed(event: r.MigrationFailed, place: EventPlace) -> list[Patch]:
    """A migration failed on its way up or down."""
    up = event.direction == Mode.UP.value
    state = "failed" if up else "rollback_failed"
    if event.failure.kind == IN_DOUBT:
        state = "unknown"
    patch = applied_row(
        event.database,
        event.version,
        state,
        place,
        command=event.command,
        checksum=event.checksum,
    )
    return [patch, failing(event.command, event.failure)]


def outside(event: r.OutsideChangeFound, place: EventPlace) -> list[Patch]:
    """Somebody changed the database by hand."""
    patch = applied_row(
        event.database,
        event.version,
        "applied" if event.direction == Mode.UP.value else "rolled_back",
        place,
        command=event.command,
        checksum=event.checksum,
        outside=True,
    )
    return [patch]


def resolved(event: e.OutcomeResolved, place: EventPlace) -> list[Patch]:
    """A person's word; only what is ordered later replaces it."""
    patch = applied_row(
        event.database,
        event.version,
        "applied" if event.applied else "not_applied",
        place,
        ordered_position=place.position,
    )
    return [
        patch,
        planned_change(event.rollout, event.database, {"resolved_position": place.position}),
    ]


# --- looks at databases ---------------------------------------------------------------------------


def check_requested(event: e.CheckRequested, place: EventPlace) -> list[Patch]:
    """These databases are to be looked at."""
    return [
        _look(place.stream, database, event.purpose, place, None) for database in event.databases
    ]


def look_ordered(event: e.InspectionOrdered, place: EventPlace) -> list[Patch]:
    """One database is to be looked at."""
    return [_look(event.stream, event.database, event.purpose, place, event.command)]


def inspected(event: r.DatabaseInspected, place: EventPlace) -> list[Patch]:
    """What a look found, also what the journal says of each migration."""
    columns = {
        "inspected_position": place.position,
        "inspected_at": place.recorded_at,
        "reachable": event.reachable,
        "tls": event.tls,
        "server_version": event.server_version,
        "in_recovery": event.in_recovery,
        **identity_columns(event.identity),
        "journal_head": event.journal_head,
        "owner": event.owner,
        "rights": event.rights.model_dump_json() if event.rights else None,
        "entries": json_array(event.entries),
        "failure_kind": event.failure.kind if event.failure else None,
        "failure_message": event.failure.message if event.failure else None,
    }
    stream = place.stream.removesuffix(REPORTS_SUFFIX)
    changed = [Patch(INSPECTION, CHANGE, (stream, event.database), columns)]
    if rollout_of(stream) is not None:
        # A rollout waits for the look that it asked for last; a check takes any answer.
        key = (stream, event.database, event.command)
        changed = [Patch(ANSWERED_LOOK, CHANGE, key, columns)]
    if event.reachable:
        fills = {**identity_columns(event.identity), "journal_head": event.journal_head}
        seen = {"server_version": event.server_version} | contact_columns(place)
        changed.append(fleet_change(event.database, seen, fills))
    return changed + [_journalled(event.database, entry, place) for entry in event.entries]


def _in_force(
    event: r.MigrationApplied | r.MigrationRolledBack, state: str, place: EventPlace
) -> Patch:
    return applied_row(
        event.database,
        event.version,
        state,
        place,
        command=event.command,
        checksum=event.checksum,
        duration_ms=event.duration_ms,
    )


def _look(
    stream: str, database: str, purpose: e.Purpose, place: EventPlace, command: UUID | None
) -> Patch:
    """A new look forgets what the one before it found."""
    row = {
        "purpose": purpose.value,
        "requested_at": place.recorded_at,
        "command": command,
        **NOT_INSPECTED,
    }
    return Patch(INSPECTION, PUT, (stream, database), row)


def _journalled(database: str, entry: r.JournalEntry, place: EventPlace) -> Patch:
    """A journal's word on a migration: written where the ledger holds another state."""
    patch = applied_row(
        database,
        entry.version,
        JOURNAL_STATES.get(entry.state, "unknown"),
        place,
        command=entry.command,
        checksum=entry.checksum,
        outside=not entry.rollout,
    )
    rollout = entry.rollout or None
    return patch._replace(kind=PatchKind.ENSURE, sets={**patch.sets, "rollout": rollout})
