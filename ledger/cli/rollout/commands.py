"""`ledger rollout`: one rollout from its start to its end."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import Session, command, opened, tell_behind
from ledger.cli.app.confirm import UnaskedYesOption, YesOption, announce, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import WHICH_DATABASES, CommandGroup
from ledger.cli.app.options import (
    MIGRATIONS,
    AllOption,
    FolderOption,
    PaceOptions,
    PageOption,
    ReasonOptions,
    RolloutArgument,
    RolloutOptions,
    SelectOption,
    WaitOptions,
)
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.watch import WatchOptions, shown_again
from ledger.cli.rollout.plan import facts, rollback_options
from ledger.cli.rollout.questions import abort_facts, held_facts, resume_facts, retry_facts
from ledger.cli.rollout.start import BundleOption, PlanOnlyOption, ToOption, travel_with
from ledger.cli.rollout.status import FAILED, LISTED, SHOWN, listed, show_groups, show_rollout
from ledger.cli.rollout.watch import ending, is_over, stay
from ledger.domain.tally import STATES, state_words
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.service.status import RolloutStatus

rollout_app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Rollouts: start, pause, resume, abort, roll back, retry, look, watch.",
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(rollout_app, name="rollout", rich_help_panel="Fleet and rollouts")


@command(
    rollout_app,
    "start",
    examples=(
        "ledger rollout start --waves 1,10%,rest --budget 2% --when-spent rollback",
        "ledger rollout start --bundle 3f9a2c --select tier=gold --ticket OPS-17 --yes",
    ),
)
async def start(
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
    """Plan a rollout, start it, and stay with it; `ledger up` is the short form."""
    return await travel_with(
        ctx,
        travel,
        why,
        waiting,
        folder,
        bundle,
        to=to,
        dry_run=dry_run,
        yes=yes,
        output=Output(output),
    )


@command(rollout_app, "pause", examples=("ledger rollout pause --reason 'high load'",))
async def pause(
    ctx: typer.Context,
    why: ReasonOptions,
    rollout: RolloutArgument = None,
    yes: UnaskedYesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Order nothing new; what runs finishes."""
    async with opened(ctx) as session:
        chosen = await chosen_rollout(session, rollout)
        await session.ledger.rollouts.pause(chosen, why.asked(), dry=True)
        announce(session.ledger.name, [f"pause rollout {chosen}"])
        await session.ledger.rollouts.pause(chosen, why.asked())
        await _told(session, chosen, output)


