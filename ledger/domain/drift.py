"""Drift: databases with the same migrations whose schemas are not the same. Pure.

```
answers of a look ─▶ cohorts: those with the same migrations ─▶ the schema that most of them have
                                                                      │ others: outliers
DriftAccepted ──▶ no drift, as long as the schema stays that     DriftDetected · DriftEnded ◀┘
```

Where as many databases have one schema as another, nobody can say which is right: all are told, and
none is called drifted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ledger.contracts.envelope import Recorded, consequence_id
from ledger.contracts.events import DriftAccepted, DriftDetected, DriftEnded
from ledger.contracts.reports import DatabaseInspected
from ledger.domain.fleet import FleetState, require
from ledger.domain.orders import Decision
from ledger.domain.refusals import DriftedDatabases, DriftUnknown, listed

APPLIED = "applied"
_SEE = "`ledger drift` shows how"
TYPES = (DriftDetected.__name__, DriftEnded.__name__, DriftAccepted.__name__)
"""What of the fleet's stream is folded here."""


@dataclass(frozen=True, slots=True)
class SeenSchema:
    """What a look found of one database: which migrations it has, and its schema's fingerprint."""

    database: str
    versions: str
    """A hash of all versions that are applied."""
    latest: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Cohort:
    """Databases with the same migrations, by fingerprint, the most frequent first."""

    latest: str
    schemas: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def size(self) -> int:
        """How many databases it has."""
        return sum(len(databases) for _, databases in self.schemas)

    @property
    def expected(self) -> str | None:
        """The schema that most have; `None` where two are equally frequent."""
        counts = [len(databases) for _, databases in self.schemas]
        return None if len(counts) > 1 and counts[0] == counts[1] else self.schemas[0][0]


@dataclass(frozen=True, slots=True)
class KnownDrift:
    """What the log says of drift, by database."""

    drifted: Mapping[str, DriftDetected] = field(default_factory=dict)
    accepted: Mapping[str, str] = field(default_factory=dict)
    """The fingerprints that people took for right."""

    @property
    def open(self) -> Mapping[str, DriftDetected]:
        """Those that drifted and that nobody accepted as they are."""
        return {
            database: event
            for database, event in self.drifted.items()
            if self.accepted.get(database) != event.fingerprint
        }


class OnDrift(StrEnum):
    """What becomes of drifted databases in a plan."""

    WARN = "warn"
    LEAVE_OUT = "leave-out"
    REFUSE = "refuse"


def held_to(
    selected: tuple[str, ...], known: KnownDrift, policy: OnDrift
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of the selected databases a plan is for, and what it says of those that have drifted.

    Raises `DriftedDatabases`, also where none would be left.
    """
    out = [database for database in selected if database in known.open]
    if not out:
        return selected, ()
    if policy is OnDrift.WARN:
        return selected, (f"drifted, and part of this all the same: {listed(out)}; {_SEE}",)
    kept = tuple(database for database in selected if database not in known.open)
    if policy is OnDrift.REFUSE or not kept:
        raise DriftedDatabases(out)
    return kept, (f"left out, because they have drifted: {listed(out)}; {_SEE}",)


def seen(answer: DatabaseInspected) -> SeenSchema | None:
    """What an answer says; `None` where it has no fingerprint."""
    if answer.fingerprint is None:
        return None
    applied = [one.version for one in answer.entries if one.state == APPLIED]
    return schema_of(answer.database, applied, answer.fingerprint)


def schema_of(database: str, applied: Iterable[str], fingerprint: str) -> SeenSchema:
    """The schema of a database that has these migrations."""
    versions = sorted(applied)
    hashed = hashlib.sha256("\0".join(versions).encode()).hexdigest()
    return SeenSchema(database, hashed, versions[-1] if versions else "", fingerprint)


def cohorts(found: Iterable[SeenSchema]) -> tuple[Cohort, ...]:
    """All cohorts, the largest first."""
    by_versions: dict[str, list[SeenSchema]] = {}
    for one in found:
        by_versions.setdefault(one.versions, []).append(one)
    made = []
    for some in by_versions.values():
        counted = Counter(one.fingerprint for one in some)
        order = sorted(counted, key=lambda fingerprint: (-counted[fingerprint], fingerprint))
        schemas = tuple(
            (
                fingerprint,
                tuple(sorted(one.database for one in some if one.fingerprint == fingerprint)),
            )
            for fingerprint in order
        )
        made.append(Cohort(some[0].latest, schemas))
    return tuple(sorted(made, key=lambda cohort: (-cohort.size, cohort.latest)))


def outliers(cohort: Cohort, known: KnownDrift) -> dict[str, str]:
    """The databases that have another schema than most, each with its own; accepted ones have not
    drifted.
    """
    if cohort.expected is None:
        return {}
    return {
        database: fingerprint
        for fingerprint, databases in cohort.schemas
        if fingerprint != cohort.expected
        for database in databases
        if known.accepted.get(database) != fingerprint
    }


def evolve(known: KnownDrift, events: Iterable[Recorded]) -> KnownDrift:
    """What is known after these events of the fleet's stream."""
    drifted, accepted = dict(known.drifted), dict(known.accepted)
    for recorded in events:
        match recorded.event:
            case DriftDetected() as event:
                drifted[event.database] = event
            case DriftEnded() as event:
                drifted.pop(event.database, None)
            case DriftAccepted() as event:
                accepted[event.database] = event.fingerprint
            case _:
                continue
    return KnownDrift(drifted, accepted)


def drifted(
    check: str, found: Iterable[SeenSchema], known: KnownDrift, cause: str = ""
) -> tuple[Decision, ...]:
    """What a look, or a rollout, has shown and the log does not say yet, for the fleet's stream.

    `check` is the id of either; `cause` is what ended it, where that may happen more than once.
    """
    decided: list[Decision] = []
    for cohort in cohorts(found):
        if cohort.expected is None:
            continue
        out = outliers(cohort, known)
        for fingerprint, databases in cohort.schemas:
            for database in databases:
                before = known.drifted.get(database)
                if database in out:
                    event = DriftDetected(
                        database=database,
                        check=check,
                        fingerprint=fingerprint,
                        expected=cohort.expected,
                        cohort=cohort.size,
                        schema_count=len(cohort.schemas[0][1]),
                    )
                    if before is None or before.fingerprint != fingerprint:
                        decided.append(_decision(cause or check, event))
                elif before is not None and fingerprint == cohort.expected:
                    ended = DriftEnded(database=database, check=check, fingerprint=fingerprint)
                    decided.append(_decision(cause or check, ended))
    return tuple(decided)


def accept(fleet: FleetState, database: str, known: KnownDrift) -> tuple[DriftAccepted, ...]:
    """Take the schema that a drifted database was last seen with for right.

    Raises `DriftUnknown`, or what `ledger.domain.fleet.require` raises.
    """
    require(fleet, database)
    event = known.drifted.get(database)
    if event is None:
        raise DriftUnknown(database)
    if known.accepted.get(database) == event.fingerprint:
        return ()
    return (DriftAccepted(database=database, fingerprint=event.fingerprint),)


def _decision(cause: str, event: DriftDetected | DriftEnded) -> Decision:
    return Decision(consequence_id(f"check-{cause}", event, event.database), event)
