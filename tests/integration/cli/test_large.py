"""Sixty databases: what a person sees first is what is wrong, and the rest is counted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.contracts.commands import ApplyCommand
from ledger.contracts.reports import MigrationFailed, Report
from migrations.model.attempt import Failure, FailureClass, Verdict
from tests.support.house import Actor, House, answers, finished, house_at, started
from tests.support.program import Answer, LedgerProgram

SEEN = Path(__file__).parents[2] / "golden" / "sixty-databases.txt"
FLEET = [f"t{number:03}" for number in range(60)]
DUPLICATE = Failure(
    kind=FailureClass.SQL,
    message='could not create unique index "one_name"',
    sqlstate="23505",
    file="3_change.sql",
    line=2,
)
LATE = Failure(
    kind=FailureClass.SQL, message="canceling statement due to statement timeout",
    sqlstate="57014", file="3_change.sql", line=2,
)  # fmt: skip
BROKEN = {"t012": DUPLICATE, "t017": DUPLICATE, "t044": LATE}


@pytest.fixture
async def house(installed: str, tmp_path: Path) -> AsyncIterator[House]:
    """Return a ledger with sixty databases, which exist as names only."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    async with house_at(installed, folder) as opened:
        await opened.register(*FLEET)
        yield opened


def said(command: ApplyCommand) -> list[Report]:
    """What an agent answers: well, or that the migration failed there."""
    failure = BROKEN.get(command.database)
    if failure is None:
        return answers(command)
    step = command.order.steps[0]
    failed = MigrationFailed(
        database=command.database, command=command.command, version=step.version, direction="up",
        checksum=step.checksum, failure=failure,
    )  # fmt: skip
    return [started(command), failed, finished(command, Verdict.FAILED, failure=failure)]


async def answer(house: House, actor: Actor, rollout: str, status: str) -> None:
    """Answer every order until the rollout has this status."""
    answered: set[object] = set()
    while (await house.ledger.rollouts.status(rollout, 0)).status != status:
        await actor.hear()
        for one in actor.heard:
            if isinstance(one, ApplyCommand) and one.command not in answered:
                answered.add(one.command)
                await actor.say(one.stream, *said(one))


async def halted(house: House) -> str:
    """A rollout that went to fifty databases, of which three failed."""
    async with house.leading(), house.actor() as actor:
        first = await house.start(waves="50,rest", budget="1", in_flight=60)
        await answer(house, actor, first, "halted")
    return first


def shown(words: list[str], told: Answer) -> str:
    """What a terminal shows of a command and how it ended."""
    return f"$ ledger {' '.join(words)}   # ends with {told.code}\n{told.out}{told.err}"


def steady(text: str, rollout: str) -> str:
    """Without what differs from run to run, how wide the columns of times are included."""
    text = text.replace(rollout, "ROLLOUT")
    text = re.sub(r"\bpostgres\b", "LOGIN", re.sub(r"plan [0-9a-f]{12}", "plan DIGEST", text))
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(Z \([^)]*\))?", "MOMENT", text)
    text = re.sub(r"(?<=\S) {2,}", "  ", text)
    return re.sub(r"took .*|UTC, .* ago", "UTC, a while ago", text)


async def test_what_a_person_sees(house: House, ledger: LedgerProgram) -> None:
    house.migration("3")
    out = [shown(["plan"], await ledger("plan"))]
    rollout = await halted(house)
    commands = [
        ["rollout", "status"],
        ["rollout", "status", "--failed"],
        ["rollout", "status", "--all", "--limit", "8"],
        ["rollout", "list"],
        ["rollout", "retry", rollout, "t017"],
        ["rollout", "resume"],
        ["rollout", "abort"],
        ["rollout", "rollback"],
        ["status"],
        ["status", "--behind", "--limit", "4"],
        ["fleet", "list"],
    ]
    # None of them changes anything, so several run at once.
    for some in (commands[:4], commands[4:8], commands[8:]):
        told = await asyncio.gather(*(ledger(*words) for words in some))
        out += map(shown, some, told)
    seen = steady("\n".join(out), rollout)
    (house.folder / "seen.txt").write_text(seen)
    assert seen == SEEN.read_text(), f"compare {house.folder / 'seen.txt'} with {SEEN}"


async def test_a_plan_of_very_many_waves_shows_its_ends_and_counts_the_others(
    house: House, ledger: LedgerProgram
) -> None:
    house.migration("3")
    waves = ",".join(["1"] * 58 + ["rest"])
    cut, whole, data = await asyncio.gather(
        ledger("plan", "--waves", waves),
        ledger("plan", "--waves", waves, "--all"),
        ledger("plan", "--waves", waves, "-o", "json"),
    )
    rows = re.findall(r"^(\d+) +\d+ +t0", cut.out, flags=re.M)
    assert rows == [*map(str, range(1, 12)), "59"]
    assert cut.out.endswith("47 waves more between them, of 47 databases; --all shows each\n")
    assert len(re.findall(r"^\d+ +\d+ +t0", whole.out, flags=re.M)) == 59
    assert "more between them" not in whole.out
    assert len(data.json["items"]) == 59
