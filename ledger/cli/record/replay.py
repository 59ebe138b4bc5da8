"""Whether the read models are what the log says, and putting them right: `ledger replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.local_work import told_now_and_then
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say

if TYPE_CHECKING:
    from ledger.domain.differences import Replayed

COLUMNS = ("table", "key", "difference", "columns")


def register(app: typer.Typer, panel: str) -> None:
    """Add the command of this module."""
    command(app, "replay", panel=panel, examples=("ledger replay", "ledger replay --repair"))(
        replay
    )


async def replay(
    ctx: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what differs; asks first.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Build every table of the read models again beside the live ones, and show what differs.

    Nothing is changed and the ledger keeps working. Ends with 7 when something differs. With
    --repair the live tables are then built anew from the log, in one transaction, as a member of
    ledger_service; the log must be whole, and nothing of it is changed.
    """
    form = Output(output)
    async with opened(ctx) as session:
        audit = session.ledger.audit
        if not repair:
            found = await audit.replay(told_now_and_then())
            _show(form, found)
            return ExitCode.OK if found.agrees else ExitCode.DIFFERENT
        found = await audit.check_repair(told_now_and_then())
        if found.agrees:
            _show(form, found, repaired=False)
            return ExitCode.OK
        if form.for_people:
            _show(form, found)
        confirm(session.ledger.name, [_fact(found)], yes=yes)
        done = await audit.repair(found, told_now_and_then())
    if form.for_people:
        after = done.after
        _show(form, after)
        if after.agrees:
            say("Put right. Who had changed them is not known by that: see who may write them.")
    else:
        # What was found is what a program wants to keep; that it is right now, it sees, too.
        _show(form, found, repaired=done.after.agrees)
    return ExitCode.OK if done.after.agrees else ExitCode.DIFFERENT


def _fact(found: Replayed) -> str:
    from ledger.domain.wording import number_of

    many = f"more than {len(found.differences):,} rows differ"
    differ = number_of(len(found.differences), "row") + " differing"
    rows = number_of(sum(found.rows.values()), "row")
    return (
        f"build the read models anew from the log, {rows} of {len(found.rows):,} tables "
        f"({many if found.more else differ}); whoever projects waits meanwhile"
    )


def _show(form: Output, found: Replayed, **more: Any) -> None:
    form.rows(
        "replay",
        [
            {"table": one.table, "key": one.key, "difference": one.kind, "columns": one.columns}
            for one in found.differences
        ],
        COLUMNS,
        empty="",
        agrees=found.agrees,
        position=found.position,
        head=found.head,
        tables=dict(found.rows),
        more=found.more,
        **more,
    )
    if found.agrees:
        form.tell(
            f"No difference: {sum(found.rows.values()):,} rows of {len(found.rows):,} tables are "
            f"what the log says up to position {found.position}."
        )
