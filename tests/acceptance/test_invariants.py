"""The check of the invariants is no ornament: whatever is damaged, it says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import asyncpg
import pytest

from ledger.contracts.reports import MigrationApplied
from tests.acceptance.conftest import MakeFleet
from tests.support import invariants
from tests.support.fleet import Fleet
from tests.support.invariants import Facts, Found, gather, violations

FIRST = "20260101000000"
EFFECT = f"effect_{FIRST}"

TENANT_DAMAGES = {
    f"DROP TABLE {EFFECT}": "I1",
    "DELETE FROM migration_ledger.journal WHERE migration <> ''": "I3",
    f"INSERT INTO ran VALUES ('{FIRST}', 'up')": "I2",
}
LEDGER_DAMAGES = {
    "UPDATE ledger.log SET body = body || ' '::bytea WHERE position = 5": "I4 the chain",
    "DELETE FROM ledger.applied WHERE database = 'db00'": "I4 replay differs",
}


@pytest.fixture
async def done(make_fleet: MakeFleet) -> Fleet:
    """Return two databases after a rollout in one process."""
    fleet = await make_fleet(databases=2)
    fleet.migration(FIRST)
    await fleet.ledger("up", "--folder", str(fleet.folder), "--yes")
    await invariants.hold(fleet)
    return fleet


async def test_damage_in_a_tenant_database_is_found(done: Fleet) -> None:
    for tenant, (damage, kind) in zip(
        done.tenants * len(TENANT_DAMAGES), TENANT_DAMAGES.items(), strict=False
    ):
        before = violations(await gather(done))
        await tenant.execute(damage)
        new = set(violations(await gather(done))) - set(before)
        assert any(one.startswith(f"{kind} {tenant.id}") for one in new), f"{damage}: {new}"


async def test_damage_in_the_ledger_is_found(done: Fleet) -> None:
    for damage, kind in LEDGER_DAMAGES.items():
        connection = await asyncpg.connect(done.ledger_url)
        # A superuser can do this; the log's triggers stop everybody else.
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(damage)
        await connection.close()
        found = violations(await gather(done))
        assert any(one.startswith(kind) for one in found), f"{damage}: {found}"


async def test_every_way_to_contradict_the_record_is_found(done: Fleet) -> None:
    facts = await gather(done)
    assert violations(facts) == []
    for name, (damage, kind) in DAMAGES.items():
        found = violations(damage(facts))
        assert any(one.startswith(kind) for one in found), f"{name}: {found}"


def without_report(facts: Facts) -> Facts:
    """A journal row that never reached the log."""
    kept = tuple(one for one in facts.events if not isinstance(one.event, MigrationApplied))
    return replace(facts, events=kept)


def reported_twice(facts: Facts) -> Facts:
    """A journal row that reached the log as two events."""
    (again, *_) = (one for one in facts.events if isinstance(one.event, MigrationApplied))
    return replace(facts, events=(*facts.events, again))


def applied_by_two_commands(facts: Facts) -> Facts:
    """The same migration, applied again by a second command."""
    return first_changed(facts, lambda found: replace(found, journal=found.journal * 2))


def effect_without_journal(facts: Facts) -> Facts:
    """A schema that nobody recorded."""
    return first_changed(facts, lambda found: replace(found, journal=()))


def claim_without_journal(facts: Facts) -> Facts:
    """An event that claims what no journal says."""
    return first_changed(
        facts, lambda found: replace(found, journal=(), effects=frozenset(), ran={})
    )


def silent(facts: Facts) -> Facts:
    """A rollout that is not over and does not say what it waits for."""
    (rollout,) = facts.rollouts
    lines = tuple(replace(line, status="ordered") for line in rollout.databases)
    return replace(facts, rollouts=(replace(rollout, status="running", databases=lines),))


def untouched_and_applied(facts: Facts) -> Facts:
    """A database that counts as applied and lacks the migration."""
    return first_changed(
        facts, lambda found: replace(found, journal=(), effects=frozenset(), ran={})
    )


def failed_without_a_word(facts: Facts) -> Facts:
    """A failure without a problem to read."""
    (rollout,) = facts.rollouts
    lines = tuple(replace(line, status="failed", problem="") for line in rollout.databases)
    return replace(facts, rollouts=(replace(rollout, databases=lines),))


def said(facts: Facts, **changes: object) -> Facts:
    """What is shown of the first database of the rollout is another thing."""
    (rollout,) = facts.shown.each
    document = facts.shown.each[rollout]
    first, *others = document["items"]
    counts = Counter(row["status"] for row in (first | changes, *others))
    wave = document["waves"][0] | {"counts": dict(counts)}
    told = dict(document) | {"items": [first | changes, *others], "waves": [wave]}
    return replace(facts, shown=replace(facts.shown, each={rollout: told}))


def shown_as_untouched(facts: Facts) -> Facts:
    """A database that was worked on and reads pending."""
    return said(facts, status="pending")


def hidden(facts: Facts) -> Facts:
    """A database that was worked on and stands in no list for people."""
    return said(facts, status="failed", problem="it failed")


def unopened(facts: Facts) -> Facts:
    """A wave that never opened and reads as done."""
    facts = said(facts, status="pending")
    (rollout,) = facts.shown.each
    document = facts.shown.each[rollout]
    told = dict(document) | {
        "waves": [document["waves"][0] | {"opened": False, "counts": {"pending": 2}}],
        "items": [row | {"status": "pending"} for row in document["items"]],
    }
    return replace(facts, shown=replace(facts.shown, each={rollout: told}))


def miscounted(facts: Facts) -> Facts:
    """A list of rollouts that says another number."""
    (line,) = facts.shown.rollouts["items"]
    told = dict(facts.shown.rollouts) | {"items": [line | {"applied": 1}]}
    return replace(facts, shown=replace(facts.shown, rollouts=told))


def lacking(facts: Facts) -> Facts:
    """A database of which status says that it lacks what it has."""
    first, *others = facts.shown.status["items"]
    told = dict(facts.shown.status) | {"items": [first | {"missing": [FIRST]}, *others]}
    return replace(facts, shown=replace(facts.shown, status=told))


def first_changed(facts: Facts, change: Callable[[Found], Found]) -> Facts:
    """The facts with another first database."""
    first, *others = facts.databases
    return replace(facts, databases=(change(first), *others))


DAMAGES: dict[str, tuple[Callable[[Facts], Facts], str]] = {
    "unrecorded row": (without_report, "I3"),
    "recorded twice": (reported_twice, "I3"),
    "applied twice": (applied_by_two_commands, "I2"),
    "unrecorded effect": (effect_without_journal, "I1"),
    "invented event": (claim_without_journal, "I3"),
    "hole in the log": (without_report, "I4 the log has"),
    "waiting silently": (silent, "I5"),
    "applied and not there": (untouched_and_applied, "I5"),
    "failed without a word": (failed_without_a_word, "I5"),
    "shown as untouched": (shown_as_untouched, "I6 db00, pending"),
    "shown to nobody": (hidden, "I6 db00, failed"),
    "a wave that never opened": (unopened, "I6 wave 1"),
    "another number": (miscounted, "I6 the list"),
    "said to lack": (lacking, "I6 `status`"),
}
