"""What a shell offers: words of the ledger and of the folder, and nothing where it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger.cli.app.completion import ENDING_S, PATIENCE_S
from tests.integration.cli.conftest import Fleet
from tests.support import warm
from tests.support.program import LedgerProgram

Complete = Callable[..., Awaitable[list[str]]]
CUTS = ("=", ":")


def cut(word: str) -> list[str]:
    """A word as bash hands it on: in pieces, unless it is in quotes."""
    if word.startswith("'"):
        return [word]
    for one in CUTS:
        word = word.replace(one, f"\n{one}\n")
    return [piece for piece in word.split("\n") if piece]


@pytest.fixture
def complete(environment: dict[str, str], tmp_path: Path) -> Complete:
    """What bash is offered for the last of these words; nothing else is said."""

    async def run(*words: str, program: str = "ledger that waits", **more: str) -> list[str]:
        pieces = ["ledger", *(piece for word in words for piece in (cut(word) or [""]))]
        asked = {
            "_LEDGER_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(pieces),
            "COMP_CWORD": str(len(pieces) - 1),
        }
        # How long a person at a prompt waits is no time for a busy machine.
        process = await warm.start((), tmp_path, environment | asked | more, program)
        out, err = await process.communicate()
        assert err == b""
        return [line for line in out.decode().splitlines() if line]

    return run


async def test_ids_labels_and_values_of_the_fleet_are_offered(
    complete: Complete, fleet: Fleet, ledger: LedgerProgram
) -> None:
    assert await complete("fleet", "show", "") == ["t0", "t1", "t2", "t3"]
    assert await complete("fleet", "show", "t1") == ["t1"]
    assert await complete("fleet", "show", "x") == []
    assert await complete("status", "-s", "") == ["id=", "pool=", "status=", "half="]
    assert await complete("status", "-s", "half=") == ["h0", "h1"]
    assert await complete("status", "-s", "h") == ["half=h0", "half=h1"]
    assert await complete("up", "--select", "half=h0,id!=t") == ["t0", "t1", "t2", "t3"]
    assert await complete("up", "--select", "half=h0,id=t3") == ["t3"]
    assert await complete("up", "--select", "'half in (h0,") == ["half in (h0,h0", "half in (h0,h1"]
    assert await complete("up", "--select", "'half=h") == ["half=h0", "half=h1"]
    assert await complete("status", "-s", "status=su") == ["suspended"]
    assert await complete("fleet", "label", "") == ["t0", "t1", "t2", "t3"]
    assert await complete("fleet", "label", "t0", "ha") == ["half=", "half-"]
    assert await complete("fleet", "label", "-s", "half", "half=") == ["h0", "h1"]
    assert await complete("drift", "") == ["accept"]
    assert await complete("drift", "accept", "t") == ["t0", "t1", "t2", "t3"]
    assert await complete("history", "t") == ["t0", "t1", "t2", "t3"]


async def test_rollouts_bundles_and_versions_are_offered(
    complete: Complete, fleet: Fleet, migrations: Path, ledger: LedgerProgram
) -> None:
    done = await ledger("up", "--yes", "--select", "id=t0", "-o", "json")
    rollout = done.json["rollout"]
    assert await complete("rollout", "status", "") == [rollout]
    assert await complete("rollout", "status", rollout[:2]) == [rollout]
    assert await complete("history", "--rollout", rollout[:2]) == [rollout]
    assert await complete("resolve", "t0", "1", "--rollout", rollout[:2]) == [rollout]
    assert await complete("rollout", "retry", rollout, "t") == ["t0", "t1", "t2", "t3"]
    for words in (("bundle", "show", "--sql"), ("resolve", "t0"), ("history", "--migration")):
        assert await complete(*words, "") == ["1", "2"]
    assert await complete("up", "--to", "") == ["1", "2"]
    (bundle,) = await complete("bundle", "show", "")
    assert len(bundle) == 12
    # Where no folder is, the ledger knows.
    assert await complete("up", "--folder", "elsewhere", "--to", "") == ["1", "2"]


@pytest.mark.parametrize(
    ("words", "one"),
    [
        (("create", "x", "--recipe", ""), "rename-column"),
        (("up", "--format", "go"), "goose"),
        (("adopt", "--from", "fly"), "flyway"),
        (("events", "--type", "RolloutPl"), "RolloutPlanned"),
        (("status", "--output", "js"), "json"),
    ],
)
async def test_what_the_program_knows_is_offered_without_a_ledger(
    complete: Complete, words: tuple[str, ...], one: str
) -> None:
    assert one in await complete(*words, LEDGER_DATABASE_URL="postgresql://nobody@127.0.0.1:1/x")


async def test_a_ledger_that_never_answers_is_waited_for_a_second_and_in_silence(
    complete: Complete,
) -> None:
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://nobody@127.0.0.1:{port}/ledger?sslmode=disable"
        asked = complete("fleet", "show", "", program="ledger", LEDGER_DATABASE_URL=url)
        assert await asked == []
    assert connected.is_set()
    assert PATIENCE_S + ENDING_S <= 1.0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@127.0.0.1:1/ledger",
        "postgresql://nobody@nowhere.invalid/ledger",
        "this is no address",
        "",
    ],
)
async def test_a_ledger_that_is_away_offers_nothing_and_says_nothing(
    complete: Complete, url: str
) -> None:
    for words in (("fleet", "show", ""), ("rollout", "status", ""), ("status", "-s", "id=")):
        assert await complete(*words, LEDGER_DATABASE_URL=url) == []
