"""What a journal entry says, before it is written and after it was read; pure.

Each entry is chained to the one before it: its head is

    SHA-256( previous head (64 hex characters) ‖ per field: length as 8 bytes, big-endian ‖ UTF-8 )

over all that whoever writes an entry says in it (`Said`, and the entry without its `statement`);
what the server adds, its clock and its name for the login, is known after the fact only and stays
out. The chain starts from the database's UUID and the target's name. Two databases with the same
head have the same history; a clone that went its own way has another head, and so has a journal in
which a row was edited, left out or put in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from migrations.model.attempt import Epoch, Failure, FailureClass
from migrations.model.migration import Migration

if TYPE_CHECKING:
    import asyncpg

RESOLVE = "resolve"
"""The direction of an entry that holds a person's word instead of a run."""
ADOPT = "adopt"
"""The direction of an entry that another tool's history, or a baseline, stands behind."""
REPAIR = "repair"
"""The direction of an entry that accepts another up section for the one that was applied."""
GONE = "gone"
"""The direction of an entry that accepts that the file of what is applied is gone."""
WORDS = frozenset({RESOLVE, ADOPT, REPAIR, GONE})
"""Directions of entries for which nothing ran."""

BEFORE_ALL = Epoch(0, 0)
"""An epoch that no order has."""

_TAKES_ALL = ("UTF8", "SQL_ASCII")
_SINGLE_BYTE = ("LATIN", "WIN125")
"""Encodings that Python has under the same name, or as a code page, and converts alike."""
_SAID = frozenset({"message", "statement", "file", "blocker"})
"""Fields of a failure that hold words of others."""

_FAILURE_FIELDS = tuple(field.name for field in fields(Failure))
"""A newer program may have written more; its chain covers that, and we pass over it."""

_LENGTH_BYTES = 8
_GENESIS_DOMAIN = b"migration-ledger/journal/2"


class State(StrEnum):
    """What an entry says happened."""

    APPLIED = "applied"
    ROLLED_BACK = "rolled_back"
    NOT_APPLIED = "not_applied"
    """A person said so."""
    FAILED = "failed"
    INTENT = "intent"
    """A statement that cannot run in a transaction is about to run."""
    STEP_DONE = "step_done"
    BATCHING = "batching"
    """A data migration has begun; how far it is stands in its own table of progress."""
    BACKUP_DROPPED = "backup_dropped"
    """What a data migration had saved is gone."""
    MET = "met"
    """The first contact with the target."""
    ADOPTED = "adopted"
    """How another tool's table looked when its rows were taken over; `note` is JSON."""
    VISITED = "visited"
    """An attempt that had nothing to do, or nothing but reports; it moves the fence."""


