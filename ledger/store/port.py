"""The stores: what services and the leader need of what keeps the ledger, and its promises.

`ledger.store.stores` has them in PostgreSQL. Everything above runs as well on stores in memory
(`tests/support/memory_stores.py`), which keep the same promises: `tests/conformance/test_log.py`
shows them on both.

The log:

- events stand in the order of their appends, without gaps; a stream's version counts its events;
- an append is wholly there or not at all; the same event ids again return the first result, and an
  id with another content is refused;
- what is appended is hashed into a chain, by which every later change shows;
- a leader's call is refused once another leads (`term`), a decision's once something came that
  changes it (`premise`, explained in `ledger.domain.premises`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from ledger.contracts.envelope import StoredEvent
from ledger.domain.premises import Premise
from ledger.domain.surroundings import LeadingProcess
from ledger.errors import StoreError
from ledger.store.log.chain import Broken, Link, Walked
from ledger.store.views.port import PAGE, Views


@dataclass(frozen=True, slots=True)
class ConsumerPosition:
    """Where a consumer goes on reading; moves with the append, under the leadership term."""

    consumer: str
    position: int
    term: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Events for one stream that are recorded together with those of another, or not at all."""

    stream: str
    events: Sequence[StoredEvent]
    expected_version: int
    premise: Premise | None = None


class Placed(NamedTuple):
    """Where an event stands. `known`: it was in the log before this call."""

    event_id: UUID
    position: int
    stream_version: int
    known: bool = False


class Appended(NamedTuple):
    """Where the events of a call stand, in the order given; zeros when none was given."""

    first_position: int
    last_position: int
    stream_version: int
    recorded: tuple[Placed, ...]


class RecordedEvent(NamedTuple):
    """An event as it stands in the log."""

    position: int
    stream: str
    stream_version: int
    event_id: UUID
    type: str
    schema_version: int
    body: bytes
    metadata: bytes
    recorded_by: str
    recorded_at: datetime
    leaf: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends, whose it is, and who leads it under which term."""

    position: int
    ledger_id: UUID
    schema_version: int
    term: int
    leader: str | None
    leader_host: str | None
    leader_since: datetime | None


class Beat(NamedTuple):
    """An agent's latest word. `body` is JSON as text; it came at `seen_at`, `age_s` ago."""

    agent: str
    pool: str
    body: str
    age_s: float = 0.0
    seen_at: datetime | None = None


class FoundLook(NamedTuple):
    """What an agent found: by which attempt of which check's stream.

    `body` is as it wrote it, but for the `snapshot` of the schema, if it sent one.
    """

    stream: str
    database: str
    attempt: int
    is_read: bool
    schema_version: int
    body: bytes
    snapshot: str = ""


class KeptLook(NamedTuple):
    """A `FoundLook` as it is kept, without its snapshot: `position` is where the log was then."""

    stream: str
    database: str
    attempt: int
    is_read: bool
    schema_version: int
    body: bytes
    position: int
    answered_at: datetime


