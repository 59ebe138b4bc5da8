"""A holder of a lock in words: whatever the server keeps to itself is not guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrations.target.holder import Holder, describe

SESSION = Holder(
    pid=7,
    seen=True,
    has_user=True,
    application_name="psql",
    backend_type="client backend",
    state="idle in transaction",
    session_s=90.0,
    transaction_s=19.4,
    prepared=None,
    prepared_s=None,
)
HIDDEN = replace(SESSION, state=None, backend_type=None, session_s=None, transaction_s=None)
PROCESS = replace(SESSION, has_user=False, application_name="", state=None, transaction_s=None)
PREPARED = Holder(None, False, False, None, None, None, None, None, "order 5", 61.0)


@pytest.mark.parametrize(
    ("holder", "words"),
    [
        (SESSION, "pid 7 (psql), idle in transaction, 19 s"),
        (replace(SESSION, application_name=None), "pid 7, idle in transaction, 19 s"),
        (replace(SESSION, state=None), "pid 7 (psql), client backend, 19 s"),
        (replace(SESSION, transaction_s=None), "pid 7 (psql), idle in transaction, "
         "session age 90 s"),
        (HIDDEN, "pid 7 (psql), another role's session; grant pg_read_all_stats to see it"),
        (replace(HIDDEN, application_name=""),
         "pid 7, another role's session; grant pg_read_all_stats to see it"),
        (replace(PROCESS, backend_type="autovacuum worker"),
         "pid 7, autovacuum worker, session age 90 s"),
        (replace(PROCESS, backend_type=None), "pid 7, state unknown, session age 90 s"),
        (replace(HIDDEN, has_user=False, application_name=None),
         "pid 7, a process of the server itself; grant pg_read_all_stats to see it"),
        (replace(HIDDEN, seen=False, has_user=False, application_name=None),
         "pid 7, which has ended meanwhile"),
        (PREPARED, "the prepared transaction 'order 5', 61 s; "
         "COMMIT PREPARED or ROLLBACK PREPARED ends it"),
        (replace(PREPARED, prepared=None, prepared_s=None),
         "the prepared transaction; COMMIT PREPARED or ROLLBACK PREPARED ends it"),
    ],
)  # fmt: skip
def test_a_holder_is_told_as_what_the_server_shows_of_it(holder: Holder, words: str) -> None:
    assert describe(holder) == words


@pytest.mark.parametrize("name", ["\x1b[2Jcleared", "\u202egnp.exe", "two\nlines"])
def test_a_name_that_a_client_chose_moves_no_cursor(name: str) -> None:
    for holder in (replace(SESSION, application_name=name), replace(PREPARED, prepared=name)):
        assert describe(holder).isprintable()