Key: TypeAlias = tuple[str, str, int]
"""What a command has one entry of: migration, direction, step."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the journal, as it was read."""

    seq: int
    head: str
    command: UUID
    rollout: str
    migration: str
    direction: str
    step: int
    state: State
    up_checksum: str | None
    down_checksum: str | None
    statements: int
    finished_at: datetime
    duration_ms: int
    note: str = ""
    failure: Failure | None = None
    reason: str = ""
    made_by: str = ""
    epoch: Epoch = BEFORE_ALL
    """Of the order that wrote it; work outside of a ledger keeps the one before it."""

    @property
    def checksum(self) -> str:
        """Checksum of the section that the entry is about."""
        return (self.down_checksum if self.direction == "down" else self.up_checksum) or ""

    @property
    def settles(self) -> bool:
        """Whether it says what holds now, so that unfinished steps before it no longer matter."""
        return self.state in (State.APPLIED, State.ROLLED_BACK, State.NOT_APPLIED)

    @property
    def about_target(self) -> bool:
        """Whether it is about no migration: met, visited, adopted."""
        return self.migration == ""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One row of the journal that is to be written."""

    migration: str
    direction: str
    step: int
    state: State
    up_checksum: str | None
    down_checksum: str | None
    statements: int = 0
    duration_ms: int = 0
    statement: str | None = None
    note: str = ""
    failure: Failure | None = None
    reason: str = ""


def entry_for(migration: Migration, direction: str, step: int, state: State) -> NewEntry:
    """An entry about `migration` with the checksums of its two sections."""
    down = migration.down.checksum if migration.down else None
    return NewEntry(migration.version, direction, step, state, migration.up.checksum, down)


def in_encoding(entry: NewEntry, encoding: str) -> NewEntry:
    """The entry with escapes for what a server's `encoding` lacks, so that it can be written there.

    The migration's version stays: it is what later entries are compared with.
    """
    if encoding in _TAKES_ALL:
        return entry
    name = encoding.replace("WIN", "cp") if encoding.startswith(_SINGLE_BYTE) else "ascii"

    def storable(text: str) -> str:
        return text.encode(name, "backslashreplace").decode(name)

    failure: Any = entry.failure
    if failure is not None:
        said = {
            key: storable(text)
            for key, text in asdict(failure).items()
            if key in _SAID and isinstance(text, str)
        }
        failure = replace(failure, **said)
    return replace(
        entry,
        statement=entry.statement and storable(entry.statement),
        note=storable(entry.note),
        reason=storable(entry.reason),
        failure=failure,
    )


def entry_about_target(state: State) -> NewEntry:
    """An entry that is about no migration."""
    return NewEntry("", "", 0, state, None, None)


def genesis(database: UUID, target: str) -> str:
    """What the head of the first entry is chained to."""
    return hashlib.sha256(_GENESIS_DOMAIN + database.bytes + target.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Said:
    """What an entry says of the order behind it."""

    command: UUID
    rollout: str
    owner: str
    epoch: Epoch


def next_head(head: str, said: Said, entry: Entry | NewEntry, *, failure: str | None = None) -> str:
    """The head after `entry`, as the module's text defines it; its reason is the one written.

    `failure` is that of an entry which was read, as `json_in_one_form`.
    """
    hashed = hashlib.sha256(head.encode())
    for field in (
        str(said.command),
        said.rollout,
        said.owner,
        str(said.epoch.term),
        str(said.epoch.position),
        entry.migration,
        entry.direction,
        str(entry.step),
        entry.state,
        entry.up_checksum or "",
        entry.down_checksum or "",
        str(entry.statements),
        str(entry.duration_ms),
        entry.note,
        entry.reason,
        failure or failure_text(entry.failure) or "",
    ):
        # NUL is stored as another character.
        data = field.replace("\0", "\N{REPLACEMENT CHARACTER}").encode()
        hashed.update(len(data).to_bytes(_LENGTH_BYTES, "big"))
        hashed.update(data)
    return hashed.hexdigest()


def failure_text(failure: Failure | None) -> str | None:
    """A failure as JSON, in one form."""
    if failure is None:
        return None
    # PostgreSQL's jsonb cannot hold NUL.
    return json_in_one_form(asdict(failure)).replace("\\u0000", "")


def json_in_one_form(value: object) -> str:
    """A JSON value as the one text that is hashed, whatever way it was stored in between."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def said_by(command: UUID, entries: Iterable[Entry]) -> frozenset[Key]:
    """What these entries hold of a command."""
    return frozenset(key_of_entry(entry) for entry in entries if entry.command == command)


def key_of_entry(entry: Entry | NewEntry) -> Key:
    """What its command has no other entry of."""
    return entry.migration, entry.direction, entry.step


def entry_of(row: Mapping[str, Any] | asyncpg.Record) -> Entry:
    """The entry that a row of the journal holds."""
    failure = row["failure"]
    return Entry(
        seq=row["seq"],
        head=row["head"],
        command=row["command"],
        rollout=row["rollout"],
        migration=row["migration"],
        direction=row["direction"],
        step=row["step"],
        state=State(row["state"]),
        up_checksum=row["up_checksum"],
        down_checksum=row["down_checksum"],
        statements=row["statements"],
        finished_at=row["finished_at"],
        duration_ms=row["duration_ms"],
        note=row["note"] or "",
        failure=_failure_of(failure) if failure else None,
        reason=row["reason"] or "",
        made_by=row["made_by"],
        epoch=Epoch(row["epoch_term"], row["epoch_position"]),
    )


def _failure_of(text: str) -> Failure:
    said = json.loads(text)
    known = {name: said[name] for name in _FAILURE_FIELDS if name in said}
    return Failure(**{**known, "kind": FailureClass(said["kind"])})
