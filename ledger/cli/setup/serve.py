"""`ledger init`, `ledger upgrade`, `ledger serve`: installed and running."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import typer

from ledger.cli.app.command import command, flags_of
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say

if TYPE_CHECKING:
    from ledger.store.install import Installed


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
        examples=("ledger serve", "LEDGER_KAFKA_BOOTSTRAP=broker:9092 ledger serve"),
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


async def serve(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """Lead: follow the log, order, take reports, until stopped.

    With a broker, agents run elsewhere (`ledger-agent run`); without one they live in this process.
    The first Ctrl-C or SIGTERM finishes what runs, the second ends at once. A second `serve` is
    refused with the leader's name.
    """
    from ledger.runtime import serve as lead

    logging.basicConfig(format=LOG_FORMAT, level=logging.WARNING, stream=sys.stderr)
    settings = flags_of(ctx).load().settings

    def started(leader: str, term: int) -> None:
        Output(output).record(
            "serve",
            {"leader": leader, "term": term, "transport": settings.transport},
            f"leading as {leader}, term {term}, over {settings.transport}",
        )

    await lead(settings, started=started)
    say("stopped")


def _tell(output: OutputFormat, kind: str, name: str, installed: Installed, word: str) -> None:
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
