"""Rehearsals of bundles: what the log knows of them, and whether a rollout has the one it needs.

The newest that was to try all that a rollout goes up with counts, or that failed at some of it:
one that failed takes the word of an older one away. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ledger.contracts.envelope import Recorded
from ledger.contracts.events import RehearsalRecorded
from ledger.domain.refusals import RequestRefusal, listed

TYPES = (RehearsalRecorded.__name__,)
"""What of the bundles' stream is read here."""


@dataclass(frozen=True, slots=True)
class KnownRehearsal:
    """One rehearsal of a bundle, by the log's own clock."""

    at: datetime
    event: RehearsalRecorded

    def covers(self, versions: Collection[str]) -> bool:
        """Whether it was to try all of these, or found one of them wanting."""
        failed = not set(versions).isdisjoint(self.event.failed)
        return failed or set(versions) <= set(self.event.versions)


@dataclass(frozen=True, slots=True)
class RehearsalRule:
    """A rollout needs a rehearsal that went well and is not older than so many days."""

    max_age_days: float


class NotRehearsed(RequestRefusal):
    """A rollout needs a rehearsal of its bundle, and there is none that counts."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"a rehearsal is required, and {why}; run `ledger test` with this folder, or require "
            "none (--require-rehearsal, or the setting rollout.require_rehearsal, does)"
        )


def rehearsals_of(bundle: str, events: Iterable[Recorded]) -> tuple[KnownRehearsal, ...]:
    """Those of one bundle, in the order of the log."""
    return tuple(
        KnownRehearsal(one.recorded_at, one.event)
        for one in events
        if isinstance(one.event, RehearsalRecorded) and one.event.bundle == bundle
    )


def that_counts(
    known: Sequence[KnownRehearsal], versions: Collection[str]
) -> KnownRehearsal | None:
    """The newest that says something of all of these; `None` where no rehearsal does."""
    return next((one for one in reversed(known) if one.covers(versions)), None)


def refuse_unrehearsed(
    rule: RehearsalRule,
    known: Sequence[KnownRehearsal],
    versions: Sequence[str],
    now: datetime,
) -> None:
    """Raise `NotRehearsed` unless the rehearsal that counts went well and is new enough."""
    found = that_counts(known, versions)
    if found is None and known:
        tried = known[-1].event.versions
        lacking = [one for one in versions if one not in tried]
        raise NotRehearsed(f"the newest one of this bundle did not try {listed(lacking)}")
    if found is None:
        raise NotRehearsed("this bundle was never rehearsed")
    if not found.event.succeeded:
        failed = listed(found.event.failed) or "what came before them"
        raise NotRehearsed(f"the newest one of this bundle failed (at {failed})")
    if now - found.at > timedelta(days=rule.max_age_days):
        age = (now - found.at) / timedelta(days=1)
        raise NotRehearsed(
            f"the newest one of this bundle is {age:,.1f} days old, and may be "
            f"{rule.max_age_days:,g}"
        )
