"""`ledger-agent`: entry points only translate; what an agent does is in `agents.runtime`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from agents.errors import AgentError
from agents.runtime import Agent
from agents.self_check import check as look
from agents.settings import AgentSettings, agent_settings
from agents.trust import NO_TRUST
from ledger import exporters, sampling, telemetry
from ledger.bus.kafka import KafkaBus
from ledger.bus.port import BusError, BusMisconfigured
from ledger.bus.security import KafkaSettings
from ledger.command_line import Spoken, SpokenProgram
from ledger.contracts.heartbeat import UNSIGNED_ORDERS, UNSIGNED_REPORTS
from ledger.monitoring.logs import write_logs
from ledger.monitoring.pages import watched
from ledger.monitoring.process import observe_memory, observe_sessions
from ledger.outlet import Streams
from ledger.settings import LogForm, SettingsError, SharedSettings, load_shared
from ledger.signing.errors import KeyUnusable
from ledger.stopper import Stopper
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK
from migrations.engine import PostgresEngine
from migrations.gc_tuning import settle_memory
from migrations.printable import escaped
from migrations.target.session_role import open_sessions

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
NO_KEY = (
    "the ledger would not believe what this agent reports without a signature; set "
    "LEDGER_AGENT_KEY_FILE to a key that was registered with `ledger keys register`"
)
INSECURE = {
    "bus": "INSECURE: the broker may be one that proves nothing (LEDGER_INSECURE_BUS)",
    "postgres": "INSECURE: databases may be reached without verified TLS "
    "(LEDGER_AGENT_INSECURE_POSTGRES)",
    UNSIGNED_ORDERS: "INSECURE: whoever can write to the broker can give this agent orders; "
    "set LEDGER_AGENT_TRUST",
    UNSIGNED_REPORTS: "INSECURE: whoever can write to the broker can report in this agent's words; "
    "set LEDGER_AGENT_KEY_FILE",
}
"""What is said at the start of everything that heartbeats and reports call insecure."""


FLAG_NAMES = {
    "kafka.bootstrap": "kafka",
    "agent.name": "name",
    "agent.ledger": "ledger",
    "agent.concurrency": "concurrency",
    "agent.per_host": "per-host",
    "agent.grace_s": "grace-s",
    "agent.secret_roots": "secret-root",
    "agent.insecure_postgres": "insecure-postgres",
}
"""What the flags of this program are called, by their settings."""


class AgentCommand(Spoken, TyperCommand):
    """A command that takes no value which says nothing, as from a variable that is not set."""

    def look_at(self, ctx: Any, args: Sequence[str]) -> None:
        """Refuse arguments that cannot be meant. Raises `typer.BadParameter`."""
        super().look_at(ctx, args)
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        one: Any
        for one in self.params:
            said = given.get(one.name or "")
            texts = said if isinstance(said, list) else [said]
            if any(isinstance(text, str) and not text.strip() for text in texts):
                raise typer.BadParameter(
                    "it is empty, as from a variable that is not set; say what is meant, or "
                    "leave it out",
                    ctx=ctx,
                    param=one,
                )


class AgentCommands(SpokenProgram, TyperGroup):
    """The commands of the program."""

    program = "ledger-agent"


class AgentExitCode(IntEnum):
    """How the program ended, for scripts; the numbers of `ledger`, where both have one."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 6
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 6 the broker or a database cannot be "
    "reached, 130 stopped by force."
)

