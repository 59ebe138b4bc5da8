"""How messages are written down: ids, metadata, exact bytes, and what is unknown.

The log stores an event's type, schema version, body and metadata; body and metadata are the exact
bytes that were hashed, so an event is encoded once, by whoever writes it, and never re-rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, NamedTuple, Protocol
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import to_json

from ledger.contracts.actor import Actor
from ledger.contracts.events import EVENTS
from ledger.contracts.reports import Event, Report
from ledger.contracts.upcasters import UPCASTERS, JsonBody, Upcasters, upcast
from ledger.contracts.validation import message_of

NAMESPACE = UUID("6f1c2b8e-53f5-5d0e-9a55-7d9f6c0f3b11")
"""Root of every derived id."""
NAME_MAX_CHARS = 120
"""Of a span's name, as it is kept."""
NOTES_MOST = 256
"""Spans of one attempt in its metadata; agents keep fewer."""
MOMENT_MOST_US = 2**52
"""The year 2112."""

_ABOUT: dict[type[Event], tuple[str, ...]] = {
    known: tuple(
        name
        for name in ("version", "direction", "batches", "checked_at", "cancelled_at")
        if name in known.model_fields
    )
    for known in EVENTS.values()
}
"""What tells the reports of one type on one command apart."""


class UnknownMessage(ValueError):
    """A message cannot be read by this version: its type, its schema version, or its form."""

    def __init__(self, type_: str, schema_version: int, why: str) -> None:
        super().__init__(
            f"{type_} (schema version {schema_version}) cannot be read: {why}; "
            "upgrade this program to the version that wrote it"
        )
        self.type = type_
        self.schema_version = schema_version
        self.why = why


class SpanNote(NamedTuple):
    """A span inside of an attempt, as it is kept with the attempt's last word.

    `inside` is the number of the note that it is a part of, always a later one, or -1 for the
    attempt itself, whose own note may be the last one; `client` tells a statement from work of our
    own, and an attempt that a broker's message brought from one in the ledger's process. Times are
    by the agent's clock, in microseconds since 1970. Of attributes only an error's class is kept.
    """

    name: Annotated[str, Field(max_length=NAME_MAX_CHARS)]
    id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    inside: Annotated[int, Field(ge=-1, le=NOTES_MOST)]
    client: bool
    began_us: Annotated[int, Field(ge=0, le=MOMENT_MOST_US)]
    took_us: Annotated[int, Field(ge=0, le=MOMENT_MOST_US)]
    error: Annotated[str, Field(max_length=NAME_MAX_CHARS)] = ""


class Metadata(BaseModel):
    """Who, why, because of what, and in which trace; no part of what happened.

    `actor` is who asked, on what a person decides; an agent names itself in `agent`. `occurred_at`
    is the writer's own clock. `recovered` says that an agent read the fact from a journal.
    `causation` is the event or command that led here, `correlation` the rollout. An agent's report
    names the `key` that signs it; without one it is not signed. The last word on an attempt that
    was traced has its `spans`, so that they can be sent once more.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    actor: Actor | None = None
    reason: str | None = None
    ticket: str | None = None
    causation: str | None = None
    correlation: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    agent: str | None = None
    occurred_at: datetime | None = None
    recovered: bool | None = None
    insecure: tuple[str, ...] | None = None
    key: str | None = None
    spans: Annotated[tuple[SpanNote, ...], Field(max_length=NOTES_MOST)] | None = None


class StoredEvent(Protocol):
    """What the log stores of an event: `Encoded` is one, and so is a row of the log."""

    @property
    def event_id(self) -> UUID:
        """The id; the log holds it once."""

    @property
    def type(self) -> str:
        """The event type's name."""

    @property
    def schema_version(self) -> int:
        """The version of the body's form."""

    @property
    def body(self) -> bytes:
        """What happened, as the exact bytes to hash and keep."""

    @property
    def metadata(self) -> bytes:
        """Who, why and in which trace, as the exact bytes to hash and keep."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """An event as it is stored and sent."""

    event_id: UUID
    type: str
    schema_version: int
    body: bytes
    metadata: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event read back from the log, with its place and its circumstances."""

    position: int
    stream: str
    stream_version: int
    event_id: UUID
    event: Event
    metadata: Metadata
    recorded_by: str
    recorded_at: datetime
    encoded: StoredEvent | None = None
    """The exact bytes, where they were read from a log or a message."""
    leaf: bytes | None = None
    """Its own hash, where it was read from a log; with `chain`, the chain's value behind it."""
    chain: bytes | None = None

    @property
    def stored(self) -> StoredEvent:
        """The event as it is hashed and sent; one that was in no log is rendered now."""
        return self.encoded or encode(self.event, self.event_id, self.metadata)


