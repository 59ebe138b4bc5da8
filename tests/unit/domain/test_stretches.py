"""What took how long, from events alone: with what agents noted of the inside, believed no further
than it can be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from ledger.contracts.envelope import (
    Metadata,
    Recorded,
    SpanNote,
    UnknownMessage,
    decode_metadata,
)
from ledger.contracts.reports import AttemptFinished, AttemptStarted, Event, MigrationApplied
from ledger.domain.stretches import Stretch, StretchKind, Weaver
from migrations.model.attempt import Mode, Verdict
from tests.support.orders import apply_command

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRACE = "a" * 32
NOON_US = int(NOON.timestamp()) * 1_000_000


def note(name: str, inside: int = -1, *, at_ms: int = 0, client: bool = True) -> SpanNote:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return SpanNote(name, digest[:16], inside, client, NOON_US + at_ms * 1000, 5000)


def attempt(notes: Sequence[SpanNote]) -> Stretch:
    """What is drawn of an attempt that applied the version 1 and left these notes."""
    command = apply_command()
    weaver = Weaver()
    weaver.hear(command.recorded)
    for event in (
        AttemptStarted(database="acme", command=command.command, attempt=1, mode=Mode.UP),
        MigrationApplied(
            database="acme",
            command=command.command,
            version="1",
            checksum="c",
            duration_ms=5,
            statements=1,
        ),
    ):
        weaver.hear(said(command.command, event))
    finished = AttemptFinished(
        database="acme",
        command=command.command,
        attempt=1,
        mode=Mode.UP,
        verdict=Verdict.DONE,
        changed=1,
        journal_head=None,
    )
    order = weaver.hear(said(command.command, finished, tuple(notes)))
    assert order is not None
    (found,) = order.inside
    return found


def said(command: UUID, event: Event, spans: tuple[SpanNote, ...] = ()) -> Recorded:
    metadata = Metadata(
        traceparent=f"00-{TRACE}-{'c' * 16}-01", occurred_at=NOON, spans=spans or None
    )
    at = NOON + timedelta(seconds=1)
    return Recorded(2, "rollout-r/reports", 1, uuid4(), event, metadata, "agent", at)


def drawn(stretch: Stretch) -> list[object]:
    """Names, each with what is inside."""
    return [(one.name, drawn(one)) if one.inside else one.name for one in stretch.inside]


def test_without_notes_the_migrations_are_what_is_inside() -> None:
    assert drawn(attempt(())) == ["1 up"]


def test_notes_say_what_was_inside_and_in_which_order() -> None:
    found = attempt(
        (
            note("UPDATE users", 3, at_ms=2),
            note("SELECT", 2, at_ms=4),
            note("verify", 3, at_ms=3, client=False),
            note("migrate 1 up", client=False, at_ms=1),
            note("lock wait", client=False),
        )
    )
    assert drawn(found) == ["lock wait", ("1 up", ["UPDATE users", ("verify", ["SELECT"])])]
    wait, step = found.inside
    assert (wait.kind, step.kind) == (StretchKind.PART, StretchKind.MIGRATION)
    assert step.told == {"version": "1", "direction": "up"}
    assert step.context == f"00-{TRACE}-{note('migrate 1 up').id}-01"
    assert step.inside[0].told == {"client": "true"}
    assert step.inside[0].seconds(NOON) == 0.005


@pytest.mark.parametrize(("client", "local"), [(True, None), (False, "true")])
def test_the_last_note_is_the_attempts_own_if_it_has_its_id(
    client: bool, local: str | None
) -> None:
    own = SpanNote("process t", "c" * 16, -1, client, NOON_US - 7000, 9000)
    found = attempt((note("UPDATE users"), own))
    assert drawn(found) == ["1 up", "UPDATE users"]
    assert found.began == NOON - timedelta(milliseconds=7)
    assert found.told.get("local") == local


@pytest.mark.parametrize("inside", [0, 1, 200, -1])
def test_a_note_inside_of_nothing_that_is_behind_it_is_the_attempts_own(inside: int) -> None:
    found = attempt((note("first"), note("second", inside)))
    assert sorted(map(str, drawn(found))) == ["1 up", "first", "second"]


def test_a_migration_that_nobody_noted_is_there_all_the_same() -> None:
    assert drawn(attempt((note("UPDATE users"),))) == ["1 up", "UPDATE users"]


@pytest.mark.parametrize(
    "spans",
    [
        '[["x", "zz", -1, true, 0, 0]]',
        '[["x", "0000000000000001", -1, true, -5, 0]]',
        '[["x", "0000000000000001", -1, true, 99999999999999999999, 0]]',
        '[["' + "x" * 500 + '", "0000000000000001", -1, true, 0, 0]]',
        "[" + ", ".join(['["x", "0000000000000001", -1, true, 0, 0]'] * 300) + "]",
        '"much"',
    ],
)
def test_notes_of_another_form_are_no_metadata(spans: str) -> None:
    with pytest.raises(UnknownMessage):
        decode_metadata(f'{{"spans": {spans}}}'.encode())
