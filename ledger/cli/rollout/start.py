"""The commands that plan and start rollouts over the fleet or a selection: plan, up, down."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ledger.cli.app import completion
from ledger.cli.app.argument_check import refuse_beside, refuse_without
from ledger.cli.app.command import command, flags_of, opened
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import HOW_FAR, OUTPUT, WHICH_MIGRATIONS
from ledger.cli.app.options import (
    MIGRATIONS,
    AllOption,
    FolderOption,
    ReasonOptions,
    RolloutOptions,
    WaitOptions,
)
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.scratch import ScratchOptions
from ledger.cli.app.trace import TraceOption
from ledger.cli.lint.commands import options_of
from ledger.cli.rollout.plan import facts, plan_request, show_plan
from ledger.cli.rollout.trace import traced_plan
from ledger.cli.rollout.watch import start_and_stay
from ledger.errors import WrongArgument
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ledger.cli.app.trace import Traced
    from ledger.service.outlook import PlanOutlook
    from ledger.service.plan_texts import StepText
    from ledger.service.plans import Plan
    from migrations.lint.finding import LargestTable

ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="VERSION",
        help="Go up to this version only. Default: all.",
        autocompletion=completion.versions,
        rich_help_panel=HOW_FAR,
    ),
]
BundleOption = Annotated[
    str | None,
    typer.Option(
        "--bundle",
        metavar="DIGEST",
        help="A registered bundle instead of a folder.",
        autocompletion=completion.bundles,
        rich_help_panel=WHICH_MIGRATIONS,
    ),
]
PlanOnlyOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Show the plan and end: nothing is recorded, no database is touched.",
        rich_help_panel=OUTPUT,
    ),
]
SqlOption = Annotated[
    bool,
    typer.Option(
        "--sql",
        help="Show the SQL that would run, as the first database gets it.",
        rich_help_panel=OUTPUT,
    ),
]


class PlanFormat(StrEnum):
    """How a plan is written to stdout."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    MARKDOWN = "markdown"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    panel = "Every day"
    command(
        app,
        "plan",
        panel=panel,
        examples=(
            "ledger plan",
            "ledger plan --select tier=gold --waves 1,25%,rest",
            "ledger plan --down 1",
            "ledger plan --sql",
            "ledger plan -o markdown",
            "ledger plan --trace --schema-from database:acme",
        ),
    )(plan)
    command(
        app,
        "up",
        panel=panel,
        examples=(
            "ledger up",
            "ledger up --select tier=gold --reason 'spring release' --yes",
            "ledger up --to 20260401120000 --budget 2%",
            "ledger up --dry-run",
        ),
    )(up)
    command(app, "down", panel=panel, examples=("ledger down", "ledger down 2 --select id=acme"))(
        down
    )


async def plan(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    scratch: ScratchOptions,
    folder: FolderOption = MIGRATIONS,
    bundle: BundleOption = None,
    to: ToOption = None,
    down: Annotated[
        int,
        typer.Option(
            "--down",
            metavar="N",
            min=0,
            help="Plan taking back N migrations.",
            rich_help_panel=HOW_FAR,
        ),
    ] = 0,
    every: AllOption = False,
    sql: SqlOption = False,
    trace: TraceOption = False,
    output: Annotated[
        PlanFormat,
        typer.Option(
            "--output",
            "-o",
            help="table for people; json, ndjson, csv; markdown for a pull request.",
            show_default=True,
            rich_help_panel=OUTPUT,
        ),
    ] = PlanFormat.TABLE,
) -> None:
    """Show what `up` (or `down`) would do: which databases, in which waves, which migrations.

    Each migration with what it does and locks, its risk and why, and how long it took elsewhere, as
    far as its text and the log tell. Nothing is recorded and no database is touched. With --trace
    each statement runs in a scratch database that is dropped afterwards, and agents say how large
    the tables are that it reads through or writes anew; that look is recorded, as `ledger check`
    is.
    """
    if trace and down:
        raise WrongArgument("--trace is for going up; leave --down out")
    if not trace:
        refuse_without(ctx, "--trace", "--scratch", "--schema-from")
    wanted = scratch if trace else None
    if output is PlanFormat.MARKDOWN:
        from ledger.cli.rollout.markdown import page, refusals_told

        refuse_beside(ctx, "-o markdown", "--all")
        name = _called(ctx, folder, travel.select, down)
        with refusals_told(name):
            drawn = await _drawn(ctx, travel, why, folder, bundle, to, down, wanted, sql=True)
            typer.echo(page(drawn.plan, drawn.outlook, drawn.texts or (), name), nl=False)
        return
    drawn = await _drawn(ctx, travel, why, folder, bundle, to, down, wanted, sql=sql)
    show_plan(
        drawn.plan,
        Output(OutputFormat(output)),
        drawn.texts,
        every=every,
        outlook=drawn.outlook,
        traced=drawn.traced,
    )


