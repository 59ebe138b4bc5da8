"""Options of the commands that read the record: which of it, and which page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from ledger.cli.app import completion
from ledger.cli.app.help_page import LAST_POSITION, WHICH_EVENTS
from ledger.cli.app.moments import SinceOption, UntilOption, moments_between
from ledger.cli.app.option_groups import OptionGroup
from ledger.cli.app.output import Output
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from ledger.service.history import Search

PROGRAMS_AT_MOST = 1000
"""Events of one page for programs, unless said otherwise."""


@dataclass(frozen=True, slots=True)
class PagingOptions(OptionGroup):
    """Which events by place and time, and how many."""

    HEADING: ClassVar = WHICH_EVENTS

    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            "-d",
            help="Only what names this one.",
            autocompletion=completion.databases,
        ),
    ] = None
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHO", help="Only what this person, or role, asked for."),
    ] = None
    since: SinceOption = None
    until: UntilOption = None
    after: Annotated[
        int | None,
        typer.Option(
            "--after",
            metavar="POSITION",
            min=0,
            max=LAST_POSITION,
            help="Only behind this position.",
        ),
    ] = None
    before: Annotated[
        int | None,
        typer.Option(
            "--before",
            metavar="POSITION",
            min=1,
            max=LAST_POSITION,
            help="Only before this position.",
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            max=100_000,
            help="At most this many. Default: 100 for people, 1000 for programs.",
        ),
    ] = None

    def search(self) -> Search:
        """What is looked for. Raises `WrongArgument`."""
        from ledger.service.history import Search

        since, until = moments_between(self.since, self.until)
        if self.before is not None and self.before <= (self.after or 0) + 1:
            raise WrongArgument(
                f"no position is behind {self.after or 0} and before {self.before}; say the "
                "smaller one with --after"
            )
        return Search(
            database=self.database,
            by=self.by,
            since=since,
            until=until,
            after=self.after or 0,
            before=self.before,
        )

    def at_most(self, form: Output) -> int:
        """How many are shown at once."""
        return self.limit or form.at_most(None) or PROGRAMS_AT_MOST


@dataclass(frozen=True, slots=True)
class SubjectOptions(PagingOptions):
    """What people know of what they look for."""

    rollout: Annotated[
        str | None,
        typer.Option(
            "--rollout",
            help="Only of this rollout, named by a beginning.",
            autocompletion=completion.rollouts,
        ),
    ] = None
    migration: Annotated[
        str | None,
        typer.Option(
            "--migration",
            help="Only of this version, or name.",
            autocompletion=completion.known_versions,
        ),
    ] = None
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            help="Only of this bundle's rollouts.",
            autocompletion=completion.bundles,
        ),
    ] = None
    ticket: Annotated[
        str | None, typer.Option("--ticket", help="Only what was asked for with it.")
    ] = None
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="In the order of the log.")
    ] = False

    def search(self) -> Search:
        """What is looked for. Raises `WrongArgument`."""
        from dataclasses import replace

        return replace(
            PagingOptions.search(self),
            rollout=self.rollout,
            migration=self.migration,
            bundle=self.bundle,
            ticket=self.ticket,
        )


@dataclass(frozen=True, slots=True)
class LogOptions(PagingOptions):
    """Which events by what they are."""

    stream: Annotated[str | None, typer.Option("--stream", help="Only streams that begin so.")] = (
        None
    )
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            help="Only this type of event; may be repeated.",
            autocompletion=completion.event_types,
        ),
    ] = None
