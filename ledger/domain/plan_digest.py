"""What ties the plan that a person saw to the rollout that is recorded: its digest.

    plan ─▶ RolloutPlanned, WavePlanned … ─▶ canonical bytes ─▶ SHA-256 ─▶ shown and recorded

The canonical bytes are one line that says what they are, and JSON: the bodies of RolloutPlanned and
of its WavePlanned events, in order, keys sorted, no blanks, in UTF-8. Three fields are left out:
`rollout`, which is only a name; `digest` itself; and `fleet_position`, because a log that went on
without changing anything of the plan leaves it the same plan. Everything else is bound: the bundle
and the checksums of what runs, each database with its wave and its values, every option. The bodies
stand in the log, so whoever has them computes the digest again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from ledger.contracts.events import RolloutPlanned, WavePlanned
from ledger.contracts.reports import Event
from ledger.domain.refusals import RequestRefusal, listed

WHAT = b"migration-ledger plan 1\n"
"""First line of the bytes, so that they are never taken for anything else."""
UNBOUND = frozenset({"rollout", "digest", "fleet_position"})
SHOWN = 12
"""How many digits people see; enough to tell plans apart at a glance, too few to approve by."""


class PlanOutdated(RequestRefusal):
    """The plan that was shown is not what would be done now; `differences` says in what."""

    def __init__(self, shown: str, differences: Sequence[str]) -> None:
        super().__init__(
            f"the plan that was shown ({shown[:SHOWN]}) is not what would be done now: "
            f"{'; '.join(differences)}; nothing was started; look at it again with `ledger plan`"
        )
        self.differences = tuple(differences)


def canonical(bodies: Sequence[Mapping[str, object]]) -> bytes:
    """The bytes that the digest is of; `bodies` are those of RolloutPlanned and WavePlanned."""
    bound = [{name: one[name] for name in one if name not in UNBOUND} for one in bodies]
    text = json.dumps(bound, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return WHAT + text.encode()


def digest(events: Sequence[Event]) -> str:
    """The digest of the plan that these events record, in hexadecimal."""
    return hashlib.sha256(canonical([one.model_dump(mode="json") for one in events])).hexdigest()


def refuse_outdated(shown: Sequence[Event], now: Sequence[Event]) -> None:
    """Raise `PlanOutdated` unless drawing the plan again, now, gives what was shown."""
    if digest(shown) != digest(now):
        raise PlanOutdated(digest(shown), tuple(_differences(shown, now)))


def _differences(shown: Sequence[Event], now: Sequence[Event]) -> Iterator[str]:
    if not now:
        yield "nothing is left to do"
        return
    before, after = _planned(shown), _planned(now)
    databases, present = _waves(shown), _waves(now)
    yield from _named("databases joined", [one for one in present if one not in databases])
    yield from _named("databases left", [one for one in databases if one not in present])
    both = [one for one in databases if one in present]
    yield from _named(
        "databases in another wave", [one for one in both if databases[one] != present[one]]
    )
    steps = {step.version: step.checksum for step in before.steps}
    here = {step.version: step.checksum for step in after.steps}
    yield from _named("migrations added", [one for one in here if one not in steps])
    yield from _named("migrations left out", [one for one in steps if one not in here])
    yield from _named(
        "migrations changed", [one for one in steps if steps[one] != here.get(one, steps[one])]
    )
    if before.bundle != after.bundle:
        yield "another bundle"
    values, given = _values(shown), _values(now)
    yield from _named("other values in", [one for one in both if values.get(one) != given.get(one)])
    told = {"bundle", "steps", "databases", "waves", *UNBOUND}
    yield from _named(
        "other options",
        [
            name
            for name in RolloutPlanned.model_fields
            if name not in told and getattr(before, name) != getattr(after, name)
        ],
    )


def _named(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{what}: {listed(names)}"


def _planned(events: Sequence[Event]) -> RolloutPlanned:
    return next(one for one in events if isinstance(one, RolloutPlanned))


def _waves(events: Sequence[Event]) -> dict[str, int]:
    """Each database with the number of its wave."""
    return {
        database: one.wave
        for one in events
        if isinstance(one, WavePlanned)
        for database in one.databases
    }


def _values(events: Sequence[Event]) -> dict[str, tuple[tuple[str, str], ...]]:
    """What each database has for itself."""
    return {
        each.database: each.values
        for one in events
        if isinstance(one, WavePlanned)
        for each in one.values
    }
