"""`--allow-code`, `--allow-shell`: a person's leave to run a folder's programs on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.help_page import WHICH_MIGRATIONS

if TYPE_CHECKING:
    from migrations.model.migration import Language

CodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run migrations that are programs (Python modules, psql scripts) with your rights.",
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]

ShellOption = Annotated[
    bool,
    typer.Option(
        "--allow-shell",
        help="With --allow-code: psql scripts may also start programs and read files.",
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]

PsqlOption = Annotated[
    bool,
    typer.Option(
        "--allow-psql",
        help="Take scripts that only psql understands; agents run them where they may.",
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]


def languages(allowed: bool) -> frozenset[Language]:
    """The languages that may run: all, or none."""
    from migrations.model.migration import Language

    return frozenset(Language) if allowed else frozenset()
