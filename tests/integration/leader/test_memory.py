"""What a leader keeps in memory, and what the next one needs to go on."""

from __future__ import annotations

from collections import Counter

import asyncpg

from ledger.contracts.events import MigrationOrdered, MigrationRegressed
from ledger.contracts.reports import DatabaseInspected
from ledger.service.request_context import RequestContext
from tests.support.house import House, found, seen
from tests.support.patience import PATIENCE_S


async def test_a_new_leader_orders_before_what_the_one_before_left_was_projected(
    house: House,
) -> None:
    rollout = await house.start(in_flight=1)
    async with house.leading(), house.actor() as actor:
        first = (await actor.commands(1))[0]
    holding = await asyncpg.connect(house.url)
    try:
        async with holding.transaction():
            # Whoever wants to project waits for this.
            await holding.execute("SELECT FROM ledger.read_model_position FOR UPDATE")
            async with house.leading(), house.actor() as actor:
                await actor.applies(await actor.ordered(first.database))
                await house.at_least(2, MigrationOrdered)
    finally:
        await holding.close()
    async with house.leading(), house.actor() as actor:
        for database in sorted({"acme", "bolt", "crane"} - {first.database}):
            await actor.applies(await actor.ordered(database))
        await house.becomes(rollout, "completed")


async def test_a_leader_keeps_nothing_of_what_is_over(house: House) -> None:
    rollout = await house.start()
    async with house.leading() as leading, house.actor() as actor:
        for database in ("acme", "bolt", "crane"):
            await actor.applies(await actor.ordered(database))
        await house.becomes(rollout, "completed")
        check = await house.ledger.fleet.check("", RequestContext("because"))
        for database in ("acme", "bolt", "crane"):
            look = await actor.looked_at(database)
            await actor.say(look.stream, seen(look))
        leader = leading.leader

        async def nothing() -> bool | None:
            kept = (
                leader._conductor._rollouts, leader._conductor._origins,
                leader._inspector._desk.checks, leader._inspector._requests,
                leader._orders._asked, leader._relay._unanswered, leader._relay._latest,
            )  # fmt: skip
            return not any(kept) or None

        await found(nothing, "the leader keeps nothing")
        result = await house.ledger.checks.answers(check)
        assert [row.answer is not None for row in result.rows] == [True] * 3


async def test_a_check_is_gone_on_with_from_rows_and_only_open_questions_are_asked_again(
    house: House,
) -> None:
    async with house.leading() as leading, house.actor() as actor:
        check = await house.ledger.fleet.check("", RequestContext("because"))
        first = await actor.looked_at("acme")
        await actor.looked_at("crane")
        await actor.say(first.stream, seen(first))
        await house.at_least(1, DatabaseInspected)
        await leading.leader.drain()
    await house.stores.reads.caught_up()
    async with house.leading() as leading, house.actor() as actor:

        async def sent_again() -> Counter[str] | None:
            await actor.hear()
            times = Counter(one.database for one in actor.heard)
            return times if times["bolt"] == times["crane"] == 2 else None

        # What the leader before had sent is heard first: the bus was not begun anew.
        times = await found(sent_again, "the open questions are sent again")
        assert times["acme"] == 1
        bolt, crane = await actor.looked_at("bolt"), await actor.looked_at("crane")
        for look in (bolt, crane):
            await actor.say(look.stream, seen(look))
        await house.at_least(3, DatabaseInspected)
        result = await house.ledger.checks.answers(check, PATIENCE_S)
        assert result.finished
        assert not await house.events(MigrationRegressed)
