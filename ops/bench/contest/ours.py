"""Rollouts of ours: the request goes in, and the clock stops at the log's RolloutCompleted.

Everything in between counts: reading the folder, registering the bundle, planning, ordering,
carrying, running, reporting, recording. The caller watches meanwhile, as `ledger up` does.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ledger.bus.kafka import KafkaBus
from ledger.bus.port import Message
from ledger.bus.security import KafkaSettings
from ledger.cli.fleet.entries import FleetFileEntry
from ledger.contracts.events import Budget, PlanOptions, WhenSpent
from ledger.contracts.registry import Connection
from ledger.contracts.topics import commands_topic
from ledger.domain.histories import HISTORY_LABEL
from ledger.embedded.kafka import EmbeddedKafka
from ledger.runtime import Ledger, install, open_ledger, stores_of, working
from ledger.service.plans import PlanRequest
from ledger.service.request_context import RequestContext
from ledger.settings import AgentSection, KafkaSection, Settings
from ledger.signing.key_files import generate, write
from migrations.model.attempt import Limits
from migrations.model.preflight import PreflightPolicy
from ops.bench.contest.course import Course, Migrate
from ops.bench.contest.servers import Server, fresh_databases, ledger_database
from ops.bench.contest.workload import write_folder

if TYPE_CHECKING:
    from collections.abc import Iterator


VARIABLE = "TENANT_BENCH_PASSWORD"
"""The variable that agents read the password from."""
WARM_UP = 3_000
"""Requests that a new broker answers before the clock: Java compiles what it repeats."""
BEFORE = 32
"""Databases of the rollout before the clock: every program and every topic has been in use."""
FOLDER = "migrations"
"""What the history of everybody's migrations is called: as their folder."""
BEFORE_SQL = "-- +migrate Up\nCREATE TABLE before ();\n-- +migrate Down\nDROP TABLE before;\n"
READY_S = 60.0
"""How long an agent may take until it answers for one database."""
LOOK_S = 0.1
END_S = 20.0
ENDS = ("completed", "aborted", "halted")
ROOT = Path(__file__).resolve().parents[3]
COMPLETED = """
    SELECT extract(epoch FROM recorded_at)::float8 FROM ledger.log
    WHERE stream = $1 AND type = 'RolloutCompleted'
"""


class Telemetry(StrEnum):
    """What is done with spans and measurements."""

    ON = "on"
    """They go to a collector."""
    OFF = "off"
    """They go nowhere, as by default."""
    TAKEN_OUT = "taken out"
    """The programs do not have what makes them."""


@asynccontextmanager
async def one_process(
    concurrency: int, course: Course, *, preflight: PreflightPolicy | None = None
) -> AsyncIterator[Migrate]:
    """`ledger` without a broker: it leads, works and watches in this process.

    With a `preflight`, each database is asked before whether this is a good moment.
    """
    async with (
        _new_ledger(course, concurrency, None) as (ledger, settings),
        _secret(course.server),
        working(ledger, settings),
    ):
        await _ready(ledger, course)
        yield _rollouts(ledger, course, Limits(preflight=preflight))


@asynccontextmanager
async def over_kafka(
    concurrency: int,
    course: Course,
    *,
    signed: bool = False,
    telemetry: Telemetry = Telemetry.OFF,
) -> AsyncIterator[Migrate]:
    """A broker, `ledger serve` and one `ledger-agent run`, each a process of its own.

    With `signed`, orders and reports are signed and checked.
    """
    async with AsyncExitStack() as stack:
        exporting = stack.enter_context(_sink()) if telemetry is Telemetry.ON else {}
        bare = telemetry is Telemetry.TAKEN_OUT
        broker = EmbeddedKafka(course.folder / "kafka")
        stack.callback(broker.reset)
        await asyncio.to_thread(broker.start)
        await warm_up(broker.bootstrap)
        ledger, settings = await stack.enter_async_context(
            _new_ledger(course, concurrency, broker.bootstrap)
        )
        leaders, agents = await _keys(ledger, course) if signed else ({}, {})
        variables = {
            "LEDGER_DATABASE_URL": settings.ledger_url,
            "LEDGER_KAFKA_BOOTSTRAP": broker.bootstrap,
            **leaders,
            **exporting,
        }
        stack.enter_context(_process(course, "ledger", ["serve"], variables, bare=bare))
        variables = {
            "LEDGER_KAFKA_BOOTSTRAP": broker.bootstrap,
            "LEDGER_AGENT_CONCURRENCY": str(concurrency),
            "LEDGER_AGENT_PER_HOST": str(concurrency),
            "LEDGER_AGENT_INSECURE_POSTGRES": "true",
            VARIABLE: course.server.password,
            **agents,
            **exporting,
        }
        stack.enter_context(_process(course, "ledger-agent", ["run"], variables, bare=bare))
        await _ready(ledger, course)
        yield _rollouts(ledger, course)


