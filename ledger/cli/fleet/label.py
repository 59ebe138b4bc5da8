"""`ledger fleet label`: of one database, or of all that a selection means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import YesOption, announce, confirm
from ledger.cli.app.options import ReasonOptions, SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.fleet.apply import facts_of, show_changes
from ledger.domain.wording import number_of
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from ledger.service.request_context import RequestContext


def register(fleet_app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        fleet_app,
        "label",
        examples=(
            "ledger fleet label acme tier=gold region=eu",
            "ledger fleet label acme tier-",
            "ledger fleet label -s 'region=eu' tier=gold old-",
        ),
        needs_arguments=True,
    )(label)


async def label(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[DATABASE] NAME=VALUE...",
            help="Labels to set; NAME- takes one away. No id with --select.",
            autocompletion=completion.label_words,
        ),
    ],
    why: ReasonOptions,
    select: SelectOption = "",
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            metavar="NAME",
            help="Label to take away, like NAME-.",
            autocompletion=completion.label_names,
        ),
    ] = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Set and take away labels of a database, or of all selected ones; other labels stay.

    Of several databases what changes is shown, and asked about; one is relabelled at once.
    """
    from ledger.cli.fleet.file import changed_labels

    database, said = ("", words) if select else (words[0], words[1:])
    if select and "=" not in words[0] and not _takes_away(words[0]):
        raise WrongArgument(
            f"{words[0]!r} is no label, and a database has no place beside --select; "
            "write NAME=VALUE, or leave one of both out"
        )
    removed = [*(remove or ()), *(word[:-1] for word in said if _takes_away(word))]
    wanted = changed_labels([word for word in said if not _takes_away(word)], removed)
    if both := sorted(wanted.keys() & set(removed)):
        raise WrongArgument(f"{both[0]} is to be set and taken away; say one of both")
    asked = why.asked()
    if select:
        await _of_several(ctx, select, wanted, removed, asked, yes=yes, output=Output(output))
        return
    async with opened(ctx) as session:
        await session.ledger.fleet.check_label(database, wanted, removed)
        announce(session.ledger.name, [f"relabel 1 database, {database}"])
        changed = await session.ledger.fleet.label(database, wanted, removed, asked)
    what = "relabelled" if changed else "labelled like this already, as it was"
    fields = {"database": database, "changed": changed}
    Output(output).record("fleet.label", fields, f"{database}: {what}")


async def _of_several(
    ctx: typer.Context,
    select: str,
    wanted: Mapping[str, str],
    removed: Sequence[str],
    asked: RequestContext,
    *,
    yes: bool,
    output: Output,
) -> None:
    """Show what changes, ask, record it as it was shown."""
    alike = "All of them are labelled like this already."
    async with opened(ctx) as session:
        fleet = session.ledger.fleet
        changes = await fleet.compare_labels(select, wanted, removed)
        if output.for_people:
            show_changes("fleet.label", changes, output, alike)
        if changes.changes:
            confirm(session.ledger.name, facts_of(changes), yes=yes)
            await fleet.label_all(changes, select, wanted, removed, asked)
    if output.for_people:
        done = number_of(len(changes.changes), "database")
        say(f"{done} relabelled, {len(changes.unchanged):,} as they were")
    else:
        show_changes("fleet.label", changes, output, alike)


def _takes_away(word: str) -> bool:
    return word.endswith("-") and "=" not in word