@command(
    rollout_app,
    "resume",
    examples=("ledger rollout resume", "ledger rollout resume 7c1e --no-wait"),
)
async def resume(
    ctx: typer.Context,
    why: ReasonOptions,
    waiting: WaitOptions,
    rollout: RolloutArgument = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Go on with a paused or halted rollout; failures known by now no longer count."""

    async with opened(ctx) as session:
        rollouts, chosen = session.ledger.rollouts, await chosen_rollout(session, rollout)
        await rollouts.resume(chosen, why.asked(), dry=True)
        confirm(session.ledger.name, await resume_facts(session, chosen), yes=yes)
        known = await rollouts.failures(chosen)
        await rollouts.resume(chosen, why.asked())
        say(f"asked to resume rollout {chosen}")
        return await stay(session, chosen, waiting, Output(output), known=known)


@command(
    rollout_app,
    "abort",
    examples=("ledger rollout abort --reason 'wrong release'", "ledger rollout abort --cancel"),
)
async def abort(
    ctx: typer.Context,
    why: ReasonOptions,
    rollout: RolloutArgument = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel what runs, too; else that finishes.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """End a rollout where it stands; nothing is taken back."""
    async with opened(ctx) as session:
        chosen = await chosen_rollout(session, rollout)
        await session.ledger.rollouts.abort(chosen, why.asked(), cancel=cancel, dry=True)
        facts = await abort_facts(session, chosen, cancel=cancel)
        confirm(session.ledger.name, facts, yes=yes)
        await session.ledger.rollouts.abort(chosen, why.asked(), cancel=cancel)
        await _told(session, chosen, output)


@command(
    rollout_app,
    "rollback",
    examples=(
        "ledger rollout rollback --reason 'errors at login'",
        "ledger rollout rollback 7c1e --waves 1,rest --budget 0",
    ),
)
async def rollback(
    ctx: typer.Context,
    pace: PaceOptions,
    why: ReasonOptions,
    waiting: WaitOptions,
    rollout: RolloutArgument = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Take a rollout back exactly where it ran, newest first, by a rollout of its own.

    Unless told otherwise it goes as that rollout went, but in one wave, and no failure stops it. A
    rollout that is still running is paused, shown, and ended when you agree. Asks for the name of
    the rollout that is taken back.
    """
    async with opened(ctx) as session:
        rollouts = session.ledger.rollouts
        chosen = await chosen_rollout(session, rollout)
        course = await rollouts.course(chosen)
        options = rollback_options(pace, course.plan)
        preview = await rollouts.plan_rollback(chosen, why.asked(), options)
        if course.status == "running":
            await _pause_first(session, chosen, why)
            preview = await rollouts.plan_rollback(chosen, why.asked(), options)
        known = facts(preview, await rollouts.lost(preview))
        known[1:1] = held_facts(await rollouts.listed(chosen), len(preview.databases))
        confirm(session.ledger.name, known, yes=yes, typed=chosen)
        undo = await rollouts.start(preview)
        say(f"rollout {undo} started; it takes {chosen} back")
        return await stay(session, undo, waiting, Output(output))


async def _pause_first(session: Session, rollout: str, why: ReasonOptions) -> None:
    """Let a running rollout order nothing more, so that what is shown is where it ran."""
    from ledger.domain.refusals import WrongStatus

    with suppress(WrongStatus):
        await session.ledger.rollouts.pause(rollout, why.asked())
        say(
            f"rollout {rollout} is paused, so that it goes nowhere else meanwhile; "
            f"`ledger rollout resume {rollout}` lets it go on instead"
        )


@command(
    rollout_app,
    "retry",
    examples=("ledger rollout retry", "ledger rollout retry 7c1e acme bolt --reason 'data fixed'"),
)
async def retry(
    ctx: typer.Context,
    why: ReasonOptions,
    waiting: WaitOptions,
    rollout: RolloutArgument = None,
    databases: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATABASE]...",
            help="Default: all that failed or are unknown.",
            autocompletion=completion.databases,
        ),
    ] = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Try failed databases of a rollout again; no other failure is forgiven by that."""
    async with opened(ctx) as session:
        rollouts, chosen = session.ledger.rollouts, await chosen_rollout(session, rollout)
        tried = await rollouts.retry(chosen, databases or (), why.asked(), dry=True)
        confirm(session.ledger.name, await retry_facts(session, chosen, tried), yes=yes)
        known = await rollouts.failures(chosen)
        await rollouts.retry(chosen, tried, why.asked())
        say(f"asked to retry {number_of(len(tried), 'database')} of rollout {chosen}")
        return await stay(session, chosen, waiting, Output(output), known=known)


@command(
    rollout_app,
    "status",
    examples=(
        "ledger rollout status",
        "ledger rollout status 7c1e --failed",
        "ledger rollout status 7c1e --select tier=gold",
        "ledger rollout status -w",
    ),
)
async def status(
    ctx: typer.Context,
    watching: WatchOptions,
    rollout: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROLLOUT]",
            help="Its id. Default: the only unfinished one, else the last one.",
            autocompletion=completion.rollouts,
        ),
    ] = None,
    every: AllOption = False,
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="List those that failed, are blocked or unknown.",
            rich_help_panel=WHICH_DATABASES,
        ),
    ] = False,
    select: SelectOption = "",
    limit: PageOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Show where a rollout is, and for each unfinished database what it waits for.

    Of more than 50 databases, problems come first, in groups of one cause, and the rest is counted;
    `--failed`, `--all` and `--select` list them one by one.

    With --watch until the rollout ends, or stands still until somebody speaks; then the exit code
    says how it ended. Only a look: in one-process mode `ledger rollout watch` carries the work on.
    """
    async with opened(ctx) as session:
        rollouts, form = session.ledger.rollouts, Output(output)
        chosen = await (rollouts.latest() if rollout is None else rollouts.find(rollout))
        lists = bool(every or failed or select or (limit and form.for_people))

        async def look() -> RolloutStatus:
            if lists:
                states = FAILED if failed else STATES
                return await rollouts.listing(chosen, states, select=select, limit=limit)
            if not form.for_people:
                return await rollouts.status(chosen, limit)
            if (await rollouts.course(chosen)).total > SHOWN:
                return await rollouts.summary(chosen)
            return await rollouts.status(chosen, SHOWN)

        async def show(found: RolloutStatus) -> None:
            outlook = await session.ledger.performance.outlook(found)
            if found.groups is not None and form.for_people and not lists:
                show_groups(found, form, outlook)
                return
            empty = "No database needs attention."
            if select and not found.databases and not found.more:
                part = failed and (await rollouts.listing(chosen, select=select, limit=1)).databases
                empty = "None of the selected databases " + (
                    "failed, is blocked or unknown." if part else f"is part of rollout {chosen}."
                )
            show_rollout(found, form, every=lists, empty=empty, outlook=outlook)

        last = await shown_again(look, show, watching, form, is_last=is_over)
    return ending(last) if watching.watch and is_over(last) else ExitCode.OK


