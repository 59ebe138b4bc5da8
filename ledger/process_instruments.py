"""What agents and notifiers measure, and what every process of ours does of itself.

A part of the registry: `ledger.instruments` has it all.
"""

from __future__ import annotations

from typing import Final

from ledger import telemetry
from ledger.meters import Instrument, Kind

_SECONDS: Final = "s"

JOBS: Final = Instrument(
    "migration_ledger.agent.jobs",
    Kind.GAUGE,
    "{job}",
    "Databases that an agent has in hand, by what it does there.",
    (telemetry.POOL, telemetry.STATE),
)
JOBS_AGE: Final = Instrument(
    "migration_ledger.agent.jobs.age",
    Kind.GAUGE,
    _SECONDS,
    "For how long the oldest of them has been in the agent's hands; of those that wait, how long.",
    (telemetry.POOL, telemetry.STATE),
)
STATEMENT_AGE: Final = Instrument(
    "migration_ledger.agent.statement.age",
    Kind.GAUGE,
    _SECONDS,
    "For how long the oldest statement that runs has done so; a batch counts as one, a wait not.",
    (telemetry.POOL,),
)
CONCURRENCY: Final = Instrument(
    "migration_ledger.agent.concurrency",
    Kind.GAUGE,
    "{job}",
    "Databases that an agent may work on at the same time.",
    (telemetry.POOL,),
)
REPORTS_WAITING: Final = Instrument(
    "migration_ledger.agent.reports.waiting",
    Kind.GAUGE,
    "{message}",
    "Messages of an agent that the broker has not taken.",
    (telemetry.POOL,),
)
NOTIFICATIONS: Final = Instrument(
    "migration_ledger.notifications",
    Kind.COUNTER,
    "{message}",
    "Messages that a target was sent, by whether it took them; each sending counts.",
    (telemetry.TARGET, telemetry.STATE),
)
NOTIFICATIONS_WAITING: Final = Instrument(
    "migration_ledger.notifications.waiting",
    Kind.GAUGE,
    "{message}",
    "Messages that a target has not taken; digests that are being collected, too.",
    (telemetry.TARGET,),
)
NOTIFICATIONS_FAILING: Final = Instrument(
    "migration_ledger.notifications.failing",
    Kind.GAUGE,
    _SECONDS,
    "For how long a target has taken nothing; 0 where it does.",
    (telemetry.TARGET,),
)
NOTIFICATIONS_LAG: Final = Instrument(
    "migration_ledger.notifications.lag",
    Kind.GAUGE,
    "{event}",
    "Events of the log that were not looked at for notifications.",
)

WAITED: Final = Instrument(
    "migration_ledger.agent.wait.duration",
    Kind.HISTOGRAM,
    _SECONDS,
    "Time for which work on a database stood still: for a lock, a server, or the next try.",
    (telemetry.POOL, telemetry.WAIT_CAUSE),
    telemetry.ATTEMPT_BUCKETS,
)
STATEMENT: Final = Instrument(
    "db.client.operation.duration",
    Kind.HISTOGRAM,
    _SECONDS,
    "Time that a statement of a migration took; of no other statement.",
    (telemetry.DB_SYSTEM,),
    telemetry.QUERY_BUCKETS,
)
CONNECTIONS: Final = Instrument(
    "db.client.connection.count",
    Kind.OBSERVED_UP_DOWN_COUNTER,
    "{connection}",
    "Connections of this process to the ledger's database, or an agent's to the fleet's.",
    (telemetry.POOL_NAME, telemetry.CONNECTION_STATE),
)
CONNECTIONS_MAX: Final = Instrument(
    "db.client.connection.max",
    Kind.OBSERVED_UP_DOWN_COUNTER,
    "{connection}",
    "How many it may have.",
    (telemetry.POOL_NAME,),
)
MEMORY: Final = Instrument(
    "process.memory.usage",
    Kind.OBSERVED_UP_DOWN_COUNTER,
    "By",
    "Memory that this process holds; where the system tells it.",
)