app = typer.Typer(
    cls=AgentCommands,
    name="ledger-agent",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Pool = Annotated[str | None, typer.Option(help="Pool of databases; or LEDGER_POOL.")]
ServedLedger = Annotated[
    str | None,
    typer.Option("--ledger", help="Id of the one ledger to serve; or LEDGER_AGENT_LEDGER."),
]
Broker = Annotated[
    str | None, typer.Option("--kafka", help="host:port of the brokers; or LEDGER_KAFKA_BOOTSTRAP.")
]
SecretRoots = Annotated[
    list[Path] | None,
    typer.Option("--secret-root", help="Folder below which file: references may be read; again."),
]
InsecureBus = Annotated[
    bool | None,
    typer.Option("--insecure-bus", help="Allow a broker elsewhere without TLS and login."),
]
InsecurePostgres = Annotated[
    bool | None,
    typer.Option("--insecure-postgres", help="Allow databases without verified TLS."),
]
Debug = Annotated[bool, typer.Option("--debug", help="Log more, with tracebacks.")]


def main() -> None:
    """The console script. Nothing but a sentence reaches the user when something is wrong."""
    streams, code = Streams(), 0
    try:
        app()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if lost := streams.lost():
        code = code or AgentExitCode.FAILED
        typer.echo(f"ledger-agent: {lost}", err=True)
    sys.exit(code)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ledger-agent {metadata.version('migration-ledger')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Takes the commands of one pool and runs migrations on its databases."""


@app.command(cls=AgentCommand, epilog=EXIT_CODES)
def run(
    pool: Pool = None,
    name: Annotated[str | None, typer.Option(help="What this agent is called.")] = None,
    ledger: ServedLedger = None,
    concurrency: Annotated[str | None, typer.Option(metavar="N", help="Databases at once.")] = None,
    per_host: Annotated[
        str | None, typer.Option(metavar="N", help="Databases at once per server.")
    ] = None,
    grace_s: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="Seconds after the first signal.")
    ] = None,
    kafka: Broker = None,
    secret_root: SecretRoots = None,
    insecure_bus: InsecureBus = None,
    insecure_postgres: InsecurePostgres = None,
    debug: Debug = False,
) -> None:
    """Run until stopped. The first Ctrl-C or SIGTERM finishes what runs, the second cancels it."""

    flags = {
        "pool": pool,
        "agent.name": name,
        "agent.ledger": ledger,
        "agent.concurrency": concurrency,
        "agent.per_host": per_host,
        "agent.grace_s": grace_s,
        "kafka.bootstrap": kafka,
        "agent.secret_roots": tuple(secret_root) if secret_root else None,
        "insecure_bus": insecure_bus,
        "agent.insecure_postgres": insecure_postgres,
    }
    _guarded(lambda: _run(_settings(flags), debug), debug)


@app.command(cls=AgentCommand, epilog=EXIT_CODES)
def check(
    pool: Pool = None,
    database: Annotated[
        list[str] | None,
        typer.Option(help="postgresql:// address of a database to try, without password; again."),
    ] = None,
    password: Annotated[
        str | None, typer.Option(help="Reference of its password: env:NAME or file:PATH.")
    ] = None,
    kafka: Broker = None,
    secret_root: SecretRoots = None,
    insecure_bus: InsecureBus = None,
    insecure_postgres: InsecurePostgres = None,
    debug: Debug = False,
) -> None:
    """Say whether this agent could reach its broker, its secrets, and databases."""

    flags = {
        "pool": pool,
        "kafka.bootstrap": kafka,
        "agent.secret_roots": tuple(secret_root) if secret_root else None,
        "insecure_bus": insecure_bus,
        "agent.insecure_postgres": insecure_postgres,
    }
    _guarded(lambda: _check(_settings(flags), database or [], password), debug)


def _settings(flags: Mapping[str, Any]) -> SharedSettings:
    """What flags and variables say; a flag that is `None` was not given."""
    said = {name: value for name, value in flags.items() if value is not None}
    return load_shared(said, FLAG_NAMES)


def _agent_settings(shared: SharedSettings) -> AgentSettings:
    """An agent that is a program of its own shares its bus with others."""
    return agent_settings(
        shared.agent, shared.agents_pool, insecure_bus=shared.insecure_bus, shared_bus=True
    )


def _broker(shared: SharedSettings) -> KafkaSettings | None:
    """How to reach the broker: one elsewhere only with orders and reports that are signed."""
    if not shared.agent.trust:
        return shared.broker_for(NO_TRUST)
    return shared.broker_for("" if shared.agent.key_file else NO_KEY)


async def _run(shared: SharedSettings, debug: bool) -> AgentExitCode:
    _log(debug, shared.monitoring.log)
    sampling.call_slow(shared.monitoring.slow_trace_s)
    settings = _agent_settings(shared)
    bus = KafkaBus(_broker(shared) or KafkaSettings(), settings.name, SYSTEM_CLOCK)
    agent = Agent(bus, settings, SYSTEM_CLOCK, PostgresEngine(SYSTEM_CLOCK, SYSTEM_CHANCE))
    settle_memory()
    with Stopper(agent.stop, agent.stop) as stopper:
        logging.getLogger(__name__).info(
            "agent %s serves pool %s of %s, %d databases at once",
            settings.name,
            settings.pool,
            f"ledger {settings.ledger}" if settings.ledger else "the first ledger that it hears",
            settings.concurrency,
        )
        for what in settings.insecure:
            logging.getLogger(__name__).warning("%s", INSECURE[what])

        def observe() -> None:
            agent.observe()
            observe_memory()
            observe_sessions("fleet", open_sessions)

        section, service = shared.monitoring, telemetry.AGENT_SERVICE
        try:
            async with watched(section, service, observe, agent.probes()):
                await agent.run()
        finally:
            await bus.close()
    return AgentExitCode.INTERRUPTED if stopper.forced else AgentExitCode.OK


async def _check(shared: SharedSettings, urls: list[str], password: str | None) -> AgentExitCode:
    settings = _agent_settings(shared)
    broker = _broker(shared)
    bus = KafkaBus(broker, settings.name, SYSTEM_CLOCK) if broker else None
    fine = True
    try:
        async for finding in look(bus, settings, urls, password):
            fine = fine and finding.fine
            said = f"{'ok' if finding.fine else 'FAILED':6}  {finding.what}: {finding.said}"
            typer.echo(escaped(said))
    finally:
        if bus is not None:
            await bus.close()
    return AgentExitCode.OK if fine else AgentExitCode.UNREACHABLE


def _guarded(work: Callable[[], Coroutine[Any, Any, AgentExitCode]], debug: bool) -> None:
    """Run `work` in a loop of its own and exit with its code, or with that of what it raised."""
    _log(debug)
    close = exporters.configure(telemetry.AGENT_SERVICE, metadata.version("migration-ledger"))
    try:
        with asyncio.Runner() as runner:
            code = runner.run(work())
    except KeyboardInterrupt:
        code = _say("interrupted", AgentExitCode.INTERRUPTED)
    except (AgentError, SettingsError, BusMisconfigured, KeyUnusable) as error:
        code = _say(str(error), AgentExitCode.USAGE)
    except BusError as error:
        code = _say(str(error), AgentExitCode.UNREACHABLE)
    except Exception:
        if debug:
            raise
        code = _say(
            "something unexpected happened; --debug shows the details", AgentExitCode.FAILED
        )
    finally:
        close()
    raise typer.Exit(code)


def _say(text: str, code: AgentExitCode) -> AgentExitCode:
    typer.echo(escaped(f"ledger-agent: {text}", lines=True), err=True)
    return code


def _log(debug: bool, form: LogForm = LogForm.TEXT) -> None:
    write_logs(form, logging.INFO, LOG_FORMAT)
    telemetry.set_log_levels(logging.DEBUG if debug else logging.INFO)
