"""Options of `ledger test`: what is rehearsed, and what becomes of the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from ledger.cli.app.code_option import CodeOption, ShellOption
from ledger.cli.app.help_page import HOW_FAR, OUTPUT, RECORD, WHICH_MIGRATIONS
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.options import MIGRATIONS, FolderOption, FormatOption, VarOption


@dataclass(frozen=True, slots=True)
class RehearsedOptions(OptionGroup):
    """Which files are read, and which of them are rehearsed."""

    HEADING: ClassVar = WHICH_MIGRATIONS

    folder: FolderOption = MIGRATIONS
    format: FormatOption = None
    var: VarOption = None
    fixtures: Annotated[
        Path | None,
        typer.Option(
            "--fixtures",
            metavar="DIR",
            help="Folder of VERSION.before.sql and VERSION.after.sql. Default: `tests` beside the "
            "folder of migrations.",
        ),
    ] = None
    rows_like: Annotated[
        Path | None,
        typer.Option(
            "--rows-like",
            metavar="FILE",
            help="Make rows in tables like those whose shapes `ledger db shapes` wrote there.",
        ),
    ] = None
    rows_most: Annotated[
        int,
        typer.Option(
            "--rows-most",
            metavar="N",
            min=1,
            max=1_000_000,
            help="With --rows-like: at most so many in each table.",
            show_default=True,
        ),
    ] = 10_000
    schema: Annotated[
        str,
        typer.Option(
            "--schema",
            metavar="NAME",
            help="Schema that is the target, for databases in which each tenant has one.",
        ),
    ] = ""
    allow_code: CodeOption = False
    allow_shell: ShellOption = False
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Rehearse every migration, not only those that some database lacks.",
            rich_help_panel=HOW_FAR,
        ),
    ] = False
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="VERSION",
            help="Rehearse what comes after this one; it, and what is before it, only has to be "
            "there.",
            rich_help_panel=HOW_FAR,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class ResultOptions(OptionGroup):
    """How the result is told, and whether it is kept."""

    HEADING: ClassVar = OUTPUT

    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write the result there, too, as JUnit XML."),
    ] = None
    statements: Annotated[
        bool,
        typer.Option(
            "--statements",
            help="Tell each statement: how long it took, and which locks it takes on tables that "
            "are in use.",
        ),
    ] = False
    record: Annotated[
        bool | None,
        typer.Option(
            "--record/--no-record",
            help="Record the result in the ledger. Default: if one is named and can be reached.",
            rich_help_panel=RECORD,
        ),
    ] = None
