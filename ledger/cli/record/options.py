"""Options of the commands that read the record: which page of it."""

from __future__ import annotations

from typing import Annotated

import typer

from ledger.cli.app.help_page import WHICH_EVENTS

PROGRAMS_AT_MOST = 1000
"""Events of one page for programs, unless said otherwise."""

AfterOption = Annotated[
    int | None,
    typer.Option(
        "--after",
        metavar="POSITION",
        min=0,
        help="Only behind this position.",
        rich_help_panel=WHICH_EVENTS,
    ),
]
BeforeOption = Annotated[
    int | None,
    typer.Option(
        "--before",
        metavar="POSITION",
        min=1,
        help="Only before this position.",
        rich_help_panel=WHICH_EVENTS,
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        max=100_000,
        help="At most this many. Default: 100 for people, 1000 for programs.",
        rich_help_panel=WHICH_EVENTS,
    ),
]
