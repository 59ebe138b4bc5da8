"""Where time went: drawn from the log alone, or sent to a collector once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.command import command, opened
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.domain.wording import number_of
from ledger.errors import WrongArgument
from migrations.model.clocks import moment_text
from migrations.printable import escaped

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.domain.stretches import Stretch
    from ledger.service.traces import TimeDrawing

MIGRATION = "migration"
"""The kind of stretch that is named by its version and direction."""
LIMIT = 10
"""Orders that are drawn; the rest is counted."""


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module."""
    traces = typer.Typer(
        cls=CommandGroup, no_args_is_help=True, help="Where time went, from the log alone."
    )
    command(
        traces,
        "show",
        examples=(
            "ledger traces show",
            "ledger traces show acme",
            "ledger traces show 019f2c --failed --limit 50",
        ),
    )(show)
    command(
        traces,
        "emit",
        examples=("ledger traces emit 019f2c", "ledger traces emit --rollout 019f2c"),
    )(emit)
    app.add_typer(traces, name="traces", rich_help_panel=panel)


async def show(
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[ROLLOUT|DATABASE]",
            help="Whose time. Default: the unfinished rollout, else the last one.",
            autocompletion=completion.databases_and_rollouts,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="How many orders are drawn.")
    ] = LIMIT,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only orders that ended with an error.")
    ] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Draw where time went: rollout, waves, orders, attempts, migrations, statements.

    From the log alone, so no collector is needed and none can have lost it. Of many orders, those
    that failed come first, then those that took the longest; the rest is counted. Ends that have
    not come are told as such. What agents did is by their own clocks; statements and waits are
    known of attempts that were traced.
    """
    form = Output(output)
    async with opened(ctx) as session:
        asked = what or await session.ledger.rollouts.latest()
        shown = await session.ledger.traces.show(asked, limit, failed_only=failed)
    if not form.for_people:
        form.record("trace", _document(shown))
        return
    form.lines([*_drawn_frame(shown), *_drawn_orders(shown)])
    if (more := shown.orders - len(shown.chosen)) > 0:
        say(f"{number_of(more, 'order')} more; --limit N draws more of them")


async def emit(
    ctx: typer.Context,
    what: Annotated[
        str | None,
        typer.Argument(metavar="ROLLOUT", help="The rollout.", autocompletion=completion.rollouts),
    ] = None,
    rollout: Annotated[
        str | None,
        typer.Option(
            "--rollout", help="The same, said by name.", autocompletion=completion.rollouts
        ),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send the spans of a rollout to the collector once more, with their original times.

    For when it was away. Where it goes to is said by OTEL_EXPORTER_OTLP_ENDPOINT, as for every
    program. Spans have the ids that they had, so what had arrived is not there twice; sending again
    sends the same. What is inside of an attempt comes back where its agent traced it.
    """
    asked = what or rollout
    if asked is None or (what and rollout and what != rollout):
        raise WrongArgument("name one rollout, as ROLLOUT or with --rollout ID")
    async with opened(ctx) as session:
        sent = await session.ledger.traces.emit(asked)
    Output(output).record("emitted", {"spans": sent}, f"sent {number_of(sent, 'span')}")


def _drawn_frame(shown: TimeDrawing) -> list[str]:
    frame = shown.frame
    if frame is None:
        return [f"{shown.what}  {_orders_counted(shown)}"]
    mode = frame.told.get("mode", "")
    lines = [f"{frame.name}  {mode}  {_took(frame, shown.now)}, from {moment_text(frame.began)}"]
    lines += [_line(wave, frame.began, shown.now, 1) for wave in frame.inside]
    return [*lines, f"  {_orders_counted(shown)}"]


def _orders_counted(shown: TimeDrawing) -> str:
    told = number_of(shown.orders, "order")
    if not shown.failed:
        return told
    causes = ", ".join(f"{error} {number:,}" for error, number in shown.errors.most_common())
    return f"{told}, {shown.failed:,} ended with an error: {causes}"


def _drawn_orders(shown: TimeDrawing) -> list[str]:
    lines = []
    for order in shown.chosen:
        since = shown.frame.began if shown.frame else order.began
        lines.append(_line(order, since, shown.now, 1))
        for attempt in order.inside:
            waited = (attempt.began - order.began).total_seconds()
            lines.append(f"{_line(attempt, since, shown.now, 2)}, taken {waited:.1f} s after it")
            lines += _drawn_inside(attempt, since, shown.now, 3)
    return lines


def _drawn_inside(stretch: Stretch, since: datetime, now: datetime, depth: int) -> list[str]:
    lines = []
    for one in stretch.inside:
        lines.append(_line(one, since, now, depth))
        lines += _drawn_inside(one, since, now, depth + 1)
    return lines


def _line(stretch: Stretch, since: datetime, now: datetime, depth: int) -> str:
    at = max((stretch.began - since).total_seconds(), 0.0)
    name = escaped(f"migrate {stretch.name}" if stretch.kind == MIGRATION else stretch.name)
    number = stretch.told.get("attempt") if depth == 1 else None
    times = f" (attempt {number})" if number not in (None, "1") else ""
    return f"{'  ' * depth}{name}{times}  +{at:.1f} s  {_took(stretch, now)}"


def _took(stretch: Stretch, now: datetime) -> str:
    error = f", {stretch.error}" if stretch.error else ""
    if stretch.ended is None:
        return f"not ended, for {stretch.seconds(now):.1f} s{error}"
    return f"{stretch.seconds(now):.3f} s{error}"


def _document(shown: TimeDrawing) -> dict[str, Any]:
    return {
        "what": shown.what,
        "orders": shown.orders,
        "failed": shown.failed,
        "errors": dict(shown.errors),
        "rollout": _one(shown.frame, shown.now) if shown.frame else None,
        "shown": [_one(order, shown.now) for order in shown.chosen],
    }


def _one(stretch: Stretch, now: datetime) -> dict[str, Any]:
    return {
        "kind": stretch.kind,
        "name": stretch.name,
        "began": stretch.began,
        "ended": stretch.ended,
        "seconds": round(stretch.seconds(now), 3),
        "error": stretch.error or None,
        "traceparent": stretch.context,
        **stretch.told,
        "inside": [_one(one, now) for one in stretch.inside],
    }
