"""The one registry of what is measured: name, kind, unit, and what tells the values apart.

Names follow OpenTelemetry's conventions (1.44) where they have one; ours begin with
`migration_ledger.` and name no database: a fleet has too many, and who asks for it gets four
figures of so many databases as he says. Rollouts that have not ended are named, there are few. The
reference page is made from this.
"""

from __future__ import annotations

from typing import Final

from ledger import telemetry
from ledger.meters import Instrument, Kind, Value, counter, histogram, observe, up_down_counter
from ledger.process_instruments import *  # noqa: F403  # one registry, too long for one file

__all__ = ["Instrument", "Kind", "Value", "counter", "histogram", "observe", "up_down_counter"]
# Beside them everything below, and above: whoever measures needs this module alone.

AUDITED: Final = "migration_ledger.audited"
"""`chain`: every event, by its hash; `kept end`: of the round before; `rows`: what is shown."""

_SECONDS: Final = "s"
_MESSAGES: Final = (
    telemetry.MESSAGING_SYSTEM,
    telemetry.MESSAGING_DESTINATION,
)

SENT: Final = Instrument(
    telemetry.SENT_MESSAGES,
    Kind.COUNTER,
    "{message}",
    "Messages that the bus acknowledged.",
    _MESSAGES,
)
CONSUMED: Final = Instrument(
    telemetry.CONSUMED_MESSAGES,
    Kind.COUNTER,
    "{message}",
    "Messages delivered to us.",
    _MESSAGES,
)
OPERATION: Final = Instrument(
    telemetry.OPERATION_DURATION,
    Kind.HISTOGRAM,
    _SECONDS,
    "Time from a call until the broker's answer.",
    (*_MESSAGES, telemetry.MESSAGING_OPERATION),
    telemetry.MESSAGING_BUCKETS,
)
PROCESSED: Final = Instrument(
    telemetry.PROCESS_DURATION,
    Kind.HISTOGRAM,
    _SECONDS,
    "Time from taking a command in hand until its last report is written.",
    (*_MESSAGES, telemetry.MESSAGING_OPERATION, telemetry.MESSAGING_GROUP),
    telemetry.MESSAGING_BUCKETS,
)
ATTEMPT: Final = Instrument(
    telemetry.ATTEMPT_DURATION,
    Kind.HISTOGRAM,
    _SECONDS,
    "Time that one attempt on one database took; where it failed, by the class of the failure.",
    (telemetry.TASK_RESULT, telemetry.ERROR_TYPE),
    telemetry.ATTEMPT_BUCKETS,
)
RUN: Final = Instrument(
    telemetry.RUN_DURATION,
    Kind.HISTOGRAM,
    _SECONDS,
    "Time from the start of a rollout until its end.",
    (telemetry.PIPELINE, telemetry.PIPELINE_STATE, telemetry.PIPELINE_RESULT),
    telemetry.RUN_BUCKETS,
)
RUNS_ACTIVE: Final = Instrument(
    telemetry.RUNS_ACTIVE,
    Kind.UP_DOWN_COUNTER,
    "{run}",
    "Rollouts that have started and not ended.",
    (telemetry.PIPELINE, telemetry.PIPELINE_STATE),
)
RUN_ERRORS: Final = Instrument(
    telemetry.RUN_ERRORS,
    Kind.COUNTER,
    "{error}",
    "Rollouts that stopped themselves.",
    (telemetry.PIPELINE, telemetry.ERROR_TYPE),
)
ATTEMPTS: Final = Instrument(
    "migration_ledger.attempts",
    Kind.COUNTER,
    "{attempt}",
    "Attempts that the ledger heard the end of; those that failed by the class of their failure.",
    (telemetry.TASK_NAME, telemetry.TASK_RESULT, telemetry.ERROR_TYPE),
)
RETRIES: Final = Instrument(
    "migration_ledger.retries",
    Kind.COUNTER,
    "{attempt}",
    "Attempts, heard the end of, that were not a rollout's first on their database.",
    (telemetry.TASK_NAME,),
)
REPORT_DELAY: Final = Instrument(
    "migration_ledger.report.delay",
    Kind.HISTOGRAM,
    _SECONDS,
    "Time from an agent's last word on a command until it was in the log.",
    (),
    telemetry.ATTEMPT_BUCKETS,
)
DATA_BATCHES: Final = Instrument(
    "migration_ledger.data.batches",
    Kind.GAUGE,
    "{batch}",
    "Batches that data migrations under way have committed, as last told.",
    (telemetry.ROLLOUT_ID,),
)
DATA_ROWS: Final = Instrument(
    "migration_ledger.data.rows",
    Kind.GAUGE,
    "{row}",
    "Rows of them.",
    (telemetry.ROLLOUT_ID,),
)
DATA_EXPECTED: Final = Instrument(
    "migration_ledger.data.rows.expected",
    Kind.GAUGE,
    "{row}",
    "About how many rows there are where they run.",
    (telemetry.ROLLOUT_ID,),
)
DATA_LEFT: Final = Instrument(
    "migration_ledger.data.left",
    Kind.GAUGE,
    _SECONDS,
    "How long the one that needs longest still takes, at its pace.",
    (telemetry.ROLLOUT_ID,),
)
ROLLOUTS: Final = Instrument(
    "migration_ledger.rollouts",
    Kind.GAUGE,
    "{rollout}",
    "Rollouts by state; those that have ended, too.",
    (telemetry.STATE,),
)
ROLLOUT_AGE: Final = Instrument(
    "migration_ledger.rollout.age",
    Kind.GAUGE,
    _SECONDS,
    "How long ago an unfinished rollout was planned, by its state.",
    (telemetry.ROLLOUT_ID, telemetry.STATE),
)
ROLLOUT_DATABASES: Final = Instrument(
    "migration_ledger.rollout.databases",
    Kind.GAUGE,
    "{database}",
    "Databases of an unfinished rollout, by how far it is on them.",
    (telemetry.ROLLOUT_ID, telemetry.STATE),
)
IN_FLIGHT_LIMIT: Final = Instrument(
    "migration_ledger.rollout.in_flight.limit",
    Kind.GAUGE,
    "{database}",
    "Databases that an unfinished rollout may work on at the same time.",
    (telemetry.ROLLOUT_ID,),
)
IN_FLIGHT: Final = Instrument(
    "migration_ledger.rollout.in_flight",
    Kind.GAUGE,
    "{database}",
    "Databases of an unfinished rollout that count against its limit: at work, or in doubt.",
    (telemetry.ROLLOUT_ID,),
)
BUDGET: Final = Instrument(
    "migration_ledger.rollout.budget",
    Kind.GAUGE,
    "{database}",
    "Failures that an unfinished rollout may have before it stops itself, by its plan.",
    (telemetry.ROLLOUT_ID,),
)
BUDGET_USED: Final = Instrument(
    "migration_ledger.rollout.budget.used",
    Kind.GAUGE,
    "{database}",
    "Failures that count against the budget of an unfinished rollout.",
    (telemetry.ROLLOUT_ID,),
)
DATABASES: Final = Instrument(
    "migration_ledger.databases",
    Kind.GAUGE,
    "{database}",
    "Registered databases by status and pool.",
    (telemetry.STATE, telemetry.POOL),
)
BEHIND: Final = Instrument(
    "migration_ledger.databases.behind",
    Kind.GAUGE,
    "{database}",
    "Databases by how many versions of their registered history they lack; retired ones left out.",
    (telemetry.VERSIONS_BEHIND,),
)
TROUBLED: Final = Instrument(
    "migration_ledger.databases.troubled",
    Kind.GAUGE,
    "{database}",
    "Databases where a migration failed, was lost or is unknown; one counts once for each cause.",
)
DRIFTED: Final = Instrument(
    "migration_ledger.databases.drifted",
    Kind.GAUGE,
    "{database}",
    "Databases whose schema was found to be another than that of most, and accepted by nobody.",
)
UNREACHABLE: Final = Instrument(
    "migration_ledger.databases.unreachable",
    Kind.GAUGE,
    "{database}",
    "Active databases that the latest look, or a rollout under way, could not reach.",
)
NAMED_STATE: Final = Instrument(
    "migration_ledger.database.state",
    Kind.GAUGE,
    "{database}",
    "1 for each database that is named (`monitoring.named_databases`), and how it is: `suspended`, "
    "`troubled`, `behind` or `current`.",
    (telemetry.DATABASE, telemetry.STATE),
)
NAMED_BEHIND: Final = Instrument(
    "migration_ledger.database.behind",
    Kind.GAUGE,
    "{version}",
    "Versions of its registered history that a database lacks which is named.",
    (telemetry.DATABASE,),
)
NAMED_RUN_AGE: Final = Instrument(
    "migration_ledger.database.run.age",
    Kind.GAUGE,
    _SECONDS,
    "How long ago a migration ran last in a database that is named, and how it ended.",
    (telemetry.DATABASE, telemetry.TASK_RESULT, telemetry.ERROR_TYPE),
)
NAMED_RUN: Final = Instrument(
    "migration_ledger.database.run.duration",
    Kind.GAUGE,
    _SECONDS,
    "How long that took, where it did not fail.",
    (telemetry.DATABASE,),
)
UNNAMED: Final = Instrument(
    "migration_ledger.databases.unnamed",
    Kind.GAUGE,
    "{database}",
    "Databases that have no figures of their own, where databases are named at all.",
)
BACKUP_AGE: Final = Instrument(
    "migration_ledger.databases.backup.age",
    Kind.GAUGE,
    _SECONDS,
    "Age of the oldest backup that was recorded of an active database; none where none was.",
    (telemetry.POOL,),
)
AGENTS: Final = Instrument(
    "migration_ledger.agents",
    Kind.GAUGE,
    "{agent}",
    "Agents heard of lately, by pool; 0 for a pool of the fleet that has none.",
    (telemetry.POOL,),
)
CLOCK_APART: Final = Instrument(
    "migration_ledger.agents.clock.apart",
    Kind.GAUGE,
    _SECONDS,
    "How far the clock of the agent that is furthest from the ledger's is from it.",
    (telemetry.POOL,),
)
UNANSWERED: Final = Instrument(
    "migration_ledger.orders.unanswered",
    Kind.GAUGE,
    "{order}",
    "Orders that no agent has answered for good.",
    (telemetry.POOL,),
)
UNANSWERED_AGE: Final = Instrument(
    "migration_ledger.orders.unanswered.age",
    Kind.GAUGE,
    _SECONDS,
    "Age of the oldest of them.",
    (telemetry.POOL,),
)
UNSENT: Final = Instrument(
    "migration_ledger.orders.unsent",
    Kind.GAUGE,
    "{order}",
    "Orders that wait to be sent to the broker.",
)
UNSENT_AGE: Final = Instrument(
    "migration_ledger.orders.unsent.age",
    Kind.GAUGE,
    _SECONDS,
    "Age of the oldest order that was never sent.",
)
UNTAKEN: Final = Instrument(
    "migration_ledger.reports.untaken",
    Kind.GAUGE,
    "{message}",
    "Reports that came to the broker and are not in the log, as far as the broker has told.",
)
UNTAKEN_AGE: Final = Instrument(
    "migration_ledger.reports.untaken.age",
    Kind.GAUGE,
    _SECONDS,
    "For how long there have been such reports without a break.",
)
EVENTS: Final = Instrument(
    "migration_ledger.log.events",
    Kind.OBSERVED_COUNTER,
    "{event}",
    "Events in the log.",
)
LOG_SIZE: Final = Instrument(
    "migration_ledger.log.size",
    Kind.GAUGE,
    "By",
    "What the log takes on the disk of its database, indexes too.",
)
PROJECTION_LAG: Final = Instrument(
    "migration_ledger.projection.lag",
    Kind.GAUGE,
    "{event}",
    "Events that the read models lack.",
)
PROJECTION_LAG_AGE: Final = Instrument(
    "migration_ledger.projection.lag.age",
    Kind.GAUGE,
    _SECONDS,
    "Age of the oldest of them.",
)
TERM: Final = Instrument(
    "migration_ledger.leader.term",
    Kind.GAUGE,
    "{term}",
    "The leadership term of the log.",
)
LEADING: Final = Instrument(
    "migration_ledger.leader.leading",
    Kind.GAUGE,
    "{leader}",
    "Whether this process has proof that it leads: 1, or 0.",
)
UNREADABLE: Final = Instrument(
    "migration_ledger.log.unreadable",
    Kind.GAUGE,
    "{event}",
    "Events that nobody can read and that no person has set aside.",
)
AUDIT_DIFFERENCES: Final = Instrument(
    "migration_ledger.audit.differences",
    Kind.GAUGE,
    "{difference}",
    "Where the record was not what it should be in the last round of `ledger audit watch`.",
    (AUDITED,),
)
AUDIT_AGE: Final = Instrument(
    "migration_ledger.audit.age",
    Kind.GAUGE,
    _SECONDS,
    "How long ago that round ended.",
)
COUNTED_AGE: Final = Instrument(
    "migration_ledger.counted.age",
    Kind.GAUGE,
    _SECONDS,
    "How old what is counted here is; it grows while the ledger's database does not answer.",
)

EVERY: Final = tuple(one for one in tuple(globals().values()) if isinstance(one, Instrument))
"""All of them, in the order above."""
