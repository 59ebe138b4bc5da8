"""A holder of a lock in words: whatever the server keeps to itself is not guessed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from migrations.target.holder import MODES, LockSession, blocking, conflicting, describe

SESSION = LockSession(
    pid=7,
    seen=True,
    role="app",
    application_name="psql",
    backend_type="client backend",
    state="idle in transaction",
    database="shop",
    session_s=90.0,
    transaction_s=19.4,
    prepared=None,
    prepared_by=None,
    prepared_s=None,
)
HIDDEN = replace(SESSION, state=None, backend_type=None, session_s=None, transaction_s=None)
PROCESS = replace(SESSION, role=None, application_name="", state=None, transaction_s=None)
PREPARED = LockSession(
    None, False, None, None, None, None, None, None, None, "order 5", "app", 61.0
)
LEFT_OUT = (
    "; its state and age are hidden from our login: grant it pg_read_all_stats or pg_monitor to "
    "see them"
)


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (SESSION, "pid 7 (psql), user app, idle in transaction, 19 s"),
        (replace(SESSION, application_name=None), "pid 7, user app, idle in transaction, 19 s"),
        (replace(SESSION, state=None), "pid 7 (psql), user app, client backend, 19 s"),
        (replace(SESSION, transaction_s=None), "pid 7 (psql), user app, idle in transaction, "
         "session age 90 s"),
        (HIDDEN, f"pid 7 (psql), user app{LEFT_OUT}"),
        (replace(HIDDEN, application_name=""), f"pid 7, user app{LEFT_OUT}"),
        (replace(PROCESS, backend_type="autovacuum worker"),
         "pid 7, autovacuum worker, session age 90 s"),
        (replace(PROCESS, backend_type=None), "pid 7, state unknown, session age 90 s"),
        (replace(HIDDEN, role=None, application_name=None),
         f"pid 7, a process of the server itself{LEFT_OUT}"),
        (replace(HIDDEN, seen=False, role=None, application_name=None),
         "pid 7, which has ended meanwhile"),
        (PREPARED, "the prepared transaction 'order 5', user app, 61 s; "
         "COMMIT PREPARED or ROLLBACK PREPARED ends it"),
        (replace(PREPARED, prepared=None, prepared_s=None, prepared_by=None),
         "the prepared transaction; COMMIT PREPARED or ROLLBACK PREPARED ends it"),
    ],
)  # fmt: skip
def test_a_holder_is_told_as_what_the_server_shows_of_it(holder: LockSession, words: str) -> None:
    assert describe(holder) == words


def row(session: LockSession = SESSION, **more: Any) -> dict[str, Any]:
    """What `blockers` says of one lock."""
    given = {
        "depth": 1,
        "locktype": "relation",
        "wanted": "AccessExclusiveLock",
        "mode": "RowExclusiveLock",
        "granted": True,
        "relation": "public.users",
        "waiting_s": 3.0,
    }
    return {**asdict(session), **given, **more}


def test_of_several_locks_of_one_session_the_strongest_in_the_way_is_told() -> None:
    rows = [row(mode=mode) for mode in ("AccessShareLock", "ShareLock", "RowShareLock")]
    found = blocking(rows, "shop")
    assert found is not None
    assert found.what == "AccessExclusiveLock on public.users"
    assert found.by.endswith("19 s, holds ShareLock on public.users")


def test_a_lock_that_does_not_stand_in_the_way_is_not_told_as_the_reason() -> None:
    rows = [
        row(replace(SESSION, pid=0, prepared=name), wanted="RowExclusiveLock", mode=mode)
        for name, mode in (("reads", "AccessShareLock"), ("shares", "ShareLock"))
    ]
    found = blocking(rows, "shop")
    assert found is not None
    assert "'shares'" in found.by
    assert "'reads'" not in found.by


def test_who_waits_before_us_is_told_behind_whom_it_waits_for() -> None:
    reader = replace(SESSION, pid=9, application_name="report")
    rows = [
        row(wanted="AccessShareLock", mode="AccessExclusiveLock", granted=False),
        row(reader, depth=2, mode="AccessShareLock"),
    ]
    found = blocking(rows, "shop")
    assert found is not None
    first, _, second = found.by.partition("; ")
    assert first.startswith("pid 9 (report)")
    assert second.startswith("in between pid 7 (psql)")
    assert second.endswith("waits for AccessExclusiveLock on public.users")


def test_a_session_of_another_database_is_told_with_its_database() -> None:
    found = blocking([row(relation="pg_catalog.pg_authid")], "elsewhere")
    assert found is not None
    assert "user app, in database shop, " in found.by


def test_a_session_of_another_database_is_not_ended_nor_is_told_what_it_runs() -> None:
    ours = row(replace(SESSION, pid=8, database="elsewhere"), query="SELECT 1 FROM ours")
    theirs = row(depth=2, query="SELECT secret FROM theirs")
    found = blocking([theirs], "elsewhere")
    assert found is not None
    assert (found.pids, found.running) == ((), "")
    both = blocking([ours, theirs], "elsewhere")
    assert both is not None
    assert both.pids == (8,)
    assert "theirs" not in both.running
    assert "in database shop" in both.by


def test_no_more_sessions_are_told_than_fit_in_a_sentence() -> None:
    found = blocking([row(replace(SESSION, pid=pid)) for pid in range(1, 8)], "shop")
    assert found is not None
    assert found.by.count("pid ") == 3
    assert found.by.endswith("; 4 more")


def test_conflicts_between_modes_are_mutual() -> None:
    assert all(conflicting(a, b) == conflicting(b, a) for a in MODES for b in MODES)
    assert not conflicting("AccessShareLock", "ExclusiveLock")
    assert conflicting("ShareUpdateExclusiveLock", "ShareUpdateExclusiveLock")
    assert not conflicting("ShareLock", "ShareLock")


@pytest.mark.parametrize("name", ["\x1b[2Jcleared", "\u202egnp.exe", "two\nlines"])
def test_a_name_that_a_client_chose_moves_no_cursor(name: str) -> None:
    for holder in (replace(SESSION, application_name=name), replace(PREPARED, prepared=name)):
        assert describe(holder).isprintable()
