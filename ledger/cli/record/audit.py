"""Whether the record is whole: `ledger audit verify`, `unreadable` and `set-aside`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command, opened, tell_behind
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import CommandGroup
from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.domain.differences import UnreadableEvent
    from ledger.service.audit import UnreadableFound

COLUMNS = ("position", "stream", "event", "recorded_at", "by", "why", "try")

audit_app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Whether the record is whole.")


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module."""
    app.add_typer(audit_app, name="audit", rich_help_panel=panel)


@command(audit_app, "verify", examples=("ledger audit verify", "ledger audit verify -o json"))
async def verify(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> ExitCode:
    """Walk the whole log and check every hash; names the first bad position.

    Whoever can change the log and its head together can re-hash unseen by this: keep the chain's
    end that it prints elsewhere, and compare. Ends with 7 when the chain is broken.
    """
    async with opened(ctx) as session:
        end = await session.ledger.audit.verify()
    if end.chain is None:
        Output(output).record(
            "audit.verify",
            {"whole": False, "position": end.position, "why": end.why},
            f"broken at position {end.position}: {end.why}",
        )
        return ExitCode.DIFFERENT
    Output(output).record(
        "audit.verify",
        {"whole": True, "position": end.position, "chain": end.chain.hex()},
        f"whole: {end.position} events, the chain ends in {end.chain.hex()}",
    )
    return ExitCode.OK


@command(
    audit_app, "unreadable", examples=("ledger audit unreadable", "ledger audit unreadable -o json")
)
async def unreadable(ctx: typer.Context, output: OutputOption = OutputFormat.TABLE) -> None:
    """List the events that nobody can read, and those of them that were set aside.

    Nothing followed from such an event, and everything else went on. Find out who wrote it; then
    `ledger audit set-aside` ends the complaints about it.
    """
    async with opened(ctx) as session:
        found = await session.ledger.audit.unreadable()
        aside = await session.ledger.audit.set_aside()
        await tell_behind(session)
    Output(output).rows(
        "audit.unreadable",
        [_row(one) for one in found],
        COLUMNS,
        empty="Every event can be read, or was set aside.",
        set_aside=[aside_row(one) for one in aside],
    )
    for row in aside:
        say(escaped(aside_text(row)))


@command(
    audit_app,
    "set-aside",
    examples=("ledger audit set-aside 1207 --reason 'written by hand, see INC-7'",),
    needs_arguments=True,
)
async def set_aside(
    ctx: typer.Context,
    position: Annotated[int, typer.Argument(metavar="POSITION", min=1, help="Where it stands.")],
    why: ReasonOptions,
    leaf: Annotated[
        str,
        typer.Option(
            "--hash", metavar="HEX", help="How its hash begins: refused where it is another event."
        ),
    ] = "",
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Set an event aside that nobody can read: it is complained of no more.

    It stays in the log and in its chain, and `ledger events` goes on showing it. An event that can
    be read is refused: what was recorded stays in force.
    """
    asked = why.asked()
    async with opened(ctx) as session:
        found, aside = await session.ledger.audit.check_aside(position, leaf, asked)
        if not aside:
            row = found.event
            fact = f"set aside 1 event that nobody can read, {row.type} at position {position}"
            confirm(session.ledger.name, [fact, f"because: {found.why}"], yes=yes)
            await session.ledger.audit.put_aside(position, found.leaf, asked)
    Output(output).record(
        "audit.set-aside",
        {"position": position, "hash": found.leaf, "was_aside": aside},
        f"the event at position {position} is set aside" + (" already" if aside else ""),
    )


def aside_row(row: UnreadableEvent) -> dict[str, Any]:
    """An event that was set aside: who did that, when and why."""
    return {
        "position": row.position,
        "event": row.type,
        "set_aside_at": row.aside_at,
        "by": row.aside_by,
        "who": row.aside_who,
        "reason": row.aside_reason,
    }


def aside_text(row: UnreadableEvent) -> str:
    """The same in a sentence."""
    who = f"{row.aside_who} ({row.aside_by})" if row.aside_who else row.aside_by
    at = f"{row.aside_at:%Y-%m-%d %H:%M}" if row.aside_at else "?"
    return (
        f"{row.type} at position {row.position} cannot be read and was set aside by {who} "
        f"at {at}: {row.aside_reason}"
    )


def _row(one: UnreadableFound) -> dict[str, Any]:
    return {
        "position": one.event.position,
        "stream": one.event.stream,
        "event": one.event.type,
        "recorded_at": one.event.recorded_at,
        "by": one.event.recorded_by,
        "hash": one.leaf,
        "why": one.why,
        "try": f"ledger audit set-aside {one.event.position} --reason WHY",
    }
