"""Which module has which command: imported when the command is asked for, and not before.

Reading all of them takes longer than everything else that `ledger --version` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import typer

from ledger.cli.app.argument_check import Checked
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.output import OutputFormat, tell_error
from ledger.cli.app.start import is_for_program
from ledger.command_line import SpokenProgram

ROOMS: Mapping[str, tuple[str, ...]] = {
    "lint.commands": ("lint",),
    "rehearsal.commands": ("test",),
    "rollout.start": ("plan", "up", "down"),
    "rollout.check": ("check",),
    "fleet.status": ("status",),
    "fleet.commands": ("fleet",),
    "fleet.drift": ("drift",),
    "fleet.fact": ("fact",),
    "fleet.agents": ("agents",),
    "bundle.commands": ("bundle", "create"),
    "rollout.commands": ("rollout",),
    "rollout.adopt": ("adopt", "baseline", "repair"),
    "rollout.resolve": ("resolve",),
    "record.history": ("audit", "history", "events", "replay", "traces"),
    "record.report": ("report",),
    "notify.commands": ("notify",),
    "setup.serve": ("init", "upgrade", "serve"),
    "setup.keys": ("keys",),
    "setup.dev": ("dev",),
    "db.commands": ("db",),
    "setup.config": ("config", "version"),
}
"""The commands of each module of `ledger.cli`, in the order of the help."""
FORMER_NAMES = {"migration": "bundle"}
"""Names that commands had; they still work, and no help shows them."""


class Rooms(SpokenProgram, Checked, CommandGroup):
    """The commands of all rooms, as the command line knows them."""

    program = "ledger"

    def tell(self, text: str, code: int, line: Sequence[str]) -> None:
        """Say on stderr what is wrong with a `line`, as a sentence, or as programs read it."""
        form = OutputFormat.JSON if is_for_program(line) else OutputFormat.TABLE
        tell_error(text, code, form)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the help."""
        return [name for names in ROOMS.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command called so; `None` when there is none."""
        name = FORMER_NAMES.get(cmd_name, cmd_name)
        for room, names in ROOMS.items():
            if name in names:
                return room_commands(room)[name]
        return None


@cache
def room_commands(room: str) -> dict[str, Any]:
    """The commands that a module of `ledger.cli` registers, by name."""
    registered = typer.Typer(rich_markup_mode="rich")
    # A group even when it has one command.
    registered.callback()(lambda: None)
    import_module(f"ledger.cli.{room}").register(registered)
    group: Any = typer.main.get_group(registered)
    return dict(group.commands)
