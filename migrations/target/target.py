"""One target in one open session: its identity, its lock, its fence and its journal.

    lock ──▶ who answers, what the journal says ──▶ check owner, identity, head, epoch
                                                            │
       begin: settings clean, marker set in the transaction ◀┘
         … statements …
       commit: the entry, if every guard holds; then COMMIT

Every transaction starts with `begin`, which sets a marker that ends with the transaction, and ends
with `commit`, whose entry is refused by the database unless

- the marker is there: the script has not ended our transaction,
- the lock is held by this very session,
- its number is free: nobody has written to the journal since this session read it,
- the statements before it have left the journal alone (`untouched` in `journal.sql`).

The number is the fence. Whoever works on a target commits an entry with a higher epoch before it
reports, if only `visited`; so an order that was overtaken finds its number taken. It also lets this
session tell by what it has read and written that a command has one entry per migration, direction
and step. The journal has an entry exactly when the effect is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import asyncpg

from migrations.chance import Chance
from migrations.clock import Clock
from migrations.errors import GuardsReset, LockLost, RunError, StaleEpoch
from migrations.model.attempt import Epoch, Identity, Limits
from migrations.model.folder_history import JOURNAL_SCHEMA
from migrations.model.migration import Options
from migrations.model.work import BatchProgress, Observer, OutsideChange, Work
from migrations.sql.literals import Expression, SqlValue, quote_ident
from migrations.target import journal
from migrations.target.entries import (
    Entry,
    Key,
    NewEntry,
    Said,
    State,
    entry_about_target,
    in_encoding,
    key_of_entry,
    next_head,
)
from migrations.target.fresh_session import SessionUse
from migrations.target.journal import Record, entry_statement, entry_values, statement
from migrations.target.lock import LockKey, still_held
from migrations.target.look import as_ourselves, our_path
from migrations.target.lookout import Lookout
from migrations.target.refusals import (
    guards_reset,
    is_touched,
    journal_touched,
    made_meanwhile,
    stale_epoch,
    transaction_ended,
    written_too_late,
)
from migrations.target.session import Connection, ConnectionSettings, milliseconds, server_version


@dataclass(frozen=True, slots=True)
class _Meeting:
    """What is still to be written about a target that was never met: its journal, and an entry."""

    install: str
    columns: dict[str, SqlValue]


@dataclass(slots=True)
class Target:
    """What this session knows and may do; made by `migrations.acquire.arrive`."""

    clock: Clock
    chance: Chance
    connection: Connection
    settings: ConnectionSettings
    work: Work
    limits: Limits
    observer: Observer
    key: LockKey
    identity: Identity
    owner: str
    epoch: Epoch
    head: str
    seq: int
    """Number of the last entry."""
    entries: tuple[Entry, ...]
    epoch_kept: bool
    """Whether this attempt's epoch is committed in the target."""
    overtaken: bool = False
    """Whether somebody else has written since, so that `head` is not the journal's any more."""
    outside: tuple[OutsideChange, ...] = ()
    recorded_keys: frozenset[Key] = frozenset()
    """What the journal holds of this command."""
    progress: BatchProgress | None = None
    """How far the data migration is committed that runs, or that ran last and did not end."""
    to_be_owned_by: str | None = None
    """The role, quoted, whose the journal will be where there is none yet; or the login's own."""
    use: SessionUse = field(init=False)
    lookout: Lookout = field(init=False)
    _marker: str = ""
    _meeting: _Meeting | None = None

    def __post_init__(self) -> None:
        self.use = SessionUse(self.connection, self.key, self.work.target, self.settings)
        self.lookout = Lookout(self.clock, self.settings, self.observer, self.connection)

    @property
    def journal_exists(self) -> bool:
        """Whether the target has a journal, and so the identity that it goes by."""
        return self._meeting is None

    def tell_identity(self, *, first_contact: bool) -> None:
        """Tell the observer who this is."""
        self.observer.identified(self.identity, server_version(self.connection), first_contact)

    def meet_along(self, entry: NewEntry, install: str) -> None:
        """Let the journal and its first entry go along with the first transaction that commits."""
        self._meeting = _Meeting(install, self._columns(entry))
        self._move(entry)

    async def begin(self, options: Options, *, batch: bool = False) -> None:
        """Open the guarded transaction of a section. Raises SessionWorn."""
        await self.use.open(self.opening(options, batch=batch))

    def opening(self, options: Options, *, batch: bool = False) -> str:
        """The statements that open a guarded transaction, for a script that goes on itself.

        They fail in a session that is worn. A `batch` leaves prepared statements: one is ours.
        """
        self._marker = self.chance.uuid().hex
        sql = self._begin_sql(options, batch=batch)
        self.use.begun = True
        if role := options.role or self.settings.role:
            sql += f";\nSET LOCAL ROLE {quote_ident(role)}"
        return sql

    def guards(self) -> dict[str, SqlValue]:
        """What a row of our own tables asks of the transaction that `opening` opened."""
        return {
            "target": self.work.target,
            "marker": self._marker,
            "lock_key": self.key.value,
            "seq": self.seq,
        }

    async def run_script(self, script: str) -> None:
        """Run statements whose last write is guarded and that commit. Raises as `commit`."""
        await self._execute(script)

    async def commit(self, entry: NewEntry) -> None:
        """Write the entry and commit. Raises LockLost, StaleEpoch, GuardsReset, TransactionEnded.

        Deferred constraints speak here too, as the server's own errors. When the connection is lost
        in this call, the outcome is unknown until the journal is read again.
        """
        if not self.connection.is_in_transaction():
            raise transaction_ended()
        entry_sql = self._record_sql(entry)
        await self._execute(f"{self.settling()};\n{entry_sql};\n{statement('commit')}")
        self._move(entry)

    def settling(self) -> str:
        """What stands between the statements of a migration and the row that says they are done."""
        return ";\n".join((statement("settle"), as_ourselves(self.connection), self.untouched()))

    def untouched(self) -> str:
        """The statement that fails if those before it in the transaction touched the journal."""
        if self._meeting is None:
            return statement("untouched")
        return statement("untouched_since_met", target=self.work.target)

    async def record(self, entry: NewEntry, *, first: str = "") -> None:
        """Write an entry in a transaction of its own, in one round trip. Raises as `commit`.

        `first` are statements that the same transaction begins with.
        """
        self._marker = self.chance.uuid().hex
        parts = (self._begin_sql(Options(), ours=True), first, self._record_sql(entry), "COMMIT")
        await self._execute(";\n".join(part for part in parts if part))
        self._move(entry)

    async def record_all(self, entries: Sequence[NewEntry]) -> None:
        """Write entries in one transaction of their own, in one round trip. Raises as `commit`."""
        self._marker = self.chance.uuid().hex
        parts = [self._begin_sql(Options(), ours=True)]
        before = self.head, self.seq, self.recorded_keys
        try:
            for entry in entries:
                parts.append(self._record_sql(entry))
                self._move(entry)
        finally:
            behind = self.head, self.seq, self.recorded_keys
            self.head, self.seq, self.recorded_keys = before
        await self._execute(";\n".join([*parts, "COMMIT"]))
        self.head, self.seq, self.recorded_keys = behind

    def entry_for_elsewhere(self, entry: NewEntry) -> str:
        """The statement by which a session of another program writes `entry` where it commits.

        That session holds neither marker nor lock; the entry's number is the fence.
        """
        return entry_statement(self._columns(entry))

    async def written_elsewhere(self, entry: NewEntry) -> bool:
        """Whether the journal ends with `entry`; if so, this session goes on behind it."""
        record = await journal.read(self.connection, self.work.target)
        if record is None or record.head != self._head_after(entry):
            return False
        self._move(entry)
        return True

    async def keep_epoch(self) -> None:
        """Commit the epoch of an attempt that wrote no entry. Raises as `commit`."""
        if self._meeting is not None:
            # The first entry says it.
            self._marker = self.chance.uuid().hex
            await self._execute(self._begin_sql(Options(), ours=True, alone=True) + ";\nCOMMIT")
        elif not self.epoch_kept:
            await self.record(entry_about_target(State.VISITED))

    async def set_alone(self, options: Options, *, lock_timeout_s: float | None) -> None:
        """Clean settings, role and time limits for what runs outside of a transaction."""
        lock = _chosen(options.lock_timeout_s, self.limits.lock_timeout_s)
        lock = self.lookout.lock_timeout_s = _chosen(lock_timeout_s, lock)
        length = _chosen(options.statement_timeout_s, self.limits.statement_timeout_s)
        role = options.role or self.settings.role
        sql = statement(
            "alone",
            **self.use.for_script(self.identity.database_oid, role),
            lock_timeout_ms=milliseconds(lock),
            statement_timeout_ms=milliseconds(length),
        )
        if role:
            sql += f";\nSET ROLE {quote_ident(role)}"
        await self.use.open(sql)

    async def clear(self) -> None:
        """Make a session that was used like a new one, for looks. Raises SessionWorn."""
        if self.use.begun:
            await self.use.open(self.use.clearing(self.identity.database_oid))

    async def rollback(self) -> None:
        """Leave the transaction, if there is one, and the script's role and search_path."""
        if self.connection.is_in_transaction():
            await self.connection.execute(f"ROLLBACK;\n{our_path(self.connection)}")

    async def read_journal(self) -> Record | None:
        """What the journal says now; `None` where there is none yet."""
        try:
            if not self.journal_exists:
                await journal.refuse_foreign(self.connection, self.settings.role)
            return await journal.read(self.connection, self.work.target)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            if self.journal_exists:
                raise
            return None

    async def look_whether_met(self) -> None:
        """See whether a script that ended its transaction has committed the first entry."""
        if self._meeting is not None:
            record = await self.read_journal()
            if record is not None and record.head == self._meeting.columns["head"]:
                self._is_met()

    async def broken_guard(self) -> LockLost | StaleEpoch | GuardsReset:
        """Which guard refused; asked outside of a transaction."""
        record = await self.read_journal()
        self.overtaken = record is not None and record.head != self.head
        if self.overtaken and record is not None and record.epoch > self.epoch:
            return stale_epoch(self.epoch)
        if not await still_held(self.connection, self.key):
            return LockLost("the script dropped the migrator's advisory lock; correct it")
        if self.overtaken:
            return LockLost("another migrator wrote the journal meanwhile; try again")
        return guards_reset()

    async def _execute(self, sql: str) -> None:
        try:
            await self.connection.execute(sql)
        except (asyncpg.NotNullViolationError, asyncpg.UniqueViolationError) as error:
            await self.rollback()
            if error.schema_name != JOURNAL_SCHEMA:
                raise
            raise await self.broken_guard() from None
        except (asyncpg.DuplicateSchemaError, asyncpg.DuplicateTableError):
            await self.rollback()
            if self.journal_exists:
                raise
            raise made_meanwhile() from None
        except asyncpg.ReadOnlySQLTransactionError as error:
            await self.rollback()
            raise written_too_late(error) from None
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedObjectError) as error:
            await self.rollback()
            raise self._without_journal(error) from None
        self.epoch_kept = True
        if self._meeting is not None:
            self._is_met()

    def _without_journal(self, error: asyncpg.PostgresError) -> Exception:
        """What it means that a name is not known: the journal's, or one of the script's own."""
        gone = isinstance(error, asyncpg.UndefinedTableError) and JOURNAL_SCHEMA in str(error)
        if is_touched(str(error)) or (gone and self.journal_exists):
            return journal_touched()
        return guards_reset() if gone else error

    def _is_met(self) -> None:
        self._meeting = None
        self.tell_identity(first_contact=True)

    def _move(self, entry: NewEntry) -> None:
        """Go on behind an entry."""
        self.head = self._head_after(entry)
        self.seq += 1
        self.recorded_keys |= {key_of_entry(entry)}

    def _begin_sql(
        self, options: Options, *, ours: bool = False, alone: bool = False, batch: bool = False
    ) -> str:
        """What opens a guarded transaction, with the first entry if that is still to be written.

        A transaction that is `ours` writes nothing but entries; in any other one the script's role
        and search_path are in force behind this.

        It asks for no guard: the marker is set right before, the lock was taken a round trip ago,
        and the entry behind it asks for both, unless the first one stands `alone`.
        """
        lock = _chosen(options.lock_timeout_s, self.limits.lock_timeout_s)
        self.lookout.lock_timeout_s = lock
        length = _chosen(options.statement_timeout_s, self.limits.statement_timeout_s)
        oid, role = self.identity.database_oid, options.role or self.settings.role
        fresh = self.use.for_entry() if ours else self.use.for_script(oid, role, batch=batch)
        begin = statement(
            "begin",
            **fresh,
            lock_timeout_ms=milliseconds(lock),
            statement_timeout_ms=milliseconds(length),
            marker=self._marker,
            isolation=Expression(options.isolation),
        )
        parts = [begin]
        if ours or self._meeting is not None:
            parts.append(as_ourselves(self.connection))
        if self._meeting is not None:
            columns = self._meeting.columns
            first = self._guarded(columns) if alone else entry_statement(columns)
            parts += [self._meeting.install, first]
            if not ours:
                parts.append(statement("as_the_script"))
        return ";\n".join(parts)

    def _record_sql(self, entry: NewEntry) -> str:
        return self._guarded(self._columns(entry))

    def _guarded(self, columns: Mapping[str, SqlValue]) -> str:
        head = statement(
            "guarded_head", marker=self._marker, lock_key=self.key.value, head=columns["head"]
        )
        return entry_statement({**columns, "head": Expression(head)})

    def _head_after(self, entry: NewEntry) -> str:
        said = Said(self.work.command_id, self.work.rollout, self.owner, self.epoch)
        return next_head(self.head, said, self._storable(entry))

    def _storable(self, entry: NewEntry) -> NewEntry:
        """The entry as it is written: with its reason, in the characters that this database has."""
        entry = replace(entry, reason=entry.reason or self.work.reason)
        return in_encoding(entry, self.connection.get_settings().server_encoding)

    def _columns(self, entry: NewEntry) -> dict[str, SqlValue]:
        work, entry = self.work, self._storable(entry)
        if (key := key_of_entry(entry)) in self.recorded_keys:
            raise RunError(
                f"the journal has an entry of command {work.command_id} for {key} already; nothing "
                "was written; report this as a fault of migration-ledger"
            )
        return {
            **entry_values(entry),
            "target": work.target,
            "seq": self.seq + 1,
            "head": self._head_after(entry),
            "command": work.command_id,
            "rollout": work.rollout,
            "reason": entry.reason or None,
            "database_uuid": self.identity.uuid,
            "owner": self.owner,
            "epoch_term": self.epoch.term,
            "epoch_position": self.epoch.position,
        }


def _chosen(own: float | None, general: float) -> float:
    return general if own is None else own
