"""What becomes of the messages on the reports topic."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from uuid import uuid4

import pytest

from ledger.bus.port import Message
from ledger.contracts.envelope import Metadata, encode, report_id
from ledger.contracts.events import MessageParked, ReportContradicted, RolloutCompleted
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    CommandRefused,
    MigrationApplied,
)
from ledger.contracts.topics import REPORTS
from migrations.model.attempt import Failure, FailureClass, Verdict
from tests.support.house import Actor, House, answers, failures, finished, started


async def test_reports_that_come_again_are_dropped_by_their_id(house: House) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.applies(command)
        await house.becomes(rollout, "completed")
        before = await house.position()
        await actor.applies(command)
        await actor.applies(command)
        await leading.leader.drain()
        assert await house.position() == before


async def test_the_same_report_twice_in_one_batch_is_one_event(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.say(command.stream, started(command), started(command))
        await leading.leader.drain()
        assert len(await house.events(AttemptStarted)) == 1


@pytest.mark.parametrize(
    ("verdict", "head", "claims"),
    [
        (Verdict.REFUSED, None, False),
        (Verdict.EXPIRED, None, False),
        (Verdict.CANCELLED, None, False),
        (Verdict.EXPIRED, "another", True),
        (Verdict.FAILED, None, True),
        (Verdict.DONE, None, True),
    ],
)
async def test_what_an_answered_command_is_told_when_it_comes_again_and_nobody_works_is_no_lie(
    house: House, verdict: Verdict, head: str | None, claims: bool
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.applies(command)
        await house.becomes(rollout, "completed")
        late = finished(command, verdict).model_copy(update={"journal_head": head})
        for agent in ("two", "three"):
            refused = Failure(FailureClass.CLOCK, f"the clock of agent {agent} is 2 h behind")
            said = CommandRefused(database="acme", command=command.command, failure=refused)
            await actor.say(command.stream, said)
        await actor.say(command.stream, late)
        await leading.leader.drain()
        assert bool(await house.events(ReportContradicted)) is claims
        (first,) = await house.events(AttemptFinished)
        assert isinstance(first.event, AttemptFinished)
        assert first.event.verdict is Verdict.DONE


@pytest.mark.parametrize("together", [True, False])
async def test_a_known_id_with_another_body_is_kept_as_a_contradiction(
    house: House, together: bool
) -> None:
    rollout = await house.start()
    async with house.leading(keeps_positions=True) as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        other = finished(command, Verdict.FAILED)
        if together:
            await actor.say(command.stream, *answers(command), other)
        else:
            await actor.applies(command)
            await leading.leader.drain()
            await actor.say(command.stream, other)
        await leading.leader.drain()
        (contradicted,) = await house.events(ReportContradicted)
        assert isinstance(contradicted.event, ReportContradicted)
        assert contradicted.event.report_id == report_id(other)
        assert AttemptFinished.model_validate_json(contradicted.event.body) == other
        (first,) = await house.events(AttemptFinished)
        assert isinstance(first.event, AttemptFinished)
        assert first.event.verdict is Verdict.DONE
        await house.becomes(rollout, "halted")
        positions = await house.stores.log.positions("intake/")
        assert sum(positions.values()) == len(answers(command)) + 1
        await actor.say(command.stream, other)
        await leading.leader.drain()
        assert len(await house.events(ReportContradicted)) == 1


def garbage(actor: Actor, stream: str) -> dict[str, Message]:
    """Messages that are no reports, each with what is wrong about it."""
    report = AttemptStarted(database="acme", command=uuid4(), attempt=1, mode="up")  # type: ignore[arg-type]
    good = actor.message(stream, encode(report, report_id(report), Metadata()))
    ended = RolloutCompleted(rollout=stream, applied=1, skipped=0, failed=0)
    applied = MigrationApplied(
        database="a\0cme", command=uuid4(), version="1", checksum="c", duration_ms=1, statements=1
    )
    large = applied.model_copy(update={"database": "acme", "duration_ms": 2**40})
    return {
        "no headers": Message(REPORTS, "k", b"{}", ()),
        "no JSON": replace(good, value=b"\xff\x00{"),
        "another form": replace(good, value=b'{"database": 7}'),
        "a decision": actor.message(stream, encode(ended, uuid4(), Metadata())),
        "a NUL": actor.message(stream, encode(applied, uuid4(), Metadata())),
        "a number that fits nowhere": actor.message(stream, encode(large, uuid4(), Metadata())),
        "a stream that is not here": actor.message(
            "rollout-elsewhere", encode(report, uuid4(), Metadata())
        ),
        "a check that is not here": actor.message(
            "check-elsewhere", encode(report, uuid4(), Metadata())
        ),
        "reports of a check, which nobody attempts": actor.message(
            "check-elsewhere/reports", encode(report, report_id(report), Metadata())
        ),
        "a stream and a line break": actor.message(
            f"{stream}\n", encode(report, report_id(report), Metadata())
        ),
    }


async def test_what_is_no_report_of_ours_is_parked_with_its_place_and_hash(house: House) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading(keeps_positions=True) as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        messages = garbage(actor, command.stream)
        addressed = [m for m in messages.values() if m.headers]
        # Without an address nobody can tell that it is for another ledger: it is parked as well.
        await actor.send(*messages.values())
        await actor.applies(command)
        await leading.leader.drain()
        await house.becomes(rollout, "completed")

        parked = [one.event for one in await house.events(MessageParked)]
        assert len(parked) == len(messages) == len(addressed) + 1
        hashes = {one.sha256 for one in parked if isinstance(one, MessageParked)}
        assert hashes == {hashlib.sha256(m.value).hexdigest() for m in messages.values()}
        assert {one.stream for one in await house.events(MessageParked)} == {"ledger"}
        places = {(one.partition, one.offset) for one in parked if isinstance(one, MessageParked)}
        assert len(places) == len(parked)
        assert not [one for one in await house.events() if "elsewhere" in one.stream]
        positions = await house.stores.log.positions("intake/")
        assert sum(positions.values()) == len(messages) + len(answers(command))
        assert not (await house.ledger.audit.replay()).differences


async def test_what_agents_report_to_another_ledger_is_passed_over(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading(keeps_positions=True) as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        before = await house.position()
        foreign = [encode(one, report_id(one), Metadata()) for one in failures(command)]
        await actor.send(*[actor.message(command.stream, one, uuid4()) for one in foreign])
        await leading.leader.drain()
        assert await house.position() == before
        positions = await house.stores.log.positions("intake/")
        assert sum(positions.values()) == len(foreign)


async def test_the_next_leader_reads_on_where_the_last_one_stopped(house: House) -> None:
    await house.start(select="id=acme")
    async with house.actor() as actor:
        async with house.leading(keeps_positions=True) as leading:
            command = await actor.ordered("acme")
            await actor.say(command.stream, started(command))
            await leading.leader.drain()
        await actor.say(command.stream, *answers(command)[1:])
        async with house.leading(keeps_positions=True) as leading:
            await leading.leader.drain()
            assert len(await house.events(AttemptStarted)) == 1
            assert len(await house.events(AttemptFinished)) == 1
