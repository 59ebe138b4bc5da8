"""What follows from a rollout's state and the time: the events that the conductor appends.

`progress` decides as much as one state allows and answers nothing when nothing follows. The caller
appends, folds, and asks again until nothing comes back; then it sleeps until a report arrives or
until `next_wake`. In this order:

1. whatever its status, orders that went unanswered past their deadline time out, and databases in
   an unknown state are looked at;
2. with reports that contradict each other about what became of a database, it halts; running, with
   the budget spent, it halts before any further order, and has itself undone if its plan says so;
   while the last word on a failure that would spend it is missing, it orders nothing; where a
   person has had databases tried again although what is known of others is too much still, only
   they are ordered, and it halts when none of them is left, or the first of them has failed;
3. running, it opens waves, orders within the in-flight limit, closes waves, completes.

One that goes back orders no database at which what it undoes is still at work: two orders on one
database would only meet at its lock. And it does not complete over a database that could not go
back: it halts, so that a person tries again, or accepts it by resuming.

An order that expired unstarted is replaced by a new attempt in the same place and is no failure.
One that an agent gave back (expired, refused for a clock, taken back) is made again a few times,
further and further apart (`ledger.domain.patience`); until then the database keeps its place, but
for one that is blocked by what was asked before: others go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.contracts.events import (
    AttemptTimedOut,
    DatabaseLeftOut,
    RolloutCompleted,
    RolloutHalted,
    UndoStarted,
    WaveCompleted,
    WaveOpened,
    WhenSpent,
)
from ledger.domain import budget
from ledger.domain.orders import Decision, DecisionContext, Policy, decided, inspection, order
from ledger.domain.patience import is_blocked
from ledger.domain.premises import is_spent, may_be_spent, only_retries
from ledger.domain.refusals import listed
from ledger.domain.rollback import next_undo
from ledger.domain.states import DatabaseState, DatabaseStatus, RolloutState, Status
from ledger.domain.wording import number_of

EVIDENCE_AT_MOST = 100
"""Positions named as the evidence of a halt; the first ones say enough."""
_DOUBTFUL = (DatabaseStatus.UNKNOWN, DatabaseStatus.BLOCKED)
LOOK_AGAIN_S = 1.0
"""Wait before something overdue that `progress` could not settle is looked at again."""


def progress(state: RolloutState, situation: DecisionContext) -> tuple[Decision, ...]:
    """The events that follow now, each with its derived id; none when nothing follows."""
    owed = _owed(state, situation)
    events = list(_expire_and_inspect(state, situation, owed.concerned))
    if state.status is Status.RUNNING:
        if only_retries(state):
            if not state.failing:
                events += _order_all(state, situation, state.wave, owed, state.retried)
        elif state.doubted:
            events.append(_doubt(state))
        elif is_spent(state):
            events += _halt(state)
        elif not may_be_spent(state):
            events += _forward(state, situation, owed)
    return tuple(events)


def next_wake(
    state: RolloutState,
    now: datetime,
    policy: Policy | None = None,
    beside: Sequence[RolloutState] = (),
) -> datetime | None:
    """When to ask `progress` again without a report; `None` when time alone changes nothing.

    What is due already and still there waits for something else than time (a paused rollout, a
    suspended database), so it asks for another look after `LOOK_AGAIN_S` and not at once. `beside`
    is as in `DecisionContext`.
    """
    grace = timedelta(seconds=(policy or Policy()).expiry_grace_s)
    moments = [
        moment
        for database in _active(state)
        if (moment := _wakes(state, database, grace)) is not None
    ]
    if state.status is Status.RUNNING:
        # What is due and still there waits for a place, which comes with a report.
        moments += [one.again_at for one in _again(state) if one.put_off(now) and one.again_at]
        held = (one.expires_at + grace for one in _at_work(beside, now, grace) if one.expires_at)
        moments += [moment for moment in held if moment > now]
    soon = now + timedelta(seconds=LOOK_AGAIN_S)
    return min((moment if moment > now else soon for moment in moments), default=None)


def _wakes(state: RolloutState, database: DatabaseState, grace: timedelta) -> datetime | None:
    if database.status is DatabaseStatus.UNKNOWN:
        return database.look_at
    if not database.open:
        return None
    expires, deadline = database.expires_at, database.deadline_at
    if database.started or expires is None or state.status is not Status.RUNNING:
        return deadline
    return expires + grace if deadline is None else min(expires + grace, deadline)


class _Owed(NamedTuple):
    """Who owes an outcome: those whom time or doubt concerns, and how many merely have to answer.

    Told apart in one walk, because in a large wave nearly all of them merely have to answer, and
    this is asked with every batch of reports.
    """

    concerned: tuple[DatabaseState, ...]
    others: int


def _owed(state: RolloutState, situation: DecisionContext) -> _Owed:
    now = situation.now
    expired_by = now - timedelta(seconds=situation.policy.expiry_grace_s)
    concerned = tuple(
        database for database in _active(state) if not _merely_answers(database, now, expired_by)
    )
    return _Owed(concerned, len(state.active) - len(concerned))


def _merely_answers(database: DatabaseState, now: datetime, expired_by: datetime) -> bool:
    """Whether its order is out, in time, and in no doubt."""
    if not database.open or database.status in _DOUBTFUL:
        return False
    if database.deadline_at is None or database.deadline_at <= now:
        return False
    return database.started or database.expires_at is None or database.expires_at > expired_by


def _expire_and_inspect(
    state: RolloutState, situation: DecisionContext, concerned: Sequence[DatabaseState]
) -> Iterator[Decision]:
    for database in concerned:
        if not _is_overdue(database, situation.now):
            continue
        if _is_expired(state, database, situation) or database.command is None:
            continue
        event = AttemptTimedOut(
            rollout=state.rollout,
            database=database.database,
            attempt=database.attempt,
            command=database.command,
        )
        yield decided(state, event, str(database.command))
    for database in concerned:
        due = database.look_at is not None and database.look_at <= situation.now
        if not due or database.status is not DatabaseStatus.UNKNOWN:
            continue
        record = situation.records(database.database)
        if record is not None and record.active:
            yield inspection(state, database, record, situation)


def _doubt(state: RolloutState) -> Decision:
    why = (
        "reports contradict each other about what became of "
        f"{listed(sorted(state.doubted))}: it was restored from an older copy meanwhile, or "
        "somebody who is no agent reports, or a defect does; its journal is asked, and `ledger "
        "history` has both reports; what was restored is let in with `ledger fleet reinstate`"
    )
    evidence = sorted(state.doubted.values())[:EVIDENCE_AT_MOST]
    halted = RolloutHalted(rollout=state.rollout, why=why, evidence=tuple(evidence))
    return decided(state, halted, str(state.version))


def _halt(state: RolloutState) -> list[Decision]:
    plan = state.plan
    failures = (state.database(database) for database in state.failures)
    evidence = sorted(failure.settled_position for failure in failures if failure.counts)
    why = f"{_failed(state)}, budget is {budget.describe(state.total, plan.budget)}"
    halted = RolloutHalted(
        rollout=state.rollout, why=why, evidence=tuple(evidence[:EVIDENCE_AT_MOST])
    )
    events = [decided(state, halted, str(state.version))]
    if plan.when_spent is WhenSpent.ROLLBACK:
        reason = f"the failure budget is spent: {why}"
        undo = UndoStarted(rollout=state.rollout, by=next_undo(state), why=reason)
        events.append(decided(state, undo, "policy"))
    return events


def _failed(state: RolloutState) -> str:
    """How many had failed when it was said, and of which number; others may fail behind it."""
    of_some = state.ordered < state.total
    noun = "ordered database" if of_some else "database"
    number = number_of(state.ordered if of_some else state.total, noun)
    text = f"{state.counted:,} of {number} had failed by then"
    text += f" ({state.total:,} in the rollout)" if of_some else ""
    accepted = len(state.failures) - state.counted
    return f"{text} beside {accepted:,} accepted before" if accepted else text


def _forward(state: RolloutState, situation: DecisionContext, owed: _Owed) -> list[Decision]:
    events: list[Decision] = []
    wave = state.wave
    if wave < 0 or state.waves[wave].completed:
        wave += 1
        if wave < len(state.waves):
            events.append(_opened(state, wave))
    elif state.unsettled(wave) == 0:
        event = WaveCompleted(rollout=state.rollout, wave=wave)
        events.append(decided(state, event, str(wave)))
        if wave + 1 < len(state.waves):
            wave += 1
            events.append(_opened(state, wave))
    events += _order_all(state, situation, wave, owed)
    if (
        not events
        and not (state.active or state.again)
        and all(known.completed for known in state.waves)
    ):
        stuck = state.goes_back and state.counted
        events.append(_could_not_go_back(state) if stuck else _completed(state))
    return events


def _order_all(
    state: RolloutState,
    situation: DecisionContext,
    wave: int,
    owed: _Owed,
    only: frozenset[str] | None = None,
) -> list[Decision]:
    """Orders for who expired, who waits for a new attempt, and who comes next, within the limit.

    With `only`, those of them that are named there.
    """
    events = [
        _order_or_leave_out(state, database, situation)
        for database in owed.concerned
        if only is None or database.database in only
        if _is_expired(state, database, situation) or _is_given_up(database, situation)
    ]
    in_doubt = sum(database.active for database in owed.concerned)
    put_off = sum(
        database.put_off(situation.now) and not is_blocked(database.failure)
        for database in _again(state)
    )
    free = state.plan.in_flight - owed.others - in_doubt - put_off
    policy = situation.policy
    most = policy.most_events if state.active else policy.first_orders
    for database in _next_ones(state, wave, situation, only):
        if free <= 0 or len(events) >= most:
            break
        chosen = _order_or_leave_out(state, database, situation)
        events.append(chosen)
        free -= not isinstance(chosen.event, DatabaseLeftOut)
    return events


def _order_or_leave_out(
    state: RolloutState, database: DatabaseState, situation: DecisionContext
) -> Decision:
    record = situation.records(database.database)
    if record is not None and record.active:
        return order(state, database, record, situation)
    status = "no part of the fleet" if record is None else record.status.value
    event = DatabaseLeftOut(
        rollout=state.rollout, database=database.database, why=f"the database is {status}"
    )
    # The decisions' version, because the same database can be left out again after a retry.
    return decided(state, event, f"{database.database}/{state.version}")


def _next_ones(
    state: RolloutState, wave: int, situation: DecisionContext, only: frozenset[str] | None
) -> Iterator[DatabaseState]:
    now, grace = situation.now, timedelta(seconds=situation.policy.expiry_grace_s)
    held = {one.database for one in _at_work(situation.beside, now, grace)}
    for database in _again(state):
        if only is not None and database.database not in only:
            continue
        if not database.put_off(now) and database.database not in held:
            yield database
    if only is not None:
        return
    yield from (database for database in _fresh(state, wave) if database.database not in held)


def _at_work(
    beside: Sequence[RolloutState], now: datetime, grace: timedelta
) -> Iterator[DatabaseState]:
    """Databases where what is undone is still at work, or may begin."""
    for other in beside:
        for database in _active(other):
            expires = database.expires_at
            over = not database.started and expires is not None and expires + grace <= now
            if database.open and not over:
                yield database


def _fresh(state: RolloutState, wave: int) -> Iterator[DatabaseState]:
    if not 0 <= wave < len(state.waves):
        return
    chunk, offset = state.cursor if wave == state.wave else (0, 0)
    for names in state.waves[wave].chunks[chunk:]:
        for name in names[offset:]:
            database = state.get(name)
            if database is not None and database.fresh:
                yield database
        offset = 0


def _active(state: RolloutState) -> Iterator[DatabaseState]:
    return (state.database(name) for name in state.active)


def _again(state: RolloutState) -> Iterator[DatabaseState]:
    return (state.database(name) for name in state.again)


def _is_overdue(database: DatabaseState, now: datetime) -> bool:
    return database.open and database.deadline_at is not None and database.deadline_at <= now


def _may_expire(state: RolloutState, database: DatabaseState) -> bool:
    return database.open and not database.started and state.status is Status.RUNNING


def _expiry(database: DatabaseState, policy: Policy) -> datetime | None:
    if database.expires_at is None:
        return None
    return database.expires_at + timedelta(seconds=policy.expiry_grace_s)


def _is_expired(state: RolloutState, database: DatabaseState, situation: DecisionContext) -> bool:
    expiry = _expiry(database, situation.policy)
    return _may_expire(state, database) and expiry is not None and expiry <= situation.now


def _is_given_up(database: DatabaseState, situation: DecisionContext) -> bool:
    """In doubt, and the fleet let go of it: nobody will find out, and nothing waits for it."""
    if database.status not in _DOUBTFUL:
        return False
    record = situation.records(database.database)
    return record is None or not record.active


def _opened(state: RolloutState, wave: int) -> Decision:
    return decided(state, WaveOpened(rollout=state.rollout, wave=wave), str(wave))


def _completed(state: RolloutState) -> Decision:
    event = RolloutCompleted(
        rollout=state.rollout,
        applied=state.count(DatabaseStatus.APPLIED),
        skipped=state.count(DatabaseStatus.SKIPPED),
        failed=state.count(DatabaseStatus.FAILED),
    )
    return decided(state, event, "")


def _could_not_go_back(state: RolloutState) -> Decision:
    stuck = [name for name in sorted(state.failures) if state.database(name).counts]
    positions = sorted(state.database(name).settled_position for name in stuck)
    databases = number_of(state.total, "database")
    halted = RolloutHalted(
        rollout=state.rollout,
        why=f"rollback failed on {len(stuck):,} of {databases}: {listed(stuck)}",
        evidence=tuple(positions[:EVIDENCE_AT_MOST]),
    )
    return decided(state, halted, str(state.version))
