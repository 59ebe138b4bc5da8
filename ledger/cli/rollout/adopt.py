"""`ledger adopt`, `baseline` and `repair`: coming from another tool, and accepting what differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app import completion
from ledger.cli.app.adoption_options import DirectoryArgument, Source, ThroughOption
from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import OUTPUT
from ledger.cli.app.options import (
    MIGRATIONS,
    FormatOption,
    ReasonOptions,
    RolloutOptions,
    WaitOptions,
)
from ledger.cli.app.output import Output, OutputFormat, OutputOption
from ledger.cli.rollout.plan import plan_request, shown
from ledger.cli.rollout.watch import start_and_stay
from ledger.domain.wording import number_of
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from ledger.service.plans import Plan
    from migrations.model.attempt import Adoption


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Fleet and rollouts"
    command(
        app,
        "adopt",
        panel=panel,
        examples=(
            "ledger adopt db/migrations --dry-run",
            "ledger adopt db/migrations --select tier=gold --from goose --waves 1,10%,rest",
        ),
    )(adopt)
    command(
        app,
        "baseline",
        panel=panel,
        examples=("ledger baseline --through 20260401120000 --reason 'schema made by hand'",),
    )(baseline)
    command(
        app,
        "repair",
        panel=panel,
        examples=(
            "ledger repair 20260401120000 --accept-changed --reason 'only a comment changed'",
            "ledger repair 20250101000000 --gone --reason 'squashed into the baseline'",
        ),
        needs_arguments=True,
    )(repair)


async def adopt(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    waiting: WaitOptions,
    source: Source,
    directory: DirectoryArgument = MIGRATIONS,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Agents look, read-only; show the match per database.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Take over what another tool has applied, across the fleet, without running anything.

    A rollout like any other: waves, budget, halt. Each database's agent reads the other tool's
    table, matches it with the folder, and writes the journal. Rolling it back takes those entries
    out of the journals again.
    """
    from migrations.model.attempt import Adoption

    refuse_unknown(source.from_)
    source.refuse_nameless()
    adoption = Adoption(
        source=source.from_,
        through=source.through,
        table=source.table,
        accept_missing=source.accept_missing,
    )
    if dry_run:
        from ledger.cli.rollout.adoption_preview import look

        return await look(ctx, travel, why, adoption, directory, Output(output))
    return await _travel(
        ctx, travel, why, waiting, adoption, directory, yes=yes, output=Output(output)
    )


async def baseline(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    waiting: WaitOptions,
    through: ThroughOption = "",
    directory: DirectoryArgument = MIGRATIONS,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Mark everything up to a version as applied, in databases without any history.

    Nothing is run, and nobody checks: you say that the schema is there. Refused where a database
    has more, or another tool's history.
    """
    from migrations.model.attempt import Adoption

    if not through:
        raise WrongArgument("say up to which migration with --through VERSION")
    if not (why.reason or "").strip():
        raise WrongArgument("say why with --reason; it is kept in the record")
    adoption = Adoption(source="baseline", through=through)
    return await _travel(
        ctx, travel, why, waiting, adoption, directory, yes=yes, output=Output(output)
    )


async def repair(
    ctx: typer.Context,
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION", help="Which migration.", autocompletion=completion.versions
        ),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")],
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="Take the text that the file has now.")
    ] = False,
    gone: Annotated[
        bool, typer.Option("--gone", help="Accept that its file is not in the folder any more.")
    ] = False,
    ticket: Annotated[
        str | None, typer.Option("--ticket", help="Ticket or change number; kept in the record.")
    ] = None,
    directory: DirectoryArgument = MIGRATIONS,
    format: FormatOption = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Accept that the file of a known migration has changed, or is gone.

    Nothing is run by it. A changed text is then registered with the folder, and databases that had
    the old one note in their journals, with your reason, that it stands for the new one.
    """
    if accept_changed is gone:
        raise WrongArgument("say what to accept: --accept-changed or --gone")
    async with opened(ctx) as session:
        bundles, asked = session.ledger.bundles, ReasonOptions(reason, ticket).asked()
        accept = bundles.accept_changed if accept_changed else bundles.accept_gone
        await accept(directory, version, asked, format, dry=True)
        what = "stands for the one that was applied" if accept_changed else "is in no folder"
        confirm(session.ledger.name, [f"record that the file of {version} {what}"], yes=yes)
        await accept(directory, version, asked, format)
    Output(output).record(
        "repair",
        {"version": version, "accepted": "changed" if accept_changed else "gone"},
        f"{version}: recorded; `ledger plan` shows what follows",
    )


def refuse_unknown(tool: str) -> None:
    """Raise `UnknownTool` when no tool of this name keeps a history that can be adopted."""
    from ledger.domain.refusals import UnknownTool
    from migrations.model.foreign_history import Tool

    known = ("auto", *(one.value for one in Tool))
    if tool not in known:
        raise UnknownTool(tool, known)


async def _travel(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    waiting: WaitOptions,
    adoption: Adoption,
    directory: Path,
    *,
    yes: bool,
    output: Output,
) -> ExitCode:
    """Plan, ask, start, stay."""
    async with opened(ctx) as session:
        request = plan_request(
            travel,
            session.settings,
            why,
            direction="adopt",
            folder=directory,
            adoption=adoption,
        )
        preview = await session.ledger.rollouts.plan(request)
        confirm(session.ledger.name, _facts(preview, adoption), yes=yes)
        return await start_and_stay(session, preview, waiting, output)


def _facts(preview: Plan, adoption: Adoption) -> list[str]:
    """What a person must know before agreeing."""
    whose = {
        "baseline": f"baseline up to {adoption.through}",
        "auto": "adopt the history of another tool",
    }.get(adoption.source, f"adopt the history of {adoption.source}")
    sizes = ", ".join(str(len(wave)) for wave in preview.waves)
    return [
        f"{whose} on {number_of(len(preview.databases), 'database')} "
        f"in {number_of(len(preview.waves), 'wave')} ({sizes})",
        f"from a folder of {number_of(len(preview.steps), 'migration')}; none of them runs",
        f"plan {shown(preview.digest)}",
    ]
