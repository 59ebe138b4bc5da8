"""Who leads, how far everybody has read, and what agents say of themselves."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import asyncpg
import pytest

from ledger.errors import AnotherLeader, ContentNotFound, StaleTerm
from ledger.store.connections import Pool
from ledger.store.content import ContentStore
from ledger.store.heartbeats import SignTable
from ledger.store.leadership import current_leader, take
from ledger.store.log.log import EventLog
from ledger.store.port import Beat, ConsumerPosition
from tests.support.log_events import some_events
from tests.support.patience import PATIENCE_S

END_LEADER = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'migration-ledger leader' AND datname = current_database()
"""


async def test_a_second_leader_is_refused_with_the_firsts_name(ledger_url: str) -> None:
    leadership = await take(ledger_url, "first", "host-a")
    with pytest.raises(AnotherLeader, match="first on host-a leads since 20") as taken:
        await take(ledger_url, "second", "host-b")
    assert (taken.value.leader, taken.value.host) == ("first", "host-a")
    await leadership.release()


async def test_each_leader_has_a_higher_term(ledger_url: str, log: EventLog) -> None:
    for term in (1, 2, 3):
        leadership = await take(ledger_url, f"leader {term}", "here")
        assert leadership.term == term
        head = await log.head()
        assert (head.term, head.leader, head.leader_host) == (term, f"leader {term}", "here")
        await leadership.release()


async def test_who_leads_is_known_while_it_leads(ledger_url: str, pool: Pool) -> None:
    assert await current_leader(pool) is None
    leadership = await take(ledger_url, "first", "here")
    leader = await current_leader(pool)
    assert leader is not None
    assert (leader.name, leader.host) == ("first", "here")
    await leadership.release()
    assert await current_leader(pool) is None


async def test_of_many_who_ask_at_once_one_leads(ledger_url: str) -> None:
    asked = [take(ledger_url, f"leader {number}", "here") for number in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    leading = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert [leadership.term for leadership in leading] == [1]
    assert sum(isinstance(answer, AnotherLeader) for answer in answers) == 7
    await leading[0].release()


async def test_a_leader_hears_of_a_request_that_another_process_announces(
    ledger_url: str, log: EventLog
) -> None:
    leadership = await take(ledger_url, "first", "here")
    heard = asyncio.Event()
    await leadership.listen(heard.set)
    await log.announce()
    async with asyncio.timeout(PATIENCE_S):
        await heard.wait()
    await leadership.release()


async def test_a_leader_learns_that_its_connection_is_gone(
    ledger_url: str, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    leadership = await take(ledger_url, "first", "here")
    watching = asyncio.create_task(leadership.wait_lost())
    await asyncio.sleep(0)
    assert not watching.done()
    await owner.execute(END_LEADER)
    async with asyncio.timeout(PATIENCE_S):
        await watching
    await leadership.release()
    successor = await take(ledger_url, "second", "here")
    assert successor.term == 2
    await successor.release()


async def test_a_term_is_not_begun_without_the_lock(
    owner: asyncpg.Connection[asyncpg.Record], log: EventLog
) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await owner.execute("SELECT ledger.begin_term('me', 'here')")
    assert refused.value.sqlstate == "LG005"
    assert (await log.head()).term == 0


@pytest.mark.parametrize("count", [1, 2])
async def test_a_deposed_leader_records_nothing(
    ledger_url: str, pool: Pool, log: EventLog, count: int
) -> None:
    for name in ("first", "second"):
        await (await take(ledger_url, name, "here")).release()
    with pytest.raises(StaleTerm) as stale:
        await log.append("rollout-1/reports", some_events(count), term=1)
    assert (stale.value.term, stale.value.current) == (1, 2)
    with pytest.raises(StaleTerm):
        await log.append(
            "rollout-1/reports", some_events(count), consumer=ConsumerPosition("intake/0", 5, 1)
        )
    with pytest.raises(StaleTerm):
        await log.append("", [], consumer=ConsumerPosition("relay", 5, 1))
    assert (await log.head()).position == 1
    assert await log.positions() == {}
    await log.append("rollout-1/reports", some_events(count), term=2)


async def test_a_read_position_moves_with_the_append_or_not_at_all(
    ledger_url: str, pool: Pool, log: EventLog
) -> None:
    await (await take(ledger_url, "first", "here")).release()
    events = some_events(3)
    await log.append("rollout-1/reports", events, consumer=ConsumerPosition("intake/0", 7, 1))
    assert await log.positions("intake/") == {"intake/0": 7}
    await log.append(
        "rollout-1/reports", events, skip_known=True, consumer=ConsumerPosition("intake/0", 9, 1)
    )
    assert await log.positions("intake/") == {"intake/0": 9}
    with pytest.raises(Exception, match="version"):
        await log.append(
            "rollout-1/reports",
            some_events(1),
            expected_version=1,
            consumer=ConsumerPosition("intake/0", 11, 1),
        )
    assert await log.positions("intake/") == {"intake/0": 9}


async def test_a_read_position_moves_without_an_append_and_backwards(
    ledger_url: str, pool: Pool, log: EventLog
) -> None:
    await (await take(ledger_url, "first", "here")).release()
    await log.append("", [], consumer=ConsumerPosition("relay", 40, 1))
    await log.append("", [], consumer=ConsumerPosition("intake/0", 12, 1))
    await log.append("rollout-1/reports", [], consumer=ConsumerPosition("intake/0", 3, 1))
    assert await log.positions() == {"relay": 40, "intake/0": 3}


async def test_texts_are_kept_by_their_hash(pool: Pool) -> None:
    store = ContentStore(pool)
    texts = [b"CREATE TABLE a ();", b"", b"\x00\xff" * 100_000]
    await store.put_many(texts)
    await store.put_many([*texts, texts[0]])
    for text in texts:
        assert await store.get(sha256(text).hexdigest()) == text
    with pytest.raises(ContentNotFound, match="ledger bundle register"):
        await store.get("0" * 64)


async def test_a_text_under_a_wrong_hash_is_refused(
    owner: asyncpg.Connection[asyncpg.Record],
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="content_matches_its_hash"):
        await owner.execute("INSERT INTO ledger.content VALUES (sha256('a'), 'b')")


async def test_the_latest_heartbeat_of_each_agent_is_kept(pool: Pool) -> None:
    beats = [Beat("b", "p", '{"n": 1}'), Beat("a", "p", '{"n": 2}'), Beat("a", "q", '{"n": 3}')]
    await SignTable(pool).put(beats)
    await SignTable(pool).put([Beat("b", "p", '{"n": 4}')])
    recent = await SignTable(pool).recent(within_s=60)
    assert [(beat.agent, beat.pool, beat.body) for beat in recent] == [
        ("a", "q", '{"n": 3}'),
        ("b", "p", '{"n": 4}'),
    ]
    assert all(0.0 <= beat.age_s < 60.0 for beat in recent)
    assert await SignTable(pool).recent(within_s=0.0) == []
