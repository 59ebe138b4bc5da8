"""Who runs, by name, and how each is set up before the clock starts.

A contender is opened on a set of databases of its own and then asked for the first and for the
second migration; each answer is the seconds from asking to done everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from migrations.model.preflight import PreflightPolicy
from ops.bench.contest import bare, ours, programs
from ops.bench.contest.course import Course, Migrate
from ops.bench.contest.ours import Telemetry
from ops.bench.contest.workload import write_folder


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to migrate a fleet. `part` is the letter that `--only` and the ratios use."""

    part: str
    title: str
    open: Callable[[Course], AbstractAsyncContextManager[Migrate]]


BARE_CONCURRENCY = (4, 8, 16, 32)
"""Where the best of the bare loop is looked for."""


def bare_loops() -> list[Contender]:
    """The bare loop at each concurrency; the best of them takes part."""
    return [
        Contender("a", f"bare loop, {at_once} at once", partial(_bare, at_once))
        for at_once in BARE_CONCURRENCY
    ]


def rivals(agent_concurrency: int) -> list[Contender]:
    """Everybody but the bare loop, in the order in which they take turns."""
    return [
        Contender("b", "ledger, one process", partial(ours.one_process, agent_concurrency)),
        Contender(
            "p",
            "ledger, one process, preflight",
            partial(ours.one_process, agent_concurrency, preflight=PreflightPolicy()),
        ),
        Contender("c", "ledger over Kafka", partial(ours.over_kafka, agent_concurrency)),
        Contender(
            "s",
            "ledger over Kafka, signed",
            partial(ours.over_kafka, agent_concurrency, signed=True),
        ),
        *(
            Contender(
                part,
                f"ledger over Kafka, telemetry {state}",
                partial(ours.over_kafka, agent_concurrency, telemetry=state),
            )
            for part, state in (("n", Telemetry.TAKEN_OUT), ("t", Telemetry.ON))
        ),
        Contender("u", "ledger up, all of it", partial(ours.whole_command, agent_concurrency)),
        *(
            Contender(
                "d", f"{program.name}, xargs -P{programs.AT_ONCE}", partial(_program, program)
            )
            for program in programs.installed()
        ),
    ]


@asynccontextmanager
async def _bare(at_once: int, course: Course) -> AsyncIterator[Migrate]:
    async def migrate(number: int) -> float:
        return await asyncio.to_thread(
            bare.measured, course.server, course.databases, number, at_once
        )

    yield migrate


@asynccontextmanager
async def _program(program: programs.Program, course: Course) -> AsyncIterator[Migrate]:
    async def migrate(number: int) -> float:
        folder = write_folder(course.folder, program.name, number + 1)
        return await asyncio.to_thread(
            programs.run, program, course.server, course.databases, folder
        )

    yield migrate
