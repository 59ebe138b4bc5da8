"""One clock and one source of ids: nobody else asks the host what time it is, or waits, or dices.

What is given a clock can be run on one that a test moves (`tests/support/manual_clock.py`), so a
single direct call would make everything around it slow, or wrong, there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ledger", "agents", "migrations")
ADAPTERS = frozenset({"migrations/clock.py", "migrations/chance.py"})
"""The modules that ask the host."""

READS = frozenset(
    {
        "asyncio.sleep",
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "os.urandom",
        "secrets.SystemRandom",
        "secrets.choice",
        "secrets.randbelow",
        "secrets.randbits",
        "uuid.uuid1",
        "uuid.uuid4",
    }
)
WHOLE = ("time", "random", "uuid_utils", "uuid_utils.compat")
"""Of these nothing is called at all."""
BOUNDS = frozenset({"asyncio.timeout", "asyncio.timeout_at", "asyncio.wait_for"})
LOOP = frozenset({"time", "call_later", "call_at"})
"""Methods of an event loop."""

REAL = {
    "agents/backup_command.py": BOUNDS,
    "ledger/bus/kafka.py": BOUNDS,
    "ledger/bus/kafka_readers.py": BOUNDS,
    "ledger/cli/rollout/watch.py": BOUNDS,
    "ledger/embedded/kafka.py": frozenset({"time.sleep"}),
    "ledger/embedded/postgres.py": frozenset({"time.sleep"}),
    "ledger/embedded/process.py": frozenset({"time.sleep"}),
    "ledger/leader/shutdown.py": frozenset({"loop.call_later"}),
    "ledger/service/commit.py": BOUNDS,
    "ledger/store/connections.py": BOUNDS,
    "migrations/lint/squawk.py": BOUNDS,
}
"""What bounds a call to a real server, program or person, by the time that these go by."""


def names_of(nodes: Sequence[ast.AST]) -> dict[str, str]:
    """What each imported name stands for."""
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update({(one.asname or one.name): one.name for one in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                found[one.asname or one.name] = f"{node.module}.{one.name}"
    return found


def dotted(node: ast.expr) -> str:
    """`a.b.c` as it stands there; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def uses(text: str) -> Iterator[str]:
    """What this module's text takes from the host: calls, and functions that it hands on."""
    nodes = list(ast.walk(ast.parse(text)))
    names = names_of(nodes)
    no_time = {
        call.func
        for call in nodes
        if isinstance(call, ast.Call)
        and [arg.value for arg in call.args if isinstance(arg, ast.Constant)] == [0]
    }
    inner = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if not isinstance(node, ast.Attribute | ast.Name) or node in inner:
            continue
        if isinstance(node, ast.Attribute) and _is_loop(node.value, names):
            if node.attr in LOOP:
                yield f"loop.{node.attr}"
            continue
        first, _, rest = dotted(node).partition(".")
        meant = names.get(first, first) + (f".{rest}" if rest else "")
        if first not in names or (meant == "asyncio.sleep" and node in no_time):
            continue
        if meant in READS | BOUNDS or meant.rpartition(".")[0] in WHOLE:
            yield meant


def _is_loop(node: ast.expr, names: dict[str, str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("loop", "_loop")
    return isinstance(node, ast.Call) and dotted(node.func).endswith(
        ("get_running_loop", "get_event_loop")
    )


def test_only_the_adapters_ask_the_host() -> None:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name in ADAPTERS or "migrations/examples" in name:
                continue
            direct = set(uses(path.read_text(encoding="utf-8"))) - REAL.get(name, frozenset())
            if direct:
                found[name] = sorted(direct)
    assert found == {}


def test_every_exception_is_made_use_of() -> None:
    for name, allowed in REAL.items():
        assert set(uses((ROOT / name).read_text(encoding="utf-8"))) & allowed, name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from datetime import UTC, datetime\nat = datetime.now(UTC)", "datetime.datetime.now"),
        ("import datetime as d\nat = d.datetime.utcnow()", "datetime.datetime.utcnow"),
        ("from time import monotonic\nat = monotonic()", "time.monotonic"),
        ("import time\nfield(default_factory=time.monotonic)", "time.monotonic"),
        ("from time import perf_counter as now\nat = now()", "time.perf_counter"),
        ("import random\nat = random.random()", "random.random"),
        ("from random import Random\nat = Random()", "random.Random"),
        ("from uuid import uuid4\nat = uuid4().hex", "uuid.uuid4"),
        ("from uuid_utils.compat import uuid7\nat = uuid7()", "uuid_utils.compat.uuid7"),
        ("import asyncio\nasync def f():\n    await asyncio.sleep(1.0)", "asyncio.sleep"),
        ("from asyncio import sleep\nasync def f():\n    await sleep(PAUSE_S)", "asyncio.sleep"),
        ("import asyncio\nat = asyncio.get_running_loop().time()", "loop.time"),
        ("import asyncio\nloop = asyncio.get_running_loop()\nat = loop.time()", "loop.time"),
        (
            "import asyncio\nasync def f():\n    async with asyncio.timeout(1): ...",
            "asyncio.timeout",
        ),
    ],
)
def test_a_direct_call_is_found_however_it_is_written(text: str, found: str) -> None:
    assert list(uses(text)) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)",
        "async def f(clock):\n    await clock.sleep(1.0)\n    return clock.now()",
        "from uuid import UUID, uuid5\nat = uuid5(NAMESPACE, 'x')",
        "from datetime import timedelta\nat = timedelta(seconds=1)",
        "import secrets\nnonce = secrets.token_bytes(24)",
    ],
)
def test_what_takes_no_time_and_what_is_derived_is_let_through(text: str) -> None:
    assert list(uses(text)) == []