class EventReader:
    """Reads the bodies of one type of event, of whatever version."""

    def __init__(self, event: type[Event], upcasters: Upcasters = UPCASTERS) -> None:
        self._type = event.__name__
        self._newest = event.SCHEMA_VERSION
        self._upcasters = upcasters
        # Looked up once: whole logs are decoded.
        self._read: Callable[[bytes], Event] = TypeAdapter(event).validator.validate_json

    def read(self, version: int, body: bytes) -> Event:
        """The event in `body`. Raises `UnknownMessage`."""
        if not 1 <= version <= self._newest:
            raise UnknownMessage(self._type, version, f"newest known is {self._newest}")
        try:
            if version < self._newest:
                body = self._upcast(version, body)
            return self._read(body)
        except ValidationError as error:
            raise UnknownMessage(self._type, version, first_problem(error)) from None

    def _upcast(self, version: int, body: bytes) -> bytes:
        try:
            known = _BODY.validate_json(body)
            return to_json(upcast(self._type, version, self._newest, known, self._upcasters))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ValidationError):
                raise
            raise UnknownMessage(
                self._type, version, f"its body does not have the form of version {version}"
            ) from None


_BODY = TypeAdapter(JsonBody)
_READERS: dict[str, EventReader] = {}
"""Made when the first event of a type is read."""


def encode(event: Event, event_id: UUID, metadata: Metadata) -> Encoded:
    """Render `event` once; the bytes that come back are the ones to hash, store and send."""
    (encoded,) = encode_all([event], [event_id], metadata)
    return encoded


def encode_all(events: Iterable[Event], ids: Iterable[UUID], metadata: Metadata) -> list[Encoded]:
    """As `encode`, for events with metadata in common, which are rendered once."""
    said = metadata.model_dump_json(exclude_none=True).encode()
    return [
        Encoded(
            event_id=event_id,
            type=type(event).__name__,
            schema_version=event.SCHEMA_VERSION,
            body=event.model_dump_json().encode(),
            metadata=said,
        )
        for event, event_id in zip(events, ids, strict=False)
    ]


def decode(type_: str, schema_version: int, body: bytes) -> Event:
    """The event in `body`, brought to the newest version of its type.

    Raises `UnknownMessage` when this version does not know the type, the schema version is newer,
    or the body does not have the type's form.
    """
    reader = _READERS.get(type_)
    if reader is None:
        known = EVENTS.get(type_)
        if known is None:
            raise UnknownMessage(type_, schema_version, "the type is not known")
        reader = _READERS[type_] = EventReader(known)
    return reader.read(schema_version, body)


def decode_metadata(metadata: bytes) -> Metadata:
    """The metadata in these bytes; raises `UnknownMessage` when they are not metadata."""
    try:
        return Metadata.model_validate_json(metadata)
    except ValidationError as error:
        raise UnknownMessage("metadata", 1, first_problem(error)) from None


def command_id(rollout: str, database: str, mode: str, attempt: int) -> UUID:
    """The id of one attempt's command; the same inputs give the same id, on every replay."""
    return uuid5(NAMESPACE, f"command/{rollout}/{database}/{mode}/{attempt}")


def inspection_id(stream: str, database: str, attempt: int) -> UUID:
    """The id of one look at a database."""
    return uuid5(NAMESPACE, f"inspection/{stream}/{database}/{attempt}")


def leadership_id(ledger: UUID, term: int) -> UUID:
    """The id of the event that says who leads under this term."""
    return uuid5(NAMESPACE, f"leadership/{ledger}/{term}")


def report_id(report: Report) -> UUID:
    """The id of a report: derived from its command and what it is about, so resends keep it."""
    about = "/".join(str(getattr(report, name)) for name in _ABOUT[type(report)])
    return uuid5(NAMESPACE, f"report/{report.command}/{type(report).__name__}/{about}")


def consequence_id(rollout: str, event: Event, salt: str) -> UUID:
    """The id of an event the ledger itself concludes; `salt` tells occurrences apart."""
    return uuid5(NAMESPACE, f"consequence/{rollout}/{type(event).__name__}/{salt}")


def first_problem(error: ValidationError, whole: str = "the whole body") -> str:
    """Where a value does not have its form, and why; `whole` is what to call all of it."""
    problem = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or whole
    return f"{where}: {message_of(problem)}"
