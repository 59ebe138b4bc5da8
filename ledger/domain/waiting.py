"""What each unfinished database of a rollout waits for, and which command would help.

Nothing waits silently: for every database without an outcome there is one reason, the nearest cause
first. A stopped rollout explains what it does not order, a missing leader explains everything that
leaders do, and so does one that is silent: it alone takes heartbeats in, so what they say is as old
as its silence. An unreachable broker, a pool without agents or with wrong clocks explain what
agents do, and the agents' own heartbeats the rest. Heartbeats are signs of life and never facts: no
decision uses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ledger.contracts.heartbeat import Busy
from ledger.domain.patience import is_blocked
from ledger.domain.premises import is_spent, may_be_spent
from ledger.domain.states import (
    ENDED,
    SETTLED,
    DatabaseState,
    DatabaseStatus,
    RolloutState,
    Status,
)
from ledger.domain.surroundings import Seen, Surroundings
from ledger.domain.wording import IN_QUEUE, number_of
from migrations.model.attempt import FailureClass
from migrations.model.clocks import moment_text

HEARD_AFTER_S = 10.0
"""A leader that has just begun has not heard of every agent yet, nor has one whose broker has just
come back; after this long it has."""


class Reason(StrEnum):
    """Why a database has no outcome yet."""

    NOT_STARTED = "not_started"
    PAUSED = "paused"
    HALTED = "halted"
    BLOCKED = "blocked"
    NO_LEADER = "no_leader"
    LEADER_SILENT = "leader_silent"
    LEFT_ALONE = "left_alone"
    NO_BROKER = "no_broker"
    NO_AGENT = "no_agent"
    CLOCK = "clock"
    REFUSED = "refused"
    PUT_OFF = "put_off"
    PREFLIGHT = "preflight"
    HELD_UP = "held_up"
    QUEUED = "queued"
    RUNNING = "running"
    NOT_TAKEN = "not_taken"
    UNKNOWN = "unknown"
    VERDICT = "verdict"
    RETRIES = "retries"
    WAVE = "wave"
    IN_FLIGHT = "in_flight"
    FINISHING = "finishing"


FOR_ALL = (Reason.NO_BROKER, Reason.NO_LEADER, Reason.LEADER_SILENT, Reason.LEFT_ALONE)
"""Reasons that are the same for all databases: while there is one, nobody moves any of them."""
_BEGINNING = {"connecting": "connecting to its server"}
"""What an agent does by its phase, before it works on a migration."""
SAID_MAX_CHARS = 300
"""Of what an agent says, in one line."""
TAKE_OVER = "ledger serve --take-over"
"""What leads on when the leader is silent."""


@dataclass(frozen=True, slots=True)
class WaitReason:
    """One database's reason in a sentence; `command` would help, `until` is when it may change."""

    database: str
    wave: int
    status: DatabaseStatus
    reason: Reason
    text: str
    command: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class _View:
    """The surroundings, indexed once for all databases."""

    surroundings: Surroundings
    pools: Mapping[str, Sequence[Seen]]
    busy: Mapping[UUID, Busy] = field(default_factory=dict)


def waiting(state: RolloutState, surroundings: Surroundings) -> Iterator[WaitReason]:
    """One answer for each unfinished database, wave by wave."""
    alive = surroundings.alive()
    pools: dict[str, list[Seen]] = {}
    for seen in alive:
        pools.setdefault(seen.heartbeat.pool, []).append(seen)
    view = _View(
        surroundings,
        pools=pools,
        busy={busy.command: busy for seen in alive for busy in seen.heartbeat.busy},
    )
    for database in state.databases():
        if is_unfinished(state, database):
            yield _explain(state, database, view)


def left_alone(why: str) -> str:
    """What to say of a rollout on which the leader decides nothing."""
    return f"the leader leaves it alone, because its plan cannot be meant: {why}"


def is_unfinished(state: RolloutState, database: DatabaseState) -> bool:
    """Whether the rollout still owes this database an outcome."""
    if state.undone_by:
        # What nobody can account for is for the rollout that takes it back to find out.
        return database.open
    if state.status in ENDED:
        return database.active
    return database.status not in SETTLED


def _explain(state: RolloutState, database: DatabaseState, view: _View) -> WaitReason:
    if database.status is DatabaseStatus.BLOCKED:
        return _blocked(state, database)
    if not database.active:
        return (
            _stopped(state, database)
            or _absent(state, database, view)
            or _put_off(state, database)
            or _finishing(database, view)
            or _turn(state, database)
        )
    if silent := _silent_leader(database, view):
        # What agents say of themselves only a leader takes in: it is as old as the silence.
        return silent
    if lost := _no_broker(database, view):
        # Nor does anybody hear of it without the broker.
        return lost
    busy = view.busy.get(database.inspection or database.command or UUID(int=0))
    if busy is not None:
        return _at_work(state, database, busy)
    absent = _absent(state, database, view) or _refusing(database, view)
    return absent or _unanswered(state, database)


