"""`ledger init`, `ledger upgrade`, `ledger serve`: installed and running."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.command import command, flags_of
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say

if TYPE_CHECKING:
    from ledger.service.installation import Installation
    from ledger.settings import Settings


LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""Of what a leader has to say while it runs; on stderr."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(app, "init", panel="Set-up", examples=("ledger init",))(init)
    command(app, "upgrade", panel="Set-up", examples=("ledger upgrade",))(upgrade)
    command(
        app,
        "serve",
        panel="Set-up",
        traced=False,
        examples=(
            "ledger serve",
            "LEDGER_KAFKA_BOOTSTRAP=broker:9092 ledger serve",
            "ledger serve --take-over",
        ),
    )(serve)


async def init(
    ctx: typer.Context, yes: YesOption = False, output: OutputOption = OutputFormat.TABLE
) -> None:
    """Install the ledger in its database: its schema, and the roles viewer, operator, service.

    Again is harmless. People and programs log in as users of their own and are made members of
    ledger_viewer, ledger_operator or ledger_service.
    """
    from ledger.cli.app.actor import actor
    from ledger.runtime import install
    from ledger.settings import masked

    settings = flags_of(ctx).load().settings
    place = masked(settings.ledger_url)
    confirm(settings.name, [f"install its schema and roles in {place}"], yes=yes)
    installed = await install(settings, actor())
    word = "is installed" if installed.created else "was installed already"
    _tell(output, "init", settings.name, installed, word)


async def upgrade(
    ctx: typer.Context, yes: YesOption = False, output: OutputOption = OutputFormat.TABLE
) -> None:
    """Bring the ledger's schema to the version of this program. Again is harmless."""
    from ledger.runtime import upgrade as bring_forward
    from ledger.settings import masked

    settings = flags_of(ctx).load().settings
    confirm(settings.name, [f"upgrade its schema in {masked(settings.ledger_url)}"], yes=yes)
    installed = await bring_forward(settings)
    _tell(output, "upgrade", settings.name, installed, "is up to date")


TakeOverOption = Annotated[
    bool,
    typer.Option(
        "--take-over", help="Replace a leader that gives no sign of life: its session is ended."
    ),
]


async def serve(
    ctx: typer.Context,
    take_over: TakeOverOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Lead: follow the log, order, take reports, until stopped.

    With a broker, agents run elsewhere (`ledger-agent run`); without one they live in this process.
    The first Ctrl-C or SIGTERM finishes what runs, the second ends at once. A second `serve` is
    refused with the leader's name.

    A leader that is frozen, or cannot reach the ledger's database, keeps the leadership and does
    nothing with it. `--take-over` ends its session and leads in its place; it is refused while that
    leader gives signs of life.
    """
    from ledger import sampling
    from ledger.monitoring.logs import write_logs
    from ledger.runtime import serve as lead

    settings = flags_of(ctx).load().settings
    write_logs(settings.monitoring.log, logging.WARNING, LOG_FORMAT)
    sampling.call_slow(settings.monitoring.slow_trace_s)

    def started(leader: str, term: int) -> None:
        Output(output).record(
            "serve",
            {"leader": leader, "term": term, "transport": settings.transport},
            f"leading as {leader}, term {term}, over {settings.transport}",
        )

    if take_over:
        await _ask_to_replace(settings, yes=yes)
    await lead(settings, started=started, replaces_silent=take_over)
    say("stopped")


async def _ask_to_replace(settings: Settings, *, yes: bool) -> None:
    """Name whom this would replace and what is at risk; where nobody is silent, ask nothing."""
    from ledger.runtime import open_ledger

    async with open_ledger(settings) as ledger:
        leader = await ledger.leader()
    if leader is None or not leader.is_silent:
        return
    facts = [
        f"end the session of {leader.name} on {leader.host}, which {leader.silence}",
        "lead in its place under the next term: if it goes on later, it records nothing and ends",
        "without a broker, a migration that it had begun may still run: its lock is waited for",
    ]
    confirm(settings.name, facts, yes=yes)


def _tell(output: OutputFormat, kind: str, name: str, installed: Installation, word: str) -> None:
    Output(output).record(
        kind,
        {
            "name": name,
            "ledger": installed.ledger_id,
            "schema_version": installed.schema_version,
            "created": installed.created,
        },
        f"ledger {name} {word}: {installed.ledger_id}, schema version {installed.schema_version}",
    )