@command(rollout_app, "list", examples=("ledger rollout list", "ledger rollout list --limit 500"))
async def list_(
    ctx: typer.Context,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            help="At most so many rollouts. Default: a page for people, all for programs.",
        ),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """List rollouts, newest first."""
    form = Output(output)
    most = form.at_most(limit)
    async with opened(ctx) as session:
        # One more than are shown tells whether there are more.
        found = await session.ledger.rollouts.list(limit=None if most is None else most + 1)
        askers = await session.ledger.history.askers([one.rollout for one in found])
        await tell_behind(session)
    shown = found[:most]
    form.rows(
        "rollout.list",
        [listed(one, askers.get(one.rollout), for_people=form.for_people) for one in shown],
        LISTED,
        empty="There was no rollout yet; `ledger up` starts one.",
    )
    if len(found) > len(shown):
        say(f"The newest {len(shown):,} are shown; `--limit` shows more, `-o json` all")


@command(rollout_app, "watch", examples=("ledger rollout watch", "ledger rollout watch 7c1e"))
async def watch(
    ctx: typer.Context,
    rollout: RolloutArgument = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", min=0.0, help="Stop after this long."),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Stay with a rollout until it ends; in one-process mode, carry its work on."""
    async with opened(ctx) as session:
        chosen = await chosen_rollout(session, rollout)
        waiting = WaitOptions(wait=True, timeout=timeout)
        return await stay(session, chosen, waiting, Output(output))


async def chosen_rollout(session: Session, rollout: str | None) -> str:
    """The rollout that is named, by a beginning of its id, or the only unfinished one."""
    if rollout is None:
        current: str = await session.ledger.rollouts.current()
        return current
    found: str = await session.ledger.rollouts.find(rollout)
    return found


async def _told(session: Session, rollout: str, output: OutputFormat) -> None:
    """Say what it is now; what only the JSON form holds is read for that alone."""
    course = await session.ledger.rollouts.course(rollout)
    text = f"rollout {rollout} is {state_words(course.status)}"
    if output is OutputFormat.TABLE:
        Output(output).record("rollout.status", {}, text)
    else:
        status = await session.ledger.rollouts.status(rollout, limit=0)
        Output(output).record("rollout.status", status.document(), text)
