"""`ledger rollout`: one rollout from its start to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.command import Session, command, opened, tell_behind
from ledger.cli.app.confirm import UnaskedYesOption, YesOption, announce, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.options import (
    MIGRATIONS,
    FolderOption,
    PaceOptions,
    ReasonOptions,
    RolloutArgument,
    RolloutOptions,
    WaitOptions,
)
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.watching import WatchOptions, shown_again
from ledger.cli.rollout.plan import facts, rollback_options
from ledger.cli.rollout.progress import words
from ledger.cli.rollout.start import BundleOption, PlanOnlyOption, ToOption, travel_with
from ledger.cli.rollout.status import LISTED, SHOWN, listed, show_rollout
from ledger.cli.rollout.watch import ending, is_over, stay

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

    async def ask(session: Session, chosen: str, dry: bool) -> None:
        await session.ledger.rollouts.resume(chosen, why.asked(), dry=dry)

    return await _change(ctx, rollout, "resume", ask, waiting, output, yes=yes)


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
        await _confirm(session, chosen, "abort", yes=yes)
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
    rollout that is still running is paused, shown, and ended when you agree. Asks for the ledger's
    name.
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
        confirm(session.ledger.name, facts(preview), yes=yes, typed=True)
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
        typer.Argument(metavar="[DATABASE]...", help="Default: all that failed or are unknown."),
    ] = None,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Try failed databases of a rollout again."""

    async def ask(session: Session, chosen: str, dry: bool) -> None:
        await session.ledger.rollouts.retry(chosen, databases or (), why.asked(), dry=dry)

    return await _change(ctx, rollout, "retry", ask, waiting, output, yes=yes)


@command(
    rollout_app,
    "status",
    examples=("ledger rollout status", "ledger rollout status 7c1e", "ledger rollout status -w"),
)
async def status(
    ctx: typer.Context,
    watching: WatchOptions,
    rollout: RolloutArgument = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Show where a rollout is, and for each unfinished database what it waits for.

    With --watch until the rollout ends, or stands still until somebody speaks; then the exit code
    says how it ended. Only a look: in one-process mode `ledger rollout watch` carries the work on.
    """
    async with opened(ctx) as session:
        chosen = await chosen_rollout(session, rollout)
        form, rollouts = Output(output), session.ledger.rollouts
        limit = SHOWN if form.for_people else None

        async def show(found: RolloutStatus) -> None:
            show_rollout(found, form)

        last = await shown_again(
            lambda: rollouts.status(chosen, limit), show, watching, form, is_last=is_over
        )
    return ending(last) if watching.watch and is_over(last) else ExitCode.OK


@command(rollout_app, "list", examples=("ledger rollout list",))
async def list_(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List all rollouts, newest first."""
    async with opened(ctx) as session:
        found = await session.ledger.rollouts.list()
        await tell_behind(session)
    Output(output).rows(
        "rollout.list",
        [listed(one) for one in found],
        LISTED,
        empty="There was no rollout yet; `ledger up` starts one.",
    )


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


async def _confirm(session: Session, rollout: str, verb: str, *, yes: bool) -> None:
    from ledger.domain.states import DatabaseStatus
    from ledger.domain.wording import number_of

    course = await session.ledger.rollouts.course(rollout)
    row = await session.ledger.rollouts.listed(rollout)
    known = [(state, row.count(state)) for state in DatabaseStatus]
    counts = ", ".join(f"{count} {words(state, row.mode)}" for state, count in known if count)
    known_facts = [
        f"{verb} rollout {rollout}, which is {words(course.status)}",
        f"{number_of(row.databases, 'database')} in {number_of(row.waves, 'wave')}: {counts}",
    ]
    confirm(session.ledger.name, known_facts, yes=yes)


async def _change(
    ctx: typer.Context,
    rollout: str | None,
    verb: str,
    ask: Callable[[Session, str, bool], Awaitable[None]],
    waiting: WaitOptions,
    output: OutputFormat,
    *,
    yes: bool,
) -> ExitCode:
    """Refuse or confirm, ask the ledger, and stay until the rollout ends."""
    async with opened(ctx) as session:
        chosen = await chosen_rollout(session, rollout)
        await ask(session, chosen, True)
        await _confirm(session, chosen, verb, yes=yes)
        await ask(session, chosen, False)
        say(f"asked to {verb} rollout {chosen}")
        return await stay(session, chosen, waiting, Output(output))


async def _told(session: Session, rollout: str, output: OutputFormat) -> None:
    """Say what it is now; what only the JSON form holds is read for that alone."""
    course = await session.ledger.rollouts.course(rollout)
    text = f"rollout {rollout} is {words(course.status)}"
    if output is OutputFormat.TABLE:
        Output(output).record("rollout.status", {}, text)
    else:
        status = await session.ledger.rollouts.status(rollout, limit=0)
        Output(output).record("rollout.status", status.document(), text)
