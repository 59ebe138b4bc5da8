"""Sixty and five thousand databases in the middle of a bad night, read at terminals.

What is shown is kept as text in `tests/golden/screens` and was looked at. After a change that is
meant, `LEDGER_TEST_SCREENS=write pytest` writes them anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from ledger.store.install import install
from tests.fixtures.postgres import PostgresServer
from tests.support.crowd import LONG, Crowd
from tests.support.house import house_at
from tests.support.terminal import CONTROL, Screen, at_terminal
from tests.support.typist import LATER

pytestmark = pytest.mark.timeout(1800)
"""Five thousand databases roll out before the first test: on a busy machine that takes minutes."""
SCREENS = Path(__file__).parents[2] / "golden" / "screens"
SIZES = (60, 5_000)
IN_THE_MORNING = {LATER: str(2.5 * 3600 + 30)}
"""Two hours and a half after the last of it happened."""
SCREENFUL = 24
LINES_AT_MOST = 130
"""Of what is no list that somebody asked for, in 60 columns."""
Words = tuple[str, ...]
READ: tuple[Words, ...] = (
    ("rollout", "status"),
    ("rollout", "status", "--failed", "--limit", "4"),
    ("rollout", "status", "--all", "--limit", "3"),
    ("rollout", "status", "-s", f"id in (tenant-0001,{LONG})"),
    ("rollout", "list"),
    ("status",),
    ("status", "--problems", "--limit", "3"),
    ("status", "--behind", "--limit", "3"),
    ("fleet", "list"),
    ("fleet", "list", "-s", "status=suspended"),
    ("fleet", "show", LONG),
    ("history", "--limit", "4"),
    ("history", LONG),
    ("agents",),
    ("plan",),
)
NEWER: tuple[Words, ...] = (
    ("traces", "show"),
    ("traces", "show", LONG),
    ("report", "migrations"),
    ("report", "durations", "-s", "tier=gold"),
    ("audit", "verify"),
    ("audit", "unreadable"),
    ("replay",),
    ("events", "--limit", "5"),
    ("keys", "list"),
    ("notify", "list"),
    ("bundle", "list"),
    ("lint",),
    ("plan", "-o", "markdown"),
    ("rollout", "abort"),
)
"""What tells times, or nothing of the crowd: it is no snapshot, and bounded all the same."""
ASKED: tuple[Words, ...] = (
    ("rollout", "resume"),
    ("rollout", "retry"),
    ("rollout", "retry", "ROLLOUT", LONG),
    ("rollout", "rollback"),
)
"""What asks first; it is answered with no."""
LISTS = ("--all", "--failed", "--problems", "--behind", "-s", "--limit")
OWN_LINES = ("try: ", "whole: ")
"""What is copied as a whole is one line, however long."""
BARE = re.compile(r"(?<![\w.:-])\d{4,6} (?:of|more|databases?|done|to come)\b")
"""A number of databases without the comma that all others have."""
FORGED = re.compile(r"^ledger: all is well", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Room:
    """Where a person sits who reads about a crowd."""

    crowd: Crowd
    folder: Path
    environment: dict[str, str]

    async def reads(
        self, words: Words, columns: int, answer: bytes = b"", **variables: str
    ) -> Screen:
        """What a command shows there."""
        said = tuple(self.crowd.rollout if word == "ROLLOUT" else word for word in words)
        return await at_terminal(said, columns, self.folder, self.environment | variables, answer)


@pytest.fixture(scope="module", params=SIZES)
async def room(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Room]:
    """Return a ledger with so many databases, filled once and only read by the tests here."""
    name = await postgres_server.create()
    url = postgres_server.url(name)
    await install(url, uuid4())
    folder = tmp_path_factory.mktemp("crowd")
    (folder / "migrations").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGER_")}
    own = {"XDG_CONFIG_HOME": str(folder), "NO_COLOR": "1"}
    led = {"LEDGER_DATABASE_URL": url, "LEDGER_NAME": "shop"}
    async with house_at(url, folder / "migrations") as house:
        crowd = Crowd(house, request.param)
        await crowd.gathers()
        yield Room(crowd, folder, kept | own | led)
    await postgres_server.drop(name)


async def screens(
    room: Room, columns: int, commands: Sequence[Words], answer: bytes = b"", **variables: str
) -> dict[Words, Screen]:
    """What each of these commands shows."""
    found = [room.reads(words, columns, answer, **variables) for words in commands]
    return dict(zip(commands, await asyncio.gather(*found), strict=True))


def faults(screen: Screen, columns: int) -> list[str]:
    """What nobody should have to read: lines that are cut, ids in pieces, words of others."""
    text = "\n".join(screen.lines)
    found = [f"a control character: {screen.raw!r}"] if _controls(screen) else []
    found += ["a tenant speaks for the program"] if FORGED.search(text) else []
    found += [f"hard to read: {one}" for one in BARE.findall(text)]
    found += ["a traceback"] if "Traceback" in text else []
    found += [
        f"too long: {line}"
        for line in screen.lines
        if len(line) > columns
        and len(line.split()) > 2
        and not line.strip().startswith(OWN_LINES)
        and "`" not in line
    ]
    begun = len(re.findall(re.escape(LONG[:20]), text))
    found += ["an id in pieces"] if begun != text.count(LONG) else []
    return found


def _controls(screen: Screen) -> bool:
    return any(ord(letter) < 32 or ord(letter) == 127 for line in screen.lines for letter in line)


def steady(text: str, rollout: str) -> str:
    """Without what differs from run to run."""
    text = text.replace(rollout, "ROLLOUT_")
    text = re.sub(r"plan [0-9a-f]{12}", "plan DIGEST", text)
    text = re.sub(r"^[\d,]+ of [\d,]+ databases have answered\n", "", text, flags=re.M)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD HH:MM:SS", text)
    text = re.sub(r"2 h \d\d min", "2 h MM min", text)
    return re.sub(r"^\d+(?= {2,}\d*[A-Z])", lambda one: "#" * len(one[0]), text, flags=re.M)


def as_it_was(room: Room, name: str, seen: Mapping[Words, Screen]) -> None:
    """These screens are those that were looked at."""
    shown = "\n".join(
        f"$ ledger {' '.join(words)}   # ends with {one.code}\n" + "\n".join(one.lines) + "\n"
        for words, one in seen.items()
    )
    text = steady(shown, room.crowd.rollout)
    file = SCREENS / f"{name}.txt"
    if os.environ.get("LEDGER_TEST_SCREENS") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (room.folder / file.name).write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"compare {room.folder / file.name}"


@pytest.mark.parametrize("columns", [60, 80, 120])
async def test_what_is_shown_of_a_bad_night_fits_and_is_as_it_was_looked_at(
    room: Room, columns: int
) -> None:
    size = room.crowd.size
    seen = await screens(room, columns, READ, b"", **IN_THE_MORNING)
    seen |= await screens(room, columns, ASKED, b"n\n", **IN_THE_MORNING)
    as_it_was(room, f"{size}-databases-{columns}-columns", seen)
    wrong = {words: found for words, one in seen.items() if (found := faults(one, columns))}
    assert wrong == {}
    long = {words: len(one.lines) for words, one in seen.items() if not {*words} & {*LISTS}}
    assert max(long.values()) < LINES_AT_MOST, long


async def test_newer_commands_are_bounded_whole_lines_and_one_document_for_programs(
    room: Room,
) -> None:
    seen = await screens(room, 60, NEWER, b"n\n")
    # A page for GitHub has lines as they are, so that nothing in them becomes markup.
    wrong = {words: found for words, one in seen.items() if (found := faults(one, 60))}
    assert {words for words in wrong if "markdown" not in words} == set(), wrong
    assert max(len(one.lines) for one in seen.values()) < LINES_AT_MOST
    forms = tuple((*words, "-o", "json") for words in NEWER if words[0] not in ("plan", "rollout"))
    for words, one in (await screens(room, 200, forms)).items():
        (document,) = (line for line in one.lines if line.startswith("{"))
        assert json.loads(document)["version"] == 1, words


async def test_the_first_screenful_has_totals_and_the_first_problem(room: Room) -> None:
    totals = {("rollout", "status"): room.crowd.size, ("status",): room.crowd.size - 1}
    for words, screen in (await screens(room, 80, tuple(totals))).items():
        first = "\n".join(screen.lines[:SCREENFUL])
        assert f"{totals[words]:,} databases: " in first
        assert "could not create unique index" in first, words
        assert CONTROL.search(screen.raw) is None


async def test_no_state_is_left_out_however_many_causes_failures_have(room: Room) -> None:
    screen = await room.reads(("rollout", "status"), 80)
    told = [line.split()[1].rstrip(":") for line in screen.lines if re.match(r"[\d,]+ \w+: ", line)]
    assert [*dict.fromkeys(told)] == ["failed", "blocked", "running", "ordered", "pending"]


SILVER = "tier=silver,pool!=eu"
LOOKS: dict[int, Words] = {
    60: ("fleet", "check", "-s", "pool!=eu"),
    5_000: ("fleet", "check", "-s", SILVER),
}
MOMENTS: tuple[Words, ...] = (
    ("check", "-s", SILVER),
    ("drift", "--no-sql", "-s", SILVER),
    ("check", "--all", "-s", "id in (tenant-0003,tenant-0005,tenant-0007,tenant-0011)"),
)
"""Looks at what is going on there, and at schemas."""
LED: tuple[Words, ...] = (
    LOOKS[60],
    ("fleet", "check", "--problems", "-s", "id in (tenant-0005,tenant-0015)"),
    ("fleet", "check", "--timeout", "1", "-s", "pool=eu,id in (tenant-0019,tenant-0029)"),
)


async def test_what_a_look_at_all_of_them_finds_is_told_by_cause(room: Room) -> None:
    look = LOOKS[room.crowd.size]
    columns, commands = (60, LED) if look in LED else (80, (look,))
    async with room.crowd.awake():
        agents = await room.reads(("agents",), 60)
        assert faults(agents, 60) == []
        assert "agent-1" in "\n".join(agents.lines)
        watched = await room.reads(("rollout", "watch", "--timeout", "0.5"), 80)
        assert FORGED.search("\n".join(watched.lines)) is None
        assert "\x07" not in watched.raw
        assert "The rollout is halted" in "\n".join(watched.lines), "it does not go on by itself"
        looked = await screens(room, columns, commands)
        for words in MOMENTS:
            looked |= await screens(room, columns, (words,))
    assert {words: found for words, one in looked.items() if (found := faults(one, columns))} == {}
    assert len(looked[look].lines) < SCREENFUL
    assert max(len(one.lines) for one in looked.values()) < LINES_AT_MOST
    as_it_was(room, f"{room.crowd.size}-databases-looked-at", looked)
