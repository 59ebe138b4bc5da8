"""`ledger fleet diff` and `apply`: the fleet as a file describes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.help_page import WHICH_DATABASES
from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.fleet.options import EXAMPLE_FILE
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.domain.fleet_changes import FleetChange, FleetChanges

COLUMNS = ("change", "database", "what")
NAMED = 5
"""So many databases are named in a question; the list before it has more of them."""
FileOption = Annotated[
    Path,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="The databases as they are to be: YAML.",
        rich_help_panel=WHICH_DATABASES,
    ),
]
PruneOption = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Retire databases that are not in the file, for good.",
        rich_help_panel=WHICH_DATABASES,
    ),
]


def register(fleet_app: typer.Typer) -> None:
    """Add the commands of this module."""
    command(
        fleet_app,
        "diff",
        examples=("ledger fleet diff -f fleet.yaml", "ledger fleet diff -f fleet.yaml --prune"),
        needs_arguments=True,
    )(diff)
    command(
        fleet_app,
        "apply",
        examples=(
            "ledger fleet apply -f fleet.yaml --reason 'first customers'",
            "",
            "A file:",
            *EXAMPLE_FILE.splitlines(),
        ),
        needs_arguments=True,
    )(apply)


async def diff(
    ctx: typer.Context,
    file: FileOption,
    prune: PruneOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show what `apply` would record: which databases join, change and leave; nothing is changed.

    Of a change each field is shown with its value before and after.
    """
    from ledger.cli.fleet.file import read_fleet

    async with opened(ctx) as session:
        entries = read_fleet(file, session.settings.pool)
        changes = await session.ledger.fleet.compare(entries, prune=prune)
    show_changes("fleet.diff", changes, Output(output), f"What {file} describes is so already.")
    _tell_totals(changes, Output(output))


async def apply(
    ctx: typer.Context,
    file: FileOption,
    why: ReasonOptions,
    prune: PruneOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Make the fleet as a file describes it: register, change, and with --prune retire databases.

    The file has a part `databases` and, if wanted, a part `pools` with what all databases of a
    pool have in common. What changes is shown first and recorded as it was shown; what is alike
    is left alone. The journal of a database that is reached otherwise is read again.
    """
    from ledger.cli.fleet.file import read_fleet

    form = Output(output)
    async with opened(ctx) as session:
        entries = read_fleet(file, session.settings.pool)
        fleet = session.ledger.fleet
        changes = await fleet.compare(entries, prune=prune)
        if form.for_people:
            show_changes("fleet.apply", changes, form, f"What {file} describes is so already.")
        if changes.changes:
            confirm(session.ledger.name, facts_of(changes), yes=yes)
            asked = why.asked()
            if changes.moved and not asked.reason:
                # What is forgotten of a database that moved is forgotten for a reason.
                asked = replace(asked, reason=f"as {file.name} says")
            await fleet.apply(changes, entries, asked, prune=prune)
    if not form.for_people:
        show_changes("fleet.apply", changes, form, "")
    _tell_totals(changes, form)
    if form.for_people and changes.changes:
        say("Recorded; `ledger fleet check` looks at the databases.")


def show_changes(kind: str, changes: FleetChanges, output: Output, empty: str) -> None:
    """Write each change as data, with how many there are of each kind.

    Of more than a person reads some of every kind are shown, those that leave first.
    """
    from ledger.domain.fleet_changes import ChangeKind

    limit, shown = output.at_most(None), changes.changes
    if limit is not None and len(shown) > limit:
        kinds = [found for kind in reversed(ChangeKind) if (found := changes.of(kind))]
        shown = tuple(one for found in kinds for one in found[: limit // len(kinds)])
    output.rows(
        kind,
        [_row(one, output) for one in shown],
        COLUMNS,
        empty=empty,
        **_totals(changes),
        absent=list(changes.absent),
    )
    output.tell_left_out(len(shown), len(changes.changes))


def facts_of(changes: FleetChanges) -> list[str]:
    """What is asked about: how many databases of which kind, and the first of them."""
    from ledger.domain.fleet_changes import ChangeKind

    words = {
        ChangeKind.ADD: "register {}: {}",
        ChangeKind.CHANGE: "change {}: {}",
        ChangeKind.REMOVE: "retire {} for good: {}",
    }
    facts = []
    for kind, sentence in words.items():
        if found := [one.database for one in changes.of(kind)]:
            facts.append(sentence.format(number_of(len(found), "database"), _named(found)))
    if moved := changes.moved:
        facts.append(
            f"forget what is known of {number_of(len(moved), 'database')} reached otherwise, and "
            f"read the journal again: {_named(moved)}"
        )
    return facts


def _named(databases: list[str]) -> str:
    more = len(databases) - NAMED
    return ", ".join(databases[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _totals(changes: FleetChanges) -> dict[str, Any]:
    from ledger.domain.fleet_changes import ChangeKind

    return {
        "added": len(changes.of(ChangeKind.ADD)),
        "changed": len(changes.of(ChangeKind.CHANGE)),
        "removed": len(changes.of(ChangeKind.REMOVE)),
        "unchanged": len(changes.unchanged),
    }


def _tell_totals(changes: FleetChanges, output: Output) -> None:
    if not output.for_people:
        return
    say(", ".join(f"{number:,} {word}" for word, number in _totals(changes).items()))
    if changes.absent:
        absent = list(changes.absent)
        say(
            f"{number_of(len(absent), 'database')} of the fleet not in the file: {_named(absent)}; "
            "--prune retires what is not in the file"
        )


def _row(change: FleetChange, output: Output) -> dict[str, Any]:
    row: dict[str, Any] = {"change": change.kind.value, "database": change.database}
    if output.for_people:
        return row | {"what": _words(change)}
    fields = {name: {"old": old, "new": new} for name, (old, new) in change.fields.items()}
    return row | {"fields": fields}


def _words(change: FleetChange) -> str:
    from ledger.domain.fleet_changes import ChangeKind

    match change.kind:
        case ChangeKind.ADD:
            return ", ".join(f"{name} {new}" for name, (_, new) in change.fields.items())
        case ChangeKind.REMOVE:
            return "retired for good; its history stays"
        case ChangeKind.CHANGE:
            return ", ".join(
                f"{name}: {old or 'none'} -> {new or 'none'}"
                for name, (old, new) in change.fields.items()
            )