async def _keys(ledger: Ledger, course: Course) -> tuple[dict[str, str], dict[str, str]]:
    """What leader and agent are told of their keys."""
    leaders, agents = generate(), generate()
    course.folder.mkdir(parents=True, exist_ok=True)
    files = course.folder / "leader.key", course.folder / "agent.key"
    for key, file in zip((leaders, agents), files, strict=True):
        write(key, file)
    asked = RequestContext(reason="bench")
    await ledger.keys.register(agents.public_key, "agent", "default", asked)
    return {"LEDGER_SIGNING_KEY_FILE": str(files[0])}, {
        "LEDGER_AGENT_TRUST": f"{ledger.id}:{leaders.public_key}",
        "LEDGER_AGENT_KEY_FILE": str(files[1]),
    }


@asynccontextmanager
async def whole_command(concurrency: int, course: Course) -> AsyncIterator[Migrate]:
    """`ledger up` as a person starts it: the program's start, planning and the end are its time."""
    async with _new_ledger(course, concurrency, None) as (ledger, settings):
        await ledger.fleet.import_(
            _entries(course.server, course.databases), RequestContext(reason="bench")
        )
        variables = {
            "LEDGER_DATABASE_URL": settings.ledger_url,
            "LEDGER_AGENT_CONCURRENCY": str(concurrency),
            "LEDGER_AGENT_PER_HOST": str(concurrency),
            "LEDGER_AGENT_INSECURE_POSTGRES": "true",
            VARIABLE: course.server.password,
        }

        async def migrate(number: int) -> float:
            folder = write_folder(course.folder / FOLDER, "ours", number + 1)
            width = ["--waves", "rest", "--in-flight", str(len(course.databases))]
            arguments = ["up", "--folder", str(folder), *width, "--yes", "--reason", "bench"]
            return await asyncio.to_thread(_ended, course, arguments, variables)

        yield migrate