def _blocked(state: RolloutState, database: DatabaseState) -> WaitReason:
    message = database.failure.message if database.failure else "its outcome is in doubt"
    return _because(
        database,
        Reason.BLOCKED,
        f"blocked: {message}; look at the database and say whether the migration is applied",
        _resolve(state, database),
    )


def _stopped(state: RolloutState, database: DatabaseState) -> WaitReason | None:
    rollout = state.rollout
    match state.status:
        case Status.PLANNED:
            command = f"ledger rollout abort {rollout}"
            return _because(database, Reason.NOT_STARTED, "planned and not started", command)
        case Status.PAUSED:
            command = f"ledger rollout resume {rollout}"
            return _because(database, Reason.PAUSED, "the rollout is paused", command)
        case Status.HALTED:
            command = f"ledger rollout resume {rollout}"
            return _because(database, Reason.HALTED, f"halted: {state.why}", command)
        case _:
            return None


def _absent(state: RolloutState, database: DatabaseState, view: _View) -> WaitReason | None:
    """Somebody is missing who would have to act."""
    pool = database.pool or view.surroundings.pool_of(database.database)
    if view.surroundings.leader is None:
        return _because(database, Reason.NO_LEADER, "no leader", "ledger serve")
    if silent := _silent_leader(database, view):
        return silent
    if why := view.surroundings.left_alone.get(state.rollout):
        command = f"ledger rollout abort {state.rollout}"
        return _because(database, Reason.LEFT_ALONE, left_alone(why), command)
    if lost := _no_broker(database, view):
        return lost
    agents = view.pools.get(pool, ())
    heard_s = min(view.surroundings.leader.led_s, view.surroundings.broker_s)
    if not agents and heard_s > HEARD_AFTER_S:
        text = f"no agent in pool {pool}"
        return _because(database, Reason.NO_AGENT, text, f"ledger-agent run --pool {pool}")
    if agents and all(seen.is_apart for seen in agents):
        return _because(database, Reason.CLOCK, agents[0].clock)
    return None


def _refusing(database: DatabaseState, view: _View) -> WaitReason | None:
    """Nobody took it, and an agent says that it put aside what came as an order."""
    pool = database.pool or view.surroundings.pool_of(database.database)
    if database.started or database.status is DatabaseStatus.UNKNOWN:
        return None
    for seen in view.pools.get(pool, ()):
        if why := seen.heartbeat.refuses:
            text = f"agent {seen.heartbeat.agent} puts orders aside: {why[:SAID_MAX_CHARS]}"
            since = database.ordered_at
            return _because(database, Reason.REFUSED, text, "ledger keys list", since=since)
    return None


def _silent_leader(database: DatabaseState, view: _View) -> WaitReason | None:
    leader = view.surroundings.leader
    if leader is None or not leader.is_silent:
        return None
    text = f"{leader.name} leads and {leader.silence}"
    return _because(database, Reason.LEADER_SILENT, text, TAKE_OVER, since=leader.heard_at)


def _no_broker(database: DatabaseState, view: _View) -> WaitReason | None:
    leader = view.surroundings.leader
    if leader is None or view.surroundings.broker is not False:
        return None
    text = "the broker cannot be reached; " + (
        "what an agent has in hand goes on, and is reported when it is back"
        if database.started
        else "orders are published when it is back"
    )
    return _because(database, Reason.NO_BROKER, text, "ledger-agent check")


def _put_off(state: RolloutState, database: DatabaseState) -> WaitReason | None:
    """Its attempts came to nothing, and the next one is not due yet."""
    if not database.again or not database.fruitless or database.failure is None:
        return None
    failure = database.failure
    due = f" at {moment_text(database.again_at)}" if database.again_at else ""
    if is_blocked(failure):
        return _because(
            database,
            Reason.PREFLIGHT,
            f"blocked: {failure.message}; asked again{due}",
            f"ledger rollout retry {state.rollout} {database.database}",
            since=database.waits_since,
            until=database.again_at,
        )
    return _because(
        database,
        Reason.CLOCK if failure.kind is FailureClass.CLOCK else Reason.PUT_OFF,
        f"{failure.message}; attempt {database.fruitless + 1} in a row{due}",
        f"ledger rollout retry {state.rollout} {database.database}",
        since=database.waits_since,
        until=database.again_at,
    )