class _Drawn(NamedTuple):
    """A plan, what it would mean, and, if they are wanted, its SQL and what a trace saw."""

    plan: Plan
    outlook: PlanOutlook
    texts: Sequence[StepText] | None
    traced: Traced | None


async def _drawn(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    folder: Path,
    bundle: str | None,
    to: str | None,
    down: int,
    scratch: ScratchOptions | None,
    *,
    sql: bool,
) -> _Drawn:
    from ledger.service.outlook import PlanEvidence

    async with opened(ctx) as session:
        request = plan_request(
            travel,
            session.settings,
            why,
            direction="down" if down else "up",
            folder=folder,
            bundle=bundle,
            to_version=to,
            steps_down=down or 1,
        )
        from ledger.service.plan_texts import texts_of

        ledger = session.ledger
        preview = await ledger.rollouts.plan(request)
        texts = await texts_of(preview, ledger.bundles.text) if sql else None
        # It has agents say how large tables are, which the outlook then knows.
        traced = await traced_plan(ctx, session, preview, scratch, why) if scratch else None

        async def sizes_of(
            names: Collection[str], databases: Sequence[str], limit_mb: float
        ) -> dict[str, LargestTable]:
            return await ledger.checks.table_sizes(names, databases, limit_mb)

        outlook = await ledger.rollouts.outlook(
            preview,
            sizes_of,
            options_of(session.settings),
            SYSTEM_CLOCK.now(),
            replace(
                traced.evidence() if traced else PlanEvidence(),
                squawk=session.settings.lint.squawk,
            ),
        )
    return _Drawn(preview, outlook, texts, traced)


def _called(ctx: typer.Context, folder: Path, select: str, down: int) -> str:
    """What tells this plan's page from those of other ledgers, folders and selections."""
    parts = [flags_of(ctx).load().settings.name]
    parts += [str(folder)] if folder != MIGRATIONS else []
    parts += [select] if select else []
    parts += [f"down {down}"] if down else []
    return ", ".join(parts)


async def up(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    waiting: WaitOptions,
    folder: FolderOption = MIGRATIONS,
    bundle: BundleOption = None,
    to: ToOption = None,
    dry_run: PlanOnlyOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Bring databases up: roll out every migration of the folder that they do not have yet.

    Goes in waves and stops itself when more databases fail than the budget allows. Waits and shows
    progress; Ctrl-C detaches and never aborts.
    """
    return await travel_with(
        ctx,
        travel,
        why,
        waiting,
        Path(folder),
        bundle,
        to=to,
        dry_run=dry_run,
        yes=yes,
        output=Output(output),
    )


async def down(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    waiting: WaitOptions,
    steps: Annotated[
        int, typer.Argument(metavar="[N]", min=1, help="How many migrations to take back.")
    ] = 1,
    folder: FolderOption = MIGRATIONS,
    bundle: BundleOption = None,
    dry_run: PlanOnlyOption = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Take the newest N migrations of the folder back, wherever they are applied.

    Asks for the name of the rollout that does it. To take back one rollout exactly where it ran,
    use `ledger rollout rollback`.
    """
    async with opened(ctx) as session:
        request = plan_request(
            travel,
            session.settings,
            why,
            direction="down",
            folder=folder,
            bundle=bundle,
            steps_down=steps,
        )
        preview = await session.ledger.rollouts.plan(request)
        if not preview.databases:
            say("No selected database has any of these migrations; nothing to take back.")
        if dry_run or not preview.databases:
            return _only_shown(preview, Output(output))
        known = facts(preview, await session.ledger.rollouts.lost(preview))
        known.append(f"as rollout {preview.rollout}")
        confirm(session.ledger.name, known, yes=yes, typed=preview.rollout)
        return await start_and_stay(session, preview, waiting, Output(output))


async def travel_with(
    ctx: typer.Context,
    travel: RolloutOptions,
    why: ReasonOptions,
    waiting: WaitOptions,
    folder: Path,
    bundle: str | None,
    *,
    to: str | None,
    dry_run: bool,
    yes: bool,
    output: Output,
) -> ExitCode:
    """Plan, ask, start, stay: what `up` and `rollout start` do; of a dry run only the first."""
    async with opened(ctx) as session:
        request = plan_request(
            travel,
            session.settings,
            why,
            direction="up",
            folder=folder,
            bundle=bundle,
            to_version=to,
        )
        preview = await session.ledger.rollouts.plan(request)
        if not preview.databases:
            say("Every selected database has all of these migrations.")
        await session.ledger.rollouts.refuse_unrehearsed(preview)
        if dry_run or not preview.databases:
            return _only_shown(preview, output)
        confirm(session.ledger.name, facts(preview), yes=yes)
        return await start_and_stay(session, preview, waiting, output)


def _only_shown(preview: Plan, output: Output) -> ExitCode:
    """Show what nothing follows from."""
    show_plan(preview, output)
    if preview.databases:
        say("A dry run: nothing was recorded, and no database was touched.")
    return ExitCode.OK