def _ended(course: Course, arguments: list[str], variables: Mapping[str, str]) -> float:
    """Run `ledger` to its end; the seconds it took. Raises SystemExit when it failed."""
    start = time.perf_counter()
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "ledger"), *arguments],
        cwd=course.folder,
        env={**_clean(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - start
    if ended.returncode:
        raise SystemExit(f"ledger failed:\n{(ended.stderr or ended.stdout)[-2000:]}")
    return took


def _clean() -> dict[str, str]:
    """Our environment without what would set the ledger up, or export."""
    ours = ("LEDGER_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


async def warm_up(bootstrap: str) -> None:
    """Use a broker for some seconds, on the topic of nobody: those in service are no newcomers."""
    topic = commands_topic("warm-up")
    bus = KafkaBus(KafkaSettings(bootstrap=bootstrap), "bench")
    try:
        await bus.ensure_topics([topic])
        reader = await bus.read(topic, {})
        for number in range(WARM_UP):
            await bus.publish([Message(topic, str(number), bytes(400))])
            await reader.poll(0.0, WARM_UP)
    finally:
        await bus.close()


@asynccontextmanager
async def _new_ledger(
    course: Course, concurrency: int, bootstrap: str | None
) -> AsyncIterator[tuple[Ledger, Settings]]:
    """A ledger without databases yet."""
    async with ledger_database(course.server, "bench_ledger") as url:
        settings = Settings(
            database_url=SecretStr(url),
            kafka=KafkaSection(bootstrap=bootstrap),
            agent=AgentSection(
                concurrency=concurrency, per_host=concurrency, insecure_postgres=True
            ),
        )
        await install(settings)
        async with open_ledger(settings) as ledger:
            yield ledger, settings


async def _ready(ledger: Ledger, course: Course) -> None:
    """Register the course, and return when nothing is starting any more.

    Programs in service have done a rollout before; this one is over a few other databases.
    """
    async with fresh_databases(course.server, "bench_before", BEFORE) as databases:
        await ledger.fleet.import_(
            _entries(course.server, databases), RequestContext(reason="before")
        )
        await _answers(ledger, databases[0])
        folder = course.folder / "before"
        folder.mkdir(parents=True)
        (folder / "1_before.sql").write_text(BEFORE_SQL, encoding="utf-8")
        await _completed(
            ledger,
            await ledger.rollouts.start(await ledger.rollouts.plan(_request(folder, BEFORE))),
        )
        for database in databases:
            await ledger.fleet.retire(database, RequestContext(reason="before"))
    labels = {HISTORY_LABEL: FOLDER}
    await ledger.fleet.import_(
        _entries(course.server, course.databases, labels), RequestContext(reason="bench")
    )


def _entries(
    server: Server, databases: Sequence[str], labels: Mapping[str, str] | None = None
) -> list[FleetFileEntry]:
    """Databases as a fleet's file has them; with labels, where there are several histories."""
    return [
        FleetFileEntry(
            name,
            "default",
            Connection.at(
                host=server.host,
                port=server.port,
                database=name,
                user=server.user,
                password=f"env:{VARIABLE}",
                sslmode="disable",
            ),
            labels or {},
        )
        for name in databases
    ]


async def _answers(ledger: Ledger, database: str) -> None:
    """Return when an agent has answered for the database."""
    check = await ledger.fleet.check(f"id={database}", RequestContext(reason="before"))
    looks = round(READY_S / LOOK_S)
    for _ in range(looks):
        if (await ledger.checks.answers(check)).finished:
            return
        await asyncio.sleep(LOOK_S)
    raise SystemExit(f"no agent answered within {READY_S:.0f} s; nothing can be measured")


def _rollouts(ledger: Ledger, course: Course, limits: Limits | None = None) -> Migrate:
    async def migrate(number: int) -> float:
        folder = write_folder(course.folder / FOLDER, "ours", number + 1)
        start = time.time()
        rollout = await ledger.rollouts.start(
            await ledger.rollouts.plan(_request(folder, len(course.databases), limits))
        )
        await _completed(ledger, rollout)
        completed: float = await stores_of(ledger).pool.fetchval(COMPLETED, f"rollout-{rollout}")
        return completed - start

    return migrate


async def _completed(ledger: Ledger, rollout: str) -> None:
    """Watch the rollout to its end. Raises SystemExit when that is another one."""
    async for status in ledger.rollouts.watch(rollout):
        if status.status in ENDS:
            break
    if status.status != "completed":
        raise SystemExit(f"the rollout ended {status.status} ({status.why}): {status.counts}")


def _request(folder: Path, databases: int, limits: Limits | None = None) -> PlanRequest:
    """One wave, as wide as the agents can take, and nothing asked before unless `limits` say so;
    everything else as it is by default.
    """
    rollout = Settings().rollout
    return PlanRequest(
        direction="up",
        folder=folder,
        options=PlanOptions(
            wave_spec="rest",
            in_flight=min(databases, 10_000),
            budget=Budget(count=0),
            when_spent=WhenSpent.HALT,
            limits=limits or Limits(),
            expiry_s=rollout.expiry_s,
            deadline_s=rollout.deadline_s,
        ),
        asked=RequestContext("bench"),
    )


@asynccontextmanager
async def _secret(server: Server) -> AsyncIterator[None]:
    """Put the password where an agent in this process looks for it."""
    os.environ[VARIABLE] = server.password
    try:
        yield
    finally:
        del os.environ[VARIABLE]


@contextmanager
def _sink() -> Iterator[dict[str, str]]:
    """A collector in a process of its own, and the variables that lead there."""
    with subprocess.Popen(
        [sys.executable, "-m", "ops.bench.contest.sink"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            port = process.stdout.readline().strip() if process.stdout else ""
            yield {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        finally:
            process.terminate()


@contextmanager
def _process(
    course: Course,
    program: str,
    arguments: list[str],
    variables: Mapping[str, str],
    *,
    bare: bool = False,
) -> Iterator[None]:
    """One of our programs beside this one, ended with SIGTERM; its words go to a file.

    A `bare` one has nothing in it that traces or measures.
    """
    start = [str(Path(sys.executable).parent / program)]
    if bare:
        start = [sys.executable, "-m", "ops.bench.contest.uninstrumented", program]
    course.folder.mkdir(parents=True, exist_ok=True)
    with (course.folder / f"{program}.log").open("wb") as log:
        process = subprocess.Popen(
            [*start, *arguments],
            cwd=course.folder,
            env={**_clean(), "PYTHONPATH": str(ROOT), **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