def _turn(state: RolloutState, database: DatabaseState) -> WaitReason:
    """It is not ordered because others come first, or because it may be none's turn any more."""
    running = state.status is Status.RUNNING
    if running and state.retried_at and (is_spent(state) or state.doubted):
        if database.database not in state.retried:
            text = "only what was asked for is tried again; other failures stop the rollout still"
            return _because(database, Reason.RETRIES, text)
    elif running and may_be_spent(state):
        failing = number_of(state.failing, "database")
        text = f"{failing} reported a failure that would spend the budget, and has not ended yet"
        return _because(database, Reason.VERDICT, text)
    if database.wave > max(state.wave, 0):
        text = f"wave {database.wave + 1} is not open yet"
        return _because(database, Reason.WAVE, text)
    text = f"in-flight limit: {number_of(state.plan.in_flight, 'database')} at once"
    if stuck := state.count(DatabaseStatus.BLOCKED) + state.count(DatabaseStatus.UNKNOWN):
        text += f", {stuck:,} of them blocked or unknown"
    return _because(database, Reason.IN_FLIGHT, text)


def _at_work(state: RolloutState, database: DatabaseState, busy: Busy) -> WaitReason:
    """What the agent that has it in its hands says."""
    doing = _doing(busy)
    if busy.waits_for:
        text = f"{_held_up(busy)}; {doing}" if doing else _held_up(busy)
        since = busy.waiting_since or busy.since
        return _because(database, Reason.HELD_UP, text, since=since, until=busy.next_try_at)
    if busy.phase == "queued":
        return _because(database, Reason.QUEUED, IN_QUEUE, since=busy.since)
    text = f"{busy.phase}: {doing}" if doing else _BEGINNING.get(busy.phase, busy.phase)
    return _because(database, Reason.RUNNING, text, since=busy.since)


def _finishing(database: DatabaseState, view: _View) -> WaitReason | None:
    """What is undone is still at work there, or may begin."""
    undone = view.surroundings.undone
    if undone is None or database.database not in undone:
        return None
    forward = undone.database(database.database)
    if not forward.open:
        return None
    busy = view.busy.get(forward.command or UUID(int=0))
    if busy is not None:
        text = f"finishing {_doing(busy) or 'its order'} before it goes back"
        return _because(database, Reason.FINISHING, text, since=busy.since)
    until = forward.deadline_at if forward.started else forward.expires_at
    text = f"an order of {undone.rollout} is out there, and ends before the database goes back"
    return _because(database, Reason.FINISHING, text, since=forward.ordered_at, until=until)


def _doing(busy: Busy) -> str:
    """The migration and the statement that run there, if one has begun."""
    if not busy.migration:
        return busy.standing[:SAID_MAX_CHARS]
    doing = f"migration {busy.migration}"
    if busy.statement and busy.statements:
        doing += f", statement {busy.statement} of {busy.statements}"
    return f"{doing}; {busy.standing[:SAID_MAX_CHARS]}" if busy.standing else doing


def _held_up(busy: Busy) -> str:
    """What it waits for, since when, and when that is tried again."""
    if busy.waiting_since is None:
        return busy.waits_for
    held_up = f"{busy.waits_for}, since {moment_text(busy.waiting_since)}"
    if busy.next_try_at is None and busy.phase == "waiting":
        # The statement itself waits.
        return held_up
    again = "trying again now"
    if busy.next_try_at is not None:
        again = f"next retry at {moment_text(busy.next_try_at)}"
    return f"{held_up}, {again}"


def _unanswered(state: RolloutState, database: DatabaseState) -> WaitReason:
    """It was ordered, agents are there, and none says that it works on it."""
    if database.status is DatabaseStatus.UNKNOWN:
        asked = moment_text(database.inspected_at) if database.inspected_at else "next"
        why = f": {database.failure.message}" if database.failure else ""
        return _because(
            database,
            Reason.UNKNOWN,
            f"unknown{why}; its journal was asked at {asked}",
            _resolve(state, database),
            since=database.deadline_at,
            until=database.look_at,
        )
    if database.started:
        text = "an agent started it and has not reported its end"
        return _because(
            database, Reason.RUNNING, text, since=database.ordered_at, until=database.deadline_at
        )
    text = "ordered, no agent has taken it yet"
    return _because(
        database, Reason.NOT_TAKEN, text, since=database.ordered_at, until=database.expires_at
    )


def _resolve(state: RolloutState, database: DatabaseState) -> str:
    version = state.plan.steps[0].version if len(state.plan.steps) == 1 else "MIGRATION"
    return f"ledger resolve {database.database} {version} --applied|--not-applied --reason …"


def _because(
    database: DatabaseState,
    reason: Reason,
    text: str,
    command: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> WaitReason:
    return WaitReason(
        database.database, database.wave, database.status, reason, text, command, since, until
    )
