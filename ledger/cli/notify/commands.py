"""`ledger notify`: tell people what is in the log; try a target; show how each does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.app.command import command, flags_of
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.notifier.process import Overview
    from ledger.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
COLUMNS = ("target", "kind", "state", "waiting", "since", "delivered", "last", "given_up", "routes")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    notify = typer.Typer(
        cls=CommandGroup,
        no_args_is_help=True,
        help="Notifications: tell people what is in the log, try a target, look.",
    )
    command(
        notify,
        "run",
        traced=False,
        examples=("ledger notify run", "ledger --config notify.toml notify run"),
    )(run)
    command(notify, "test", examples=("ledger notify test", "ledger notify test on-call"))(
        try_targets
    )
    command(notify, "list", examples=("ledger notify list", "ledger notify list -o json"))(
        show_targets
    )
    app.add_typer(notify, name="notify", rich_help_panel="Record")


async def run(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """Tell people what is in the log, as the settings' routes say, until stopped.

    A process of its own, under a role of its own (ledger_notifier): nothing waits for it, and what
    it may do is read the log. Each message is delivered at least once, always under the same key.
    A second one waits until the first ends. It begins where the log ended when it first ran.
    """
    from ledger.monitoring.logs import write_logs
    from ledger.notifier.process import run as notify

    settings = flags_of(ctx).load().settings
    write_logs(settings.monitoring.log, logging.WARNING, LOG_FORMAT)
    section = settings.notify
    targets, routes = len(section.targets), len(section.routes)

    def started(name: str) -> None:
        Output(output).record(
            "notify.run",
            {"notifier": name, "targets": targets, "routes": routes},
            f"notifying as {name}: {number_of(targets, 'target')}, {number_of(routes, 'route')}",
        )

    await notify(settings, started)
    say("stopped")


async def try_targets(
    ctx: typer.Context,
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="TARGET...", help="Which. Default: all.")
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode | None:
    """Send a test message to each target, and say which took it.

    The ledger is not asked. Ends with 1 when one did not take it.
    """
    from ledger.notifier.process import try_targets as send

    sent = await send(flags_of(ctx).load().settings, targets or [])
    Output(output).rows(
        "notify.test",
        (
            {"target": one.target, "kind": one.kind, "taken": not one.why, "why": one.why}
            for one in sent
        ),
        ("target", "kind", "taken", "why"),
        empty="No target is named.",
    )
    return ExitCode.FAILED if any(one.why for one in sent) else None


async def show_targets(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """Show each target: whether it takes what it is sent, what waits there, and what leads to it.

    Addresses and keys are never shown, only where they are read from.
    """
    from ledger.notifier.process import overview

    settings = flags_of(ctx).load().settings
    found = await overview(settings)
    form, holder = Output(output), found.holder
    if form.for_people:
        who = f"{holder.name} notifies" if holder.name else "nobody notifies: `ledger notify run`"
        form.lines([f"{who}; {number_of(found.behind, 'event')} behind the log"])
    form.rows(
        "notify.list",
        _rows(settings, found),
        COLUMNS,
        empty="No target is named; `ledger config show` shows where settings come from.",
        notifier=holder.name,
        until=holder.until,
        behind=found.behind,
    )


def _rows(settings: Settings, found: Overview) -> Iterator[dict[str, object]]:
    section = settings.notify
    for name in sorted({*section.targets, *found.targets}):
        state, target = found.targets.get(name), section.targets.get(name)
        routes = [str(one).partition(" -> ")[0] for one in section.routes if name in one.to]
        if state is not None and state.failures:
            doing = f"takes nothing: {state.why}"
        elif target is None:
            doing = "is no target of these settings"
        else:
            doing = "takes what it is sent" if state and state.delivered else "was sent nothing"
        since = state.failing_since if state else None
        last = state.delivered_at if state else None
        yield {
            "target": name,
            "kind": str(target) if target else "",
            "state": doing,
            "waiting": state.waiting if state else 0,
            "since": since,
            "delivered": state.delivered if state else 0,
            "last": last,
            "given_up": state.given_up if state else 0,
            "routes": "; ".join(routes),
        }
