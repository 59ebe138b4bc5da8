"""Reports that nobody asked for: believed by nobody, counted, and stopping nothing else.

What somebody may still say who can read the orders, in the words of an agent that was asked, is the
matter of signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from ledger.bus import local
from ledger.contracts.commands import ApplyCommand
from ledger.contracts.envelope import Metadata, encode, report_id
from ledger.contracts.events import (
    EVENT_TYPES,
    InspectionOrdered,
    MessageParked,
    Purpose,
    ReportContradicted,
    RolloutHalted,
)
from ledger.contracts.reports import (
    AttemptFinished,
    AttemptStarted,
    DatabaseIdentified,
    DatabaseInspected,
    HistoryAdopted,
    JournalEntry,
    MigrationApplied,
    MigrationFailed,
    MigrationRolledBack,
    MigrationSkipped,
    Report,
)
from ledger.contracts.streams import Author
from ledger.leader import intake, parking, report_queue
from ledger.service.request_context import RequestContext
from migrations.model.attempt import AdoptedMigration, Failure, FailureClass, Mode, Verdict
from tests.integration.leader.conftest import house, house_template
from tests.support.house import Actor, House, answers, finished, found, identity_of, seen, started
from tests.support.orders import changed

__all__ = ["house", "house_template"]

NEVER = UUID(int=7)
"""A command that nobody gave."""
BELIEVED = frozenset(name for name, one in EVENT_TYPES.items() if one.author is Author.AGENT)
NO = Failure(FailureClass.SQL, "no")

Forged = Callable[[ApplyCommand], Report]


def about(command: ApplyCommand, kind: type[Report], /, **said: object) -> Report:
    """A report on this command that says something more or something else."""
    told = {"database": command.database, "command": command.command, **said}
    return kind.model_validate(told)


def applied(command: ApplyCommand, /, **said: object) -> Report:
    """A migration that was ordered, applied; but for what is `said`."""
    told = {"version": "1", "checksum": "c", "duration_ms": 1, "statements": 1, **said}
    return about(command, MigrationApplied, **told)


def ended(command: ApplyCommand, /, **said: object) -> Report:
    """The last word; but for what is `said`."""
    return finished(command, Verdict.DONE, changed=2).model_copy(update=said)


FORGERIES: dict[str, Forged] = {
    "of a command that was never given": lambda c: applied(c, command=NEVER),
    "the last word on a command that was never given": lambda c: ended(c, command=NEVER),
    "of a database that is not the command's": lambda c: applied(c, database="bolt"),
    "of a database that does not exist": lambda c: applied(c, database="nosuchdb"),
    "of a version that was not ordered": lambda c: applied(c, version="20770101000000"),
    "a failure of a version that was not ordered": lambda c: about(
        c, MigrationFailed, version="3", direction="up", checksum="c", failure=NO
    ),
    "in the other direction": lambda c: about(
        c, MigrationRolledBack, version="1", checksum="c", duration_ms=1, statements=1
    ),
    "skipped in the other direction": lambda c: about(
        c, MigrationSkipped, version="1", direction="down", checksum="c"
    ),
    "in no direction": lambda c: about(
        c, MigrationSkipped, version="1", direction="\x1b[2J", checksum="c"
    ),
    "as another attempt": lambda c: ended(c, attempt=2),
    "begun as another attempt": lambda c: started(c).model_copy(update={"attempt": 9}),
    "in another mode": lambda c: ended(c, mode=Mode.ROLLBACK),
    "of more than was ordered": lambda c: ended(c, changed=3),
    "of a history that nobody was to adopt": lambda c: about(
        c,
        HistoryAdopted,
        source="goose",
        table="t",
        rows=1,
        taken=(AdoptedMigration(version="9", checksum=""),),
    ),
    "what a look would say": lambda c: about(
        c, DatabaseInspected, reachable=True, identity=identity_of("elsewhere")
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
async def test_a_report_that_answers_no_order_is_believed_by_nobody_and_stops_nothing(
    house: House, forgery: Forged
) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading(keeps_positions=True) as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        before = await house.position()
        await actor.say(command.stream, forgery(command))
        await leading.leader.drain()
        (parked,) = (await house.events())[before:]
        assert isinstance(parked.event, MessageParked)
        await actor.applies(command)
        await house.becomes(rollout, "completed")
        said = [one for one in await house.events() if type(one.event).__name__ in BELIEVED]
        assert [one.event for one in said] == answers(command)
        assert not (await house.ledger.audit.replay()).differences


async def test_reports_of_another_rollout_are_not_taken_for_this_one(house: House) -> None:
    first = await house.start(select="id=acme")
    second = await house.start(select="id=bolt")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.ordered("bolt")
        await actor.say(f"rollout-{second}", *answers(command))
        await leading.leader.drain()
        assert len(await house.events(MessageParked)) == len(answers(command))
        assert not await house.events(AttemptStarted, AttemptFinished, MigrationApplied)
        await actor.applies(command)
        await house.becomes(first, "completed")


async def test_a_report_under_an_id_of_its_own_choice_is_not_believed(house: House) -> None:
    await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        chosen = [encode(started(command), uuid4(), Metadata()) for _ in range(3)]
        await actor.send(*[actor.message(command.stream, one) for one in chosen])
        await leading.leader.drain()
        assert not await house.events(AttemptStarted)
        assert len(await house.events(MessageParked)) == 3


async def second_order(actor: Actor, first: ApplyCommand) -> ApplyCommand:
    """The command that another rollout gives for the same database."""

    async def look() -> ApplyCommand | None:
        await actor.hear()
        heard = [one for one in actor.heard if isinstance(one, ApplyCommand)]
        return next((one for one in heard if one.stream != first.stream), None)

    return await found(look, "another rollout ordered")


async def test_a_known_database_is_not_given_another_identity(house: House) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        first = await actor.ordered("acme")
        await actor.applies(first)
        await house.becomes(rollout, "completed")
        house.migration("3")
        await house.start(select="id=acme")
        command = await second_order(actor, first)
        assert command.order.expected.identity is not None
        other = about(
            command,
            DatabaseIdentified,
            identity=identity_of("elsewhere"),
            server_version=180000,
            first_contact=True,
        )
        await actor.say(command.stream, other)
        await leading.leader.drain()
        assert len(await house.events(MessageParked)) == 1


async def test_late_answers_and_those_of_an_earlier_leader_are_facts(house: House) -> None:
    rollout = await house.start(select="id=acme", deadline_s=1.0, expiry_s=0.5)
    async with house.actor() as actor:
        async with house.leading():
            late = await actor.ordered("acme")
            look = await actor.looked_at("acme")
        async with house.leading() as leading:
            await actor.say(late.stream, *answers(late))
            await actor.say(look.stream, seen(look))
            await leading.leader.drain()
            await house.becomes(rollout, "completed")
    assert len(await house.events(AttemptFinished)) == 1
    assert not await house.events(MessageParked)


async def test_strangers_messages_are_counted_and_the_log_stays_small(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A broker keeps what a group has not committed; the one in this process only so much.
    monkeypatch.setattr(local, "TAKEN_BYTES", local.RETAINED_BYTES)
    rollout = await house.start(select="id=acme")
    number = 2_000
    async with house.actor() as actor:
        async with house.leading(keeps_positions=True) as leading:
            command = await actor.ordered("acme")
            before = await house.position()
            strange = started(command)
            await actor.send(
                *[
                    actor.message(command.stream, encode(one, report_id(one), Metadata()))
                    for one in (
                        strange.model_copy(update={"command": uuid4()}) for _ in range(number)
                    )
                ]
            )
            await leading.leader.drain()
            assert await house.position() - before <= parking.EACH
            # Nothing was lost that is only counted: whoever leads next would count it again.
            assert sum((await house.stores.log.positions("intake/")).values()) < number
        monkeypatch.setattr(parking, "SUMMARY_EVERY_S", 0.0)
        async with house.leading(keeps_positions=True) as leading:
            await actor.applies(command)
            await leading.leader.drain()
            await house.becomes(rollout, "completed")
            await leading.leader.drain()
    parked = [one.event for one in await house.events(MessageParked)]
    counts = [one.count for one in parked if isinstance(one, MessageParked)]
    assert sum(counts) == number
    assert len(counts) <= parking.EACH + number // report_queue.BATCH + 1
    positions = await house.stores.log.positions("intake/")
    assert sum(positions.values()) == number + len(answers(command))
    assert not (await house.ledger.audit.replay()).differences


@dataclass(frozen=True)
class Lie:
    """What is said first, and what is said under the same ids after that."""

    first: Callable[[ApplyCommand], Sequence[Report]]
    then: Callable[[ApplyCommand], Report]


LIES = {
    "done, and failed": Lie(answers, lambda c: finished(c, Verdict.FAILED, failure=NO)),
    "two done, and one": Lie(answers, lambda c: finished(c, Verdict.DONE, changed=1)),
    "another head": Lie(answers, lambda c: ended(c, journal_head="elsewhere")),
    "another text": Lie(answers, lambda c: applied(c, checksum="d")),
    "another database": Lie(
        answers,
        lambda c: about(
            c,
            DatabaseIdentified,
            identity=identity_of("elsewhere"),
            server_version=180000,
            first_contact=True,
        ),
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_report_that_claims_another_effect_halts_the_rollout_and_asks_the_journal(
    house: House, lie: Lie
) -> None:
    rollout = await house.start()
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.say(command.stream, *lie.first(command))
        await leading.leader.drain()
        await actor.say(command.stream, lie.then(command))
        await house.becomes(rollout, "halted")
        (halted,) = await house.events(RolloutHalted)
        (contradicted,) = await house.events(ReportContradicted)
        assert isinstance(halted.event, RolloutHalted)
        assert halted.event.evidence == (contradicted.position,)
        assert "acme" in halted.event.why
        look = await actor.looked_at("acme")
        (asked,) = await house.events(InspectionOrdered)
        assert isinstance(asked.event, InspectionOrdered)
        assert asked.event.purpose is Purpose.OUTCOME
        # What the journal says holds: what was ordered is not there, so it is ordered again.
        await actor.say(look.stream, seen(look))
        await leading.leader.drain()
        await house.ledger.rollouts.resume(rollout, RequestContext("looked"))
        again = await actor.ordered("acme", attempt=2)
        assert again.order.expected.journal_head is None
        assert not (await house.ledger.audit.replay()).differences


async def test_a_lie_about_a_finished_rollout_makes_its_journal_be_asked(house: House) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading(), house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.applies(command)
        await house.becomes(rollout, "completed")
        await actor.say(command.stream, finished(command, Verdict.FAILED, failure=NO))
        look = await actor.looked_at("acme")
        entries = [
            JournalEntry(
                version=step.version,
                state="applied",
                direction="up",
                rollout=rollout,
                command=command.command,
                checksum=step.checksum,
                finished_at=None,
            )
            for step in command.order.steps
        ]
        await actor.say(look.stream, seen(look, entries))
        await house.at_least(1, DatabaseInspected)
        assert (await house.ledger.rollouts.status(rollout)).status == "completed"
        assert not (await house.ledger.audit.replay()).differences


async def test_other_words_for_the_same_effect_halt_nothing(house: House) -> None:
    rollout = await house.start(select="id=acme")
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.say(command.stream, *answers(command)[:-1])
        await actor.say(command.stream, started(command), applied_slower(command))
        await leading.leader.drain()
        (contradicted,) = await house.events(ReportContradicted)
        assert isinstance(contradicted.event, ReportContradicted)
        assert not contradicted.event.effect
        await actor.applies(command)
        await house.becomes(rollout, "completed")
        unread = finished(command, Verdict.EXPIRED, failure=NO)
        await actor.say(command.stream, unread.model_copy(update={"journal_head": None}))
        await leading.leader.drain()
        # It claims nothing, so it contradicts nobody.
        assert len(await house.events(ReportContradicted)) == 1
        assert not await house.events(RolloutHalted, InspectionOrdered)


def applied_slower(command: ApplyCommand) -> MigrationApplied:
    """The same migration, applied in another time."""
    said = next(one for one in answers(command) if isinstance(one, MigrationApplied))
    return said.model_copy(update={"duration_ms": 77})


async def test_contradictions_are_limited_in_number(house: House) -> None:
    await house.start()
    async with house.leading() as leading, house.actor() as actor:
        command = await actor.ordered("acme")
        await actor.applies(command)
        await leading.leader.drain()
        lies = [finished(command, Verdict.DONE, changed=1, failure=NO) for _ in range(30)]
        for number, one in enumerate(lies):
            await actor.say(
                command.stream, one.model_copy(update={"journal_head": f"head {number}"})
            )
        await leading.leader.drain()
        assert len(await house.events(ReportContradicted)) == intake.CONTRADICTIONS
        assert len(await house.events(MessageParked)) <= parking.EACH


async def test_what_answers_a_look_must_come_from_that_look(house: House) -> None:
    async with house.leading() as leading, house.actor() as actor:
        await house.ledger.fleet.check("id=acme", RequestContext())
        look = await actor.looked_at("acme")
        for forged in (
            seen(changed(look, command=uuid4())),
            seen(changed(look, database="bolt")),
            AttemptFinished(
                database="acme",
                command=look.command,
                attempt=1,
                mode=Mode.UP,
                verdict=Verdict.DONE,
                changed=0,
                journal_head="h",
            ),
        ):
            await actor.say(look.stream, forged)
        await leading.leader.drain()
        assert not await house.events(DatabaseInspected, AttemptFinished)
        await actor.say(look.stream, seen(look))
        await house.at_least(1, DatabaseInspected)
