"""A working copy of a rollout's state while a batch of events is folded into it.

Copied on the first write and only where written: a chunk is copied once per batch, so folding n
events costs n, whatever the size of the fleet. The state it was made from never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from ledger.domain.states import DatabaseState, DatabaseStatus, RolloutState, Status, Wave

_FAILED = DatabaseStatus.FAILED


class RolloutBuilder:
    """What a fold writes to; `freeze` makes the next state of it.

    All that is kept beside the databases (counts, active, again, failures) follows from `put`
    alone, so it cannot disagree with them.
    """

    def __init__(self, base: RolloutState) -> None:
        self.plan = base.plan
        self.status = base.status
        self.version = base.version
        self.position = base.position
        self.undone_by = base.undone_by
        self.cancel = base.cancel
        self.why = base.why
        self.wave = base.wave
        self.waves = list(base.waves)
        self.written: set[str] = set()
        """Databases that were written since the draft was made, or since this was emptied."""
        self._base = base
        self._chunks: list[Mapping[str, DatabaseState]] = list(base.chunks)
        self._own: dict[int, dict[str, DatabaseState]] = {}
        self._where = base.where
        self._own_where: dict[str, int] | None = None
        self._counts = dict(base.counts)
        self._active = dict(base.active)
        self._again = dict(base.again)
        self._failures = dict(base.failures)
        self._counted = base.counted
        self._failing = base.failing
        self._ordered = base.ordered
        self._cursor = base.cursor
        self._doubted = dict(base.doubted)
        self._retried = base.retried
        self._retried_at = base.retried_at

    def freeze(self) -> RolloutState:
        """The state after everything that was written; the draft is not to be used after this."""
        return RolloutState(
            plan=self.plan,
            status=self.status,
            version=self.version,
            position=self.position,
            planned_at=self._base.planned_at,
            undone_by=self.undone_by,
            cancel=self.cancel,
            why=self.why,
            wave=self.wave,
            waves=tuple(self.waves),
            chunks=tuple(self._chunks),
            where=self._where,
            counts=self._counts,
            active=self._active,
            again=self._again,
            failures=self._failures,
            counted=self._counted,
            failing=self._failing,
            ordered=self._ordered,
            cursor=self._cursor,
            doubted=self._doubted,
            retried=self._retried,
            retried_at=self._retried_at,
        )

    @property
    def total(self) -> int:
        """How many databases there are in it."""
        return len(self._where)

    def get(self, database: str) -> DatabaseState | None:
        """One database's state; `None` when it is no part of the rollout, or was let go of."""
        chunk = self._where.get(database)
        return None if chunk is None else self._chunks[chunk].get(database)

    def restore(self, states: Iterable[DatabaseState]) -> None:
        """Take in databases as they were when they were kept elsewhere; those here already stay."""
        chunk = {state.database: state for state in states if state.database not in self._where}
        self._place(chunk)
        for state in chunk.values():
            key = (state.wave, state.status)
            self._counts[key] = self._counts.get(key, 0) + 1
            if state.active:
                self._active[state.database] = None
            if state.again:
                self._again[state.database] = None
            if state.status is _FAILED:
                self._failures[state.database] = None
            self._counted += state.counts
            self._failing += state.failing
            self._ordered += state.attempt > 0

    def put(self, new: DatabaseState) -> None:
        """Write one database's state, and all that follows from it."""
        number = self._where[new.database]
        chunk = self._own.get(number)
        if chunk is None:
            chunk = self._own[number] = dict(self._chunks[number])
            self._chunks[number] = chunk
        old = chunk[new.database]
        chunk[new.database] = new
        self.written.add(new.database)
        if new.status is not old.status:
            self._move(new.database, new.wave, old.status, new.status)
        elif (
            new.open is old.open
            and new.again is old.again
            and new.forgiven is old.forgiven
            and new.failing is old.failing
        ):
            # Most reports say more of a database without moving it.
            return
        if new.active is not old.active:
            _set_member(self._active, new.database, new.active)
        if new.again is not old.again:
            _set_member(self._again, new.database, new.again)
        self._counted += new.counts - old.counts
        self._failing += new.failing - old.failing
        self._ordered += (new.attempt > 0) - (old.attempt > 0)

    def let_go(self) -> None:
        """Keep nothing but the number of what was written and is done."""
        for database in self.written:
            state = self.get(database)
            if state is not None and state.done:
                del self._own[self._where[database]][database]

    def settle(self, databases: Mapping[str, DatabaseStatus]) -> None:
        """Let go of databases that are done in these statuses, whatever is said of them here.

        What turned the rollout may have been about them: a retry that has succeeded since.
        """
        for database, status in databases.items():
            number = self._where[database]
            if number not in self._own:
                self._chunks[number] = self._own[number] = dict(self._chunks[number])
            before = self._own[number].pop(database)
            self._move(database, before.wave, before.status, status)
            self._active.pop(database, None)
            self._again.pop(database, None)
            self._counted -= before.counts
            self._failing -= before.failing
            self._ordered += before.attempt == 0

    def add_chunk(
        self,
        wave: int,
        databases: tuple[str, ...],
        values: Mapping[str, tuple[tuple[str, str], ...]],
    ) -> None:
        """Take in newly planned databases, with the values that some have for themselves."""
        while len(self.waves) <= wave:
            self.waves.append(Wave())
        self.waves[wave] = self.waves[wave]._replace(chunks=(*self.waves[wave].chunks, databases))
        self._place(
            {
                database: DatabaseState(database, wave, values=values.get(database, ()))
                for database in databases
            }
        )
        self.written.update(databases)
        pending = (wave, DatabaseStatus.PENDING)
        self._counts[pending] = self._counts.get(pending, 0) + len(databases)

    def open_wave(self, wave: int) -> None:
        """Order from this wave from now on."""
        self.waves[wave] = self.waves[wave]._replace(opened=True)
        self.wave = wave
        self._cursor = (0, 0)

    def complete_wave(self, wave: int) -> None:
        """Note that every database of the wave has an outcome."""
        self.waves[wave] = self.waves[wave]._replace(completed=True)

    def doubt(self, database: str, position: int) -> None:
        """Note that somebody lies about this database, and where that is written."""
        self._doubted.setdefault(database, position)

    def halt(self, why: str) -> None:
        """Stop, and forget what was being tried again."""
        self.status, self.why = Status.HALTED, why
        self._retried, self._retried_at = frozenset(), 0

    def retry(self, databases: Iterable[str], position: int) -> None:
        """Try these again, which may end a halt; what is known of all others counts still."""
        chosen = frozenset(databases)
        if self.status is Status.HALTED:
            self.status, self.why = Status.RUNNING, ""
            self._retried_at = position
        self._retried |= chosen
        for database in chosen & self._doubted.keys():
            del self._doubted[database]

    def forgive(self) -> None:
        """Let the failures known by now not be counted again, nor the lies."""
        self._doubted.clear()
        for database in tuple(self._failures):
            state = self.get(database)
            if state is not None and state.counts:
                self.put(state._replace(forgiven=True))

    def abort(self, now: datetime) -> None:
        """End where it stands; whoever was cut short and waits for an attempt is asked instead."""
        self.status = Status.ABORTED
        for database in tuple(self._again):
            state = self.get(database)
            if state is not None and state.begun:
                self.put(state.in_doubt(now))

    def advance(self) -> None:
        """Move the cursor over what needs no first order any more."""
        chunks = self.waves[self.wave].chunks if self.wave >= 0 else ()
        chunk, offset = self._cursor
        while chunk < len(chunks):
            if offset == len(chunks[chunk]):
                chunk, offset = chunk + 1, 0
            elif self._is_fresh(chunks[chunk][offset]):
                break
            else:
                offset += 1
        self._cursor = (chunk, offset)

    def _place(self, chunk: dict[str, DatabaseState]) -> None:
        number = len(self._chunks)
        if self._own_where is None:
            self._own_where = dict(self._where)
            self._where = self._own_where
        self._own_where.update(dict.fromkeys(chunk, number))
        self._own[number] = chunk
        self._chunks.append(chunk)

    def _is_fresh(self, database: str) -> bool:
        state = self.get(database)
        return state is not None and state.fresh

    def _move(
        self, database: str, wave: int, before: DatabaseStatus, after: DatabaseStatus
    ) -> None:
        self._counts[wave, before] -= 1
        if not self._counts[wave, before]:
            del self._counts[wave, before]
        self._counts[wave, after] = self._counts.get((wave, after), 0) + 1
        if (before is _FAILED) is not (after is _FAILED):
            _set_member(self._failures, database, after is _FAILED)


def _set_member(members: dict[str, None], database: str, is_member: bool) -> None:
    if is_member:
        members[database] = None
    else:
        members.pop(database, None)