class Log(Protocol):
    """The events of a ledger."""

    @property
    def look_every_s(self) -> float | None:
        """How long another process's append may go unnoticed; `None` where all are told at once."""

    def telling(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `listener` after every append of this object, until the block ends."""

    async def append(
        self,
        stream: str,
        events: Sequence[StoredEvent],
        *,
        expected_version: int | None = None,
        skip_known: bool = False,
        consumer: ConsumerPosition | None = None,
        term: int | None = None,
        premise: Premise | None = None,
    ) -> Appended:
        """Append `events` to `stream` and move `consumer`, both or neither.

        `expected_version` is the stream's version that was decided on, 0 for a new stream. With
        `skip_known`, events whose ids are in the log are left out; without, the batch must be all
        new or all known, and a known one returns its first result. `term` fences a leader's call;
        a consumer brings its own. A `premise` is what the decision rests on; it goes with neither
        a consumer nor `skip_known`.

        Raises VersionConflict, Overtaken, DuplicateEventDiffers, PartlyKnown, NotPermitted,
        RequestUnfit, StaleTerm, TailMissing, LedgerIsStandby, LedgerUnreachable.
        """

    async def append_both(
        self, first: Batch, second: Batch, *, term: int | None = None
    ) -> tuple[Appended, Appended]:
        """Append to two streams, in this order, both or neither.

        Without a `term` it is a person's request. Raises what `append` raises.
        """

    async def append_parts(self, parts: Callable[[], Iterable[Batch]]) -> None:
        """Append a person's request that is too large to be held at once: all parts or none.

        `parts` is called for each try and says the same each time; of what it says, one part at a
        time is held. Raises what `append` raises.
        """

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Hold the planners' lock until the block ends.

        No two rollouts may claim a database in the same moment, and a plan appends to a stream of
        its own, whose version says nothing about other rollouts: so planners queue.
        """

    def read_stream(
        self, stream: str, from_version: int = 0, types: Sequence[str] | None = None
    ) -> AsyncIterator[RecordedEvent]:
        """The stream's events behind `from_version`, in order, of these types or of all."""

    async def turns(self, stream: str, upto: int) -> list[RecordedEvent]:
        """What turned a rollout, up to a position; costs nothing by its size."""

    async def frame(self, stream: str, upto: int, *, whole: bool) -> list[RecordedEvent]:
        """The same with what became of its waves; `whole`, also with the databases planned."""

    async def turned_since(self, position: int) -> list[str]:
        """The streams of rollouts that were turned behind a position, the latest turn last."""

    async def concerned(
        self, stream: str, upto: int, databases: Sequence[str] | None
    ) -> list[RecordedEvent]:
        """Its turns and plan, and all about these databases or, of `None`, those in trouble."""

    async def news(self, stream: str, after: int, upto: int) -> list[RecordedEvent]:
        """What a rollout's streams got behind a position, up to another."""

    async def fleet_since(self, position: int) -> tuple[int, list[RecordedEvent]]:
        """The version of the fleet's stream at a position, and what it says behind that."""

    async def version_at(self, stream: str, position: int) -> int:
        """A stream's version at a position; 0 when it had not begun."""

    async def about(self, stream: str, databases: Sequence[tuple[str, int]]) -> list[RecordedEvent]:
        """What a rollout's streams say of databases, each since a position, as far as projected."""

    async def preflights(self, limit: int) -> list[RecordedEvent]:
        """The latest reports of what databases were asked before (`PreflightChecked`)."""

    async def tail(self, after_position: int, limit: int) -> list[RecordedEvent]:
        """At most `limit` events behind `after_position`, in order; nothing is ever missed."""

    async def by_id(self, ids: Sequence[UUID]) -> list[RecordedEvent]:
        """Those of these events that are in the log, in no order."""

    async def positions(self, prefix: str = "") -> dict[str, int]:
        """The saved positions by consumer, of those whose names begin with `prefix`."""

    async def announce(self) -> None:
        """Wake the leader now, for a request; otherwise its next look finds it."""

    async def head(self) -> Head:
        """Where the log ends, and who leads."""

    async def verify(self) -> Link | Broken:
        """Walk the whole chain: its last link, or the first position where it breaks."""

    async def walk(self, places: Collection[int]) -> Walked:
        """The same, and the chain's value at these positions, as computed; 0 is before all."""


class TextStore(Protocol):
    """Texts by their SHA-256: stored once, never changed."""

    async def put_many(self, texts: Iterable[bytes]) -> None:
        """Store these texts; those that are known are left alone. Raises NotPermitted."""

    async def get(self, sha256: str) -> bytes:
        """The text with this hash (hex). Raises ContentNotFound."""


class Signs(Protocol):
    """Signs of life, outside the log: what explains a wait, and never decides anything."""

    async def put(self, beats: Sequence[Beat]) -> None:
        """Keep the latest word of each agent; a later beat in `beats` replaces an earlier one."""

    async def trim(self, kept: int) -> None:
        """Keep the words of so many agents, those that were heard last, and of the leader."""

    async def recent(self, within_s: float) -> list[Beat]:
        """The agents heard of within the last `within_s` seconds, by name."""

    async def leader(self) -> LeadingProcess | None:
        """Who leads now; `None` when nobody does, whoever led last."""


class LookStore(Protocol):
    """Answers of looks, outside the log: each for a while, the last of each database for longer."""

    async def put(self, looks: Sequence[FoundLook]) -> None:
        """Keep these; one of the same check and database takes the place of what is there."""

    async def of_check(self, check: str, after: str = "", limit: int = PAGE) -> list[KeptLook]:
        """The answers of the next databases of a check behind the id `after`, by id."""

    async def number_of(self, check: str) -> int:
        """How many databases have answered a check."""

    async def snapshots(self, check: str, databases: Sequence[str]) -> dict[str, str]:
        """The schemas that these databases sent to a check, as long as they are kept."""

    async def latest(self, databases: Sequence[str]) -> dict[str, KeptLook]:
        """The last answer of each of these databases, whoever asked for it."""

    async def read_at(self, databases: Sequence[str]) -> dict[str, datetime]:
        """When each of these databases was last read by a look."""

    async def trim(self, older_s: float) -> None:
        """Forget what is older than this and of a check that is over, where a later one is kept.

        Snapshots of what is older are forgotten in any case.
        """


class LeadingTerm(Protocol):
    """Leadership under `term`; once it is lost, `why` says by what."""

    term: int
    why: StoreError

    def silence(self) -> str:
        """Why leadership is in doubt now; empty when it is not."""

    async def wait_lost(self) -> None:
        """Return when leadership is lost."""

    async def listen(self, announced: Callable[[], None]) -> None:
        """Call `announced` whenever a request is announced (`Log.announce`), until the end."""


class LedgerStores(Protocol):
    """All of them; `id` is the ledger's."""

    @property
    def id(self) -> UUID:
        """Which ledger this is."""

    @property
    def log(self) -> Log:
        """What happened, and was decided."""

    @property
    def texts(self) -> TextStore:
        """What migrations consist of."""

    @property
    def reads(self) -> Views:
        """What follows from the log."""

    @property
    def signs(self) -> Signs:
        """Who lives."""

    @property
    def looks(self) -> LookStore:
        """What was found when somebody looked."""
