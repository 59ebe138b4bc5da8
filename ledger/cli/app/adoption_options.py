"""What the commands that adopt share: their options, and how a match is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from ledger.cli.app import completion
from ledger.cli.app.help_page import HISTORY, WHICH_MIGRATIONS
from ledger.cli.app.option_groups import OptionGroup
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from migrations.adoption.match import Match

DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="[DIR]", help="The folder of migrations.", show_default=True)
]
ThroughOption = Annotated[
    str,
    typer.Option(
        "--through",
        metavar="VERSION",
        help="Up to and with this migration, everything counts as applied.",
        autocompletion=completion.versions,
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]


@dataclass(frozen=True, slots=True)
class Source(OptionGroup):
    """Whose history is taken over, and how far."""

    HEADING: ClassVar = HISTORY

    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="TOOL",
            help="goose, dbmate, golang-migrate, flyway, sqitch, sql-migrate, sqlx, diesel, "
            "prisma, node-pg-migrate, graphile-migrate, tern, play, rails, alembic, django; "
            "`auto` looks for the table of any.",
            autocompletion=completion.tools,
        ),
    ] = "auto"
    table: Annotated[
        str,
        typer.Option("--table", help="Its table, if it has another name than usual. Needs --from."),
    ] = ""
    through: ThroughOption = ""
    accept_missing: Annotated[
        bool,
        typer.Option(
            "--accept-missing",
            help="Take over also rows whose file is no longer in the folder.",
        ),
    ] = False

    def refuse_nameless(self) -> None:
        """Raise `WrongArgument` for a table of a tool that is not named."""
        if self.table and self.from_ == "auto":
            raise WrongArgument(
                f"--table {self.table} does not say whose history it is; name the tool with --from"
            )


def match_rows(found: Match, known: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """A match as rows: what is taken over, what is left to run, what no file belongs to."""
    return [
        *(
            {
                "migration": one.version,
                "name": one.name,
                "standing": "known already" if one.version in known else "taken over",
            }
            for one in found.taken
        ),
        *(
            {"migration": one.version, "name": one.name, "standing": "pending"}
            for one in found.pending
        ),
        *({"migration": row.label, "name": "", "standing": "no file"} for row in found.unmatched),
    ]
