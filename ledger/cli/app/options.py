"""Options that several commands share, said once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ledger.cli.app import completion
from ledger.cli.app.code_option import PsqlOption
from ledger.cli.app.help_page import (
    HOW_FAR,
    OUTPUT,
    RECORD,
    TIMEOUTS,
    WHICH_DATABASES,
    WHICH_MIGRATIONS,
)
from ledger.cli.app.option_groups import OptionGroup
from migrations.model.migration import TIMEOUT_MAX_S

if TYPE_CHECKING:
    from ledger.service.request_context import RequestContext

MIGRATIONS = Path("migrations")
"""The folder that commands look for when none is named."""

DatabaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATABASE", help="Id of the database.", autocompletion=completion.databases
    ),
]
RolloutArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[ROLLOUT]",
        help="Its id. Default: the only unfinished one.",
        autocompletion=completion.rollouts,
    ),
]
FolderOption = Annotated[
    Path,
    typer.Option(
        "--folder",
        "-f",
        metavar="DIR",
        help="The folder of migrations; several that are one history, joined by a colon.",
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="File format of the folder. Default: found by looking.",
        autocompletion=completion.formats,
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]
OutOfOrderOption = Annotated[
    bool,
    typer.Option(
        "--allow-out-of-order",
        help="Apply also what comes before something that is applied already.",
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]
VarOption = Annotated[
    list[str] | None,
    typer.Option(
        "--var",
        metavar="NAME=VALUE",
        help="What a placeholder stands for; once for each. Wins over the settings.",
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]
PageOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="At most so many databases. Default: a page for people, all for programs.",
        rich_help_panel=WHICH_DATABASES,
    ),
]
AllOption = Annotated[
    bool,
    typer.Option("--all", help="List every database.", rich_help_panel=WHICH_DATABASES),
]


SelectOption = Annotated[
    str,
    typer.Option(
        "--select",
        "-s",
        metavar="SELECTION",
        help=(
            "Only these databases: label=value, label!=value, label in (a,b), notin (a,b), label, "
            "!label, id=t0*, pool=…, status=…, joined by comma. Default: the whole fleet."
        ),
        autocompletion=completion.selections,
        rich_help_panel=WHICH_DATABASES,
    ),
]


class WhenSpentChoice(StrEnum):
    """What a rollout does when its failure budget is spent."""

    HALT = "halt"
    ROLLBACK = "rollback"


class OnDriftChoice(StrEnum):
    """What becomes of drifted databases; as `ledger.domain.drift.OnDrift`."""

    WARN = "warn"
    LEAVE_OUT = "leave-out"
    REFUSE = "refuse"


class Through(StrEnum):
    """The phases of `migrations.model.phases`; naming them here loads nothing."""

    EXPAND = "expand"
    MIGRATE = "migrate"
    CONTRACT = "contract"


PhaseOption = Annotated[
    Through | None,
    typer.Option(
        "--phase",
        help="Up through this phase of changes in phases. Default: migrate; contract waits.",
        rich_help_panel=HOW_FAR,
    ),
]


@dataclass(frozen=True, slots=True)
class ReasonOptions(OptionGroup):
    """What a request leaves in the record beside what it did."""

    HEADING: ClassVar = RECORD

    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the record.")
    ] = None
    ticket: Annotated[
        str | None, typer.Option("--ticket", help="Ticket or change number; kept in the record.")
    ] = None

    def asked(self) -> RequestContext:
        """Reason, ticket and whoever runs this, as requests carry them."""
        from ledger.cli.app.actor import actor
        from ledger.service.request_context import RequestContext

        return RequestContext(reason=self.reason, ticket=self.ticket, actor=actor())


@dataclass(frozen=True, slots=True)
class WaitOptions(OptionGroup):
    """Whether to stay until the end, and how long."""

    wait: Annotated[
        bool,
        typer.Option(
            "--wait/--no-wait",
            help="Stay and show progress, or only record it.",
            rich_help_panel=OUTPUT,
        ),
    ] = True
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.0,
            help="Stop waiting after this long. The rollout goes on where somebody else leads; "
            "in one process, what runs is cancelled and waits for whoever leads next.",
            rich_help_panel=TIMEOUTS,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class PaceOptions(OptionGroup):
    """How fast a rollout goes, and what stops it."""

    waves: Annotated[
        str | None,
        typer.Option(
            "--waves",
            metavar="SIZES",
            help="Like `1,10%,rest`; the first is the canary.",
            rich_help_panel=HOW_FAR,
        ),
    ] = None
    in_flight: Annotated[
        int | None,
        typer.Option(
            "--in-flight",
            metavar="N",
            min=1,
            help="Databases worked on at the same time.",
            rich_help_panel=HOW_FAR,
        ),
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="N|N%", help="How many databases may fail.", rich_help_panel=HOW_FAR
        ),
    ] = None
    lock_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--lock-timeout",
            metavar="SECONDS",
            min=0.0,
            max=TIMEOUT_MAX_S,
            help="Patience of a statement for a lock.",
            rich_help_panel=TIMEOUTS,
        ),
    ] = None
    statement_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--statement-timeout",
            metavar="SECONDS",
            min=0.0,
            max=TIMEOUT_MAX_S,
            help="Per statement; 0 is none.",
            rich_help_panel=TIMEOUTS,
        ),
    ] = None
    expiry_s: Annotated[
        float | None,
        typer.Option(
            "--expiry",
            metavar="SECONDS",
            min=1.0,
            help="An order that nobody started by then is ordered again.",
            rich_help_panel=TIMEOUTS,
        ),
    ] = None
    deadline_s: Annotated[
        float | None,
        typer.Option(
            "--deadline",
            metavar="SECONDS",
            min=1.0,
            help="An order without an answer by then counts as unknown.",
            rich_help_panel=TIMEOUTS,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class RolloutOptions(PaceOptions):
    """Where migrations travel, how fast, and what stops them. Unset means the setting."""

    select: SelectOption = ""
    phase: PhaseOption = None
    out_of_order: OutOfOrderOption = False
    format: FormatOption = None
    allow_psql: PsqlOption = False
    var: VarOption = None
    on_drift: Annotated[
        OnDriftChoice,
        typer.Option(
            "--on-drift",
            help="What becomes of databases that `ledger drift` saw to have drifted.",
            show_default=True,
            rich_help_panel=WHICH_DATABASES,
        ),
    ] = OnDriftChoice.WARN
    require_rehearsal: Annotated[
        bool | None,
        typer.Option(
            "--require-rehearsal",
            help="Going up: refuse to start unless `ledger test` found this bundle to go well, not "
            "long ago. Default: the setting.",
            rich_help_panel=HOW_FAR,
        ),
    ] = None
    when_spent: Annotated[
        WhenSpentChoice | None,
        typer.Option(
            "--when-spent",
            help="What happens when more fail than the budget allows.",
            rich_help_panel=HOW_FAR,
        ),
    ] = None
