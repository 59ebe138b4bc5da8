"""What each event changes in the read models. Pure: an event and its place in, patches out.

No rule looks at a row that is there; where that matters, the patch says so (`fills`, `ensure`, the
guard of a table). The rules for orders, reports and looks are in `projected_reports`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ledger.contracts import events as e
from ledger.contracts import reports as r
from ledger.store.log.decode import read_metadata
from ledger.store.views import projected_reports as reports
from ledger.store.views.patches import PUT, Patch
from ledger.store.views.projected_rows import (
    NOT_LEFT_OUT,
    UNKNOWN_EXPECTATION,
    UNORDERED,
    EventPlace,
    applied_row,
    fleet_change,
    json_array,
    planned_change,
    rollout_change,
    where_columns,
)
from ledger.store.views.tables import BUNDLE, FLEET_DATABASE, PLANNED_DATABASE, ROLLOUT

Rule = Callable[[Any, EventPlace], list[Patch]]
NAMING_SEVERAL = (e.WavePlanned, e.RetryRequested, e.CheckRequested)
"""Events with a list of databases; RolloutPlanned only counts them."""


def patches(event: r.Event, place: EventPlace) -> list[Patch]:
    """Every row that `event` changes."""
    return RULES[type(event)](event, place)


def databases_of(event: r.Event) -> Sequence[str]:
    """Every database that `event` names: it belongs to their histories."""
    one: str | None = getattr(event, "database", None)
    if one is not None:
        return (one,)
    if isinstance(event, NAMING_SEVERAL):
        return tuple(dict.fromkeys(event.databases))
    return ()


# --- fleet ----------------------------------------------------------------------------------------


def _registered(event: e.DatabaseRegistered, place: EventPlace) -> list[Patch]:
    row = {
        "status": "active",
        **where_columns(event.pool, event.connection),
        "labels": json.dumps(event.labels),
        **UNKNOWN_EXPECTATION,
        "server_version": None,
        "last_contact_position": None,
        "last_contact_at": None,
        "registered_position": place.position,
        "registered_at": place.recorded_at,
        "registered_by": place.recorded_by,
    }
    return [Patch(FLEET_DATABASE, PUT, (event.database,), row)]


def _relabelled(event: e.DatabaseRelabelled, place: EventPlace) -> list[Patch]:
    return [fleet_change(event.database, {"labels": json.dumps(event.labels)})]


def _repointed(event: e.DatabaseRepointed, place: EventPlace) -> list[Patch]:
    columns = where_columns(event.pool, event.connection) | UNKNOWN_EXPECTATION
    return [fleet_change(event.database, columns)]


def _suspended(event: e.DatabaseSuspended, place: EventPlace) -> list[Patch]:
    return [fleet_change(event.database, {"status": "suspended"})]


def _reinstated(event: e.DatabaseReinstated, place: EventPlace) -> list[Patch]:
    return [fleet_change(event.database, {"status": "active"} | UNKNOWN_EXPECTATION)]


def _retired(event: e.DatabaseRetired, place: EventPlace) -> list[Patch]:
    return [fleet_change(event.database, {"status": "retired"})]


def _regressed(event: e.MigrationRegressed, place: EventPlace) -> list[Patch]:
    return [applied_row(event.database, event.version, "regressed", place, command=event.command)]


# --- bundles and rollouts -------------------------------------------------------------------------


def _bundle(event: e.BundleRegistered, place: EventPlace) -> list[Patch]:
    row = {
        "migrations": json_array(event.migrations),
        "source": event.source,
        "git_commit": event.git_commit,
        "git_dirty": event.git_dirty,
        "registered_position": place.position,
        "registered_at": place.recorded_at,
        "registered_by": place.recorded_by,
    }
    return [Patch(BUNDLE, PUT, (event.bundle,), row)]


def _planned(event: e.RolloutPlanned, place: EventPlace) -> list[Patch]:
    metadata = read_metadata(place.metadata)
    row = {
        "standing": "planned",
        "rollback_position": None,
        "aborted_position": None,
        "mode": event.mode.value,
        "bundle": event.bundle,
        "steps": json_array(event.steps),
        "selection": event.selection,
        "fleet_position": event.fleet_position,
        "databases": event.databases,
        "waves": event.waves,
        "wave_spec": event.wave_spec,
        "current_wave": None,
        "in_flight": event.in_flight,
        "budget_count": event.budget.count,
        "budget_percent": event.budget.percent,
        "when_spent": event.when_spent.value,
        "limits": event.limits.model_dump_json(),
        "expiry_s": event.expiry_s,
        "deadline_s": event.deadline_s,
        "planned_position": place.position,
        "planned_at": place.recorded_at,
        "planned_by": place.recorded_by,
        "reason": metadata.reason,
        "ticket": metadata.ticket,
        "started_at": None,
        "ended_at": None,
        "why": None,
    }
    return [Patch(ROLLOUT, PUT, (event.rollout,), row)]


def _wave_planned(event: e.WavePlanned, place: EventPlace) -> list[Patch]:
    return [
        Patch(
            PLANNED_DATABASE,
            PUT,
            (event.rollout, database),
            {"wave": event.wave, **UNORDERED},
        )
        for database in event.databases
    ]


def _started(event: e.RolloutStarted, place: EventPlace) -> list[Patch]:
    return [rollout_change(event.rollout, {"standing": "running", "started_at": place.recorded_at})]


def _wave_opened(event: e.WaveOpened, place: EventPlace) -> list[Patch]:
    return [rollout_change(event.rollout, {"current_wave": event.wave})]


def _paused(event: e.RolloutPaused, place: EventPlace) -> list[Patch]:
    return [rollout_change(event.rollout, {"standing": "paused"})]


def _resumed(event: e.RolloutResumed, place: EventPlace) -> list[Patch]:
    return [rollout_change(event.rollout, {"standing": "running", "why": None})]


def _halted(event: e.RolloutHalted, place: EventPlace) -> list[Patch]:
    return [rollout_change(event.rollout, {"standing": "halted", "why": event.why})]


def _rollback_started(event: e.RollbackStarted, place: EventPlace) -> list[Patch]:
    columns = {"standing": "running", "rollback_position": place.position, "why": event.why}
    return [rollout_change(event.rollout, columns)]


def _retried(event: e.RetryRequested, place: EventPlace) -> list[Patch]:
    # A dict for each: a batch owns those of its patches, and changes them.
    return [
        planned_change(event.rollout, database, {"again_position": place.position} | NOT_LEFT_OUT)
        for database in event.databases
    ]


def _ended(standing: str) -> Callable[[Any, EventPlace], list[Patch]]:
    def rule(event: Any, place: EventPlace) -> list[Patch]:
        columns = {"standing": standing, "ended_at": place.recorded_at}
        return [rollout_change(event.rollout, columns)]

    return rule


def _aborted(event: e.RolloutAborted, place: EventPlace) -> list[Patch]:
    columns = {
        "standing": "aborted",
        "ended_at": place.recorded_at,
        "aborted_position": place.position,
    }
    return [rollout_change(event.rollout, columns)]


def _nothing(event: r.Event, place: EventPlace) -> list[Patch]:
    """Read in the log itself (history), in no table."""
    return []


RULES: dict[type[r.Event], Rule] = {
    e.DatabaseRegistered: _registered,
    e.DatabaseRelabelled: _relabelled,
    e.DatabaseRepointed: _repointed,
    e.DatabaseSuspended: _suspended,
    e.DatabaseReinstated: _reinstated,
    e.DatabaseRetired: _retired,
    e.MigrationRegressed: _regressed,
    e.BundleRegistered: _bundle,
    e.ChangeAccepted: _nothing,
    e.FileGone: _nothing,
    e.RolloutPlanned: _planned,
    e.WavePlanned: _wave_planned,
    e.RolloutStarted: _started,
    e.WaveOpened: _wave_opened,
    e.MigrationOrdered: reports.ordered,
    e.RollbackOrdered: reports.ordered,
    e.DatabaseLeftOut: reports.left_out,
    e.WaveCompleted: _nothing,
    e.RolloutPaused: _paused,
    e.RolloutResumed: _resumed,
    e.RolloutHalted: _halted,
    e.RetryRequested: _retried,
    e.RollbackStarted: _rollback_started,
    e.RolloutCompleted: _ended("completed"),
    e.RolloutRolledBack: _ended("rolled_back"),
    e.RolloutAborted: _aborted,
    e.AttemptTimedOut: reports.timed_out,
    e.OutcomeResolved: reports.resolved,
    e.CheckRequested: reports.check_requested,
    e.InspectionOrdered: reports.look_ordered,
    r.AttemptStarted: reports.attempt_started,
    r.DatabaseIdentified: reports.identified,
    r.MigrationApplied: reports.migration_applied,
    r.MigrationSkipped: reports.skipped,
    r.MigrationRolledBack: reports.migration_rolled_back,
    r.HistoryAdopted: reports.history_adopted,
    r.MigrationFailed: reports.migration_failed,
    r.BatchProgressed: reports.batch_progressed,
    r.CommandRefused: reports.refused,
    r.ContentMissing: _nothing,
    r.OutsideChangeFound: reports.outside,
    r.AttemptFinished: reports.finished,
    r.DatabaseInspected: reports.inspected,
    r.Unreadable: _nothing,
    e.ReportContradicted: reports.contradicted,
    e.MessageParked: _nothing,
    e.LedgerInitialised: _nothing,
    e.LeadershipTaken: _nothing,
}
"""Every event type has a rule: an unknown one is an error, never nothing. A test counts them."""
