"""`ledger dev`: real servers on this machine to try things with, from packages."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.domain.refusals import listed
from ledger.outlet import reader_is_gone
from ledger.stopper import Stopper
from migrations.clock import SYSTEM_CLOCK, happens_within

if TYPE_CHECKING:
    from ledger.embedded.dev import DevServers

if TYPE_CHECKING:
    from ledger.embedded.dev import DevServers

FOLDER = Path(".ledger-dev")
"""Where the servers keep everything, unless said otherwise."""
SETTINGS_FILE = "ledger.toml"
LOOK_EVERY_S = 0.5
"""How soon a server that ended by itself is noticed."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "dev",
        panel="Set-up",
        examples=(
            "ledger dev",
            "ledger dev --tenants 3",
            "ledger dev --kafka --folder /var/tmp/trying",
        ),
    )(dev)


async def dev(
    ctx: typer.Context,
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Start an Apache Kafka broker too (fetched once).")
    ] = False,
    tenants: Annotated[
        int,
        typer.Option(
            "--tenants",
            metavar="N",
            min=0,
            max=1000,
            help="Make so many tenant databases, with logins, secrets and a fleet.yaml.",
        ),
    ] = 0,
    folder: Annotated[
        Path, typer.Option("--folder", help="Keep everything here.", metavar="DIR")
    ] = FOLDER,
    reset: Annotated[
        bool, typer.Option("--reset", help="Delete what the folder holds first.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Start a PostgreSQL server, and with --kafka a broker; Ctrl-C stops them.

    Their ports are free ones, and stay the same for as long as the folder does. They end with the
    terminal, and all of them when one of them ends by itself.

    Prints the settings to use, and writes them to ledger.toml in the folder, which
    `ledger --config` reads. Needs the extra `embedded`. Not for production.
    """
    from ledger.embedded.dev import DevServers

    servers = DevServers(folder, kafka=kafka, tenants=tenants, say=say)
    if reset:
        confirm(str(servers.folder), ["delete all data of its servers"], yes=yes, what="Folder")
        await asyncio.to_thread(DevServers(folder, kafka=True).reset)
    try:
        await asyncio.to_thread(servers.start)
        _tell(output, servers)
        ended = await _until_stopped(servers)
    finally:
        say("stopping")
        await asyncio.to_thread(servers.stop)
    say(f"stopped; the data stays in {servers.folder} until `ledger dev --reset`")
    return ExitCode.FAILED if ended else ExitCode.OK


def _tell(output: OutputFormat, servers: DevServers) -> None:
    folder, variables, fleet = servers.folder, servers.settings(), servers.fleet_file
    file = _write_settings(folder, variables)
    text = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
    fields: dict[str, Any] = {
        "folder": str(folder),
        "settings_file": str(file),
        "variables": variables,
    }
    if fleet is not None:
        fields["fleet_file"] = str(fleet)
    Output(output).record("dev", fields, text)
    say(f"Everything is in {folder}. In another terminal, use the lines above,")
    say(f"or `ledger --config {shlex.quote(str(file))} init`. Ctrl-C stops the servers.")
    if fleet is not None:
        say(f"The tenants {listed(servers.tenants)} are in {fleet}:")
        say(f"then `ledger fleet import {shlex.quote(str(fleet))}`.")


def _write_settings(folder: Path, variables: Mapping[str, str]) -> Path:
    """Write what `ledger --config` reads; only its owner may, because it holds a password."""
    file = folder / SETTINGS_FILE
    file.unlink(missing_ok=True)
    lines = [f'database_url = "{variables["LEDGER_DATABASE_URL"]}"', 'name = "dev"']
    if bootstrap := variables.get("LEDGER_KAFKA_BOOTSTRAP"):
        lines += ["", "[kafka]", f'bootstrap = "{bootstrap}"']
    lines += ["", "[agent]", "insecure_postgres = true"]
    if roots := variables.get("LEDGER_AGENT_SECRET_ROOTS"):
        lines += [f"secret_roots = [{json.dumps(roots)}]"]
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write("\n".join(lines) + "\n")
    return file


async def _until_stopped(servers: DevServers) -> str:
    """Return at Ctrl-C, SIGTERM, or when the terminal is closed; that is how this is meant to end.

    Also when whoever read the settings has ended, and when a server ends by itself: then with what
    to say of that, which is said.
    """
    asked = asyncio.Event()
    with Stopper(asked.set):
        while not await happens_within(SYSTEM_CLOCK, asked, LOOK_EVERY_S):
            if ended := servers.ended():
                say(ended)
                return ended
            if reader_is_gone():
                break
    return ""
