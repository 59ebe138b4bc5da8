"""Whether the record is whole: `ledger audit verify`, `unreadable` and `set-aside`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from ledger.cli.app.command import command, flags_of, opened, tell_behind
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import LAST_POSITION, CommandGroup
from ledger.cli.app.local_work import told_now_and_then
from ledger.cli.app.options import ReasonOptions
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.domain.wording import number_of
from migrations.model.clocks import moment_text
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.domain.differences import UnreadableEvent
    from ledger.service.audit import ChainVerdict, ComparedEnd, KeptEnd, UnreadableFound

COLUMNS = ("position", "stream", "event", "recorded_at", "by", "why", "try")

KEPT_END = re.compile(r"(?P<position>[0-9]{1,19}):(?P<chain>[0-9a-fA-F]{64})")
# Fewer digits would be those of another event now and then.
LEAF = re.compile(r"[0-9a-fA-F]{8,64}")

audit_app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Whether the record is whole.")


def register(app: typer.Typer, panel: str) -> None:
    """Add the commands of this module."""
    app.add_typer(audit_app, name="audit", rich_help_panel=panel)


@command(
    audit_app,
    "verify",
    examples=(
        "ledger audit verify",
        f"ledger audit verify --expect 759:{'6d20e847' * 8}",
        "ledger audit verify --at 759 -o json",
    ),
)
async def verify(
    ctx: typer.Context,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            metavar="POSITION:HASH",
            help="An end of the chain that was kept elsewhere, to compare; may be repeated.",
        ),
    ] = None,
    at: Annotated[
        list[int] | None,
        typer.Option(
            "--at",
            metavar="POSITION",
            min=0,
            max=LAST_POSITION,
            help="Show the chain's value there too; may be repeated.",
        ),
    ] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Walk the whole log and check every hash; names the first bad position.

    Whoever can change the log and its head together can re-hash unseen by this: keep the chain's
    end that it prints elsewhere, and compare it later with --expect. Ends with 7 when the chain is
    broken, or is not what was kept.
    """
    kept = [_kept_end(text) for text in expect or ()]
    async with opened(ctx) as session:
        end = await session.ledger.audit.verify(kept, at or (), told_now_and_then())
    Output(output).record("audit.verify", _verdict(end), "\n".join(_verdict_lines(end, at or ())))
    return ExitCode.OK if end.as_kept else ExitCode.DIFFERENT


@command(
    audit_app,
    "watch",
    traced=False,
    examples=("LEDGER_MONITORING_PORT=9189 ledger audit watch", "ledger audit watch --every-h 6"),
)
async def watch(
    ctx: typer.Context,
    every_h: Annotated[
        float,
        typer.Option(
            "--every-h", metavar="HOURS", min=0.001, max=8760, help="From a round to the next."
        ),
    ] = 24.0,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Verify the log and replay it, again and again until stopped, and say how it was at /metrics.

    A process of its own, for which ledger_viewer is enough, on a machine of its own if you like.
    It keeps the end of the chain from one round to the next, so it notices also a log that was
    hashed again while it lives. What differs is an alert, and a line of its log; a login that has
    ledger_auditor too records it, and by that people are notified.
    """
    from ledger.cli.record.audit_watch import run

    await run(flags_of(ctx).load().settings, every_h, Output(output))


def _kept_end(text: str) -> KeptEnd:
    """Raises `WrongArgument`."""
    from ledger.errors import WrongArgument
    from ledger.service.audit import KeptEnd

    found = KEPT_END.fullmatch(text.strip())
    if found is None or int(found["position"]) > LAST_POSITION:
        raise WrongArgument(
            f"--expect {text!r} is no end of a chain; write it as `ledger audit verify` printed "
            "it, the position, a colon and the 64 hexadecimal digits: --expect 759:6d20e847…"
        )
    return KeptEnd(int(found["position"]), bytes.fromhex(found["chain"]))


def _leaf(text: str) -> str:
    """How a hash begins. Raises `WrongArgument` for what could be any event's."""
    from ledger.errors import WrongArgument

    if text and LEAF.fullmatch(text) is None:
        raise WrongArgument(
            f"--hash {text!r} is not how a hash begins; give 8 or more of the hexadecimal digits "
            "that `ledger audit unreadable -o json` shows"
        )
    return text.lower()


def _verdict(end: ChainVerdict) -> dict[str, Any]:
    fields: dict[str, Any] = {"whole": end.whole, "position": end.position}
    if end.chain is None:
        fields["why"] = end.why
    else:
        fields["chain"] = end.chain.hex()
    if end.compared:
        fields["as_kept"] = end.as_kept
        fields["expected"] = [
            {
                "position": one.kept.position,
                "kept": one.kept.chain.hex(),
                "found": one.found.hex() if one.found is not None else None,
                "comparison": one.comparison,
            }
            for one in end.compared
        ]
        fields["changed_between"] = end.changed_between
    if end.at:
        fields["at"] = [{"position": at, "chain": chain.hex()} for at, chain in end.at.items()]
    return fields


def _verdict_lines(end: ChainVerdict, at: Sequence[int]) -> Iterator[str]:
    if end.chain is None:
        yield f"broken at position {end.position}: {end.why}"
    else:
        to_keep = _kept_text(end.position, end.chain)
        yield f"whole: {number_of(end.position, 'event')}, the chain ends in {to_keep}"
    for place in sorted(set(at)):
        chain = end.at.get(place)
        where = (
            _kept_text(place, chain)
            if chain is not None
            else "not known, the chain breaks before it"
        )
        yield f"at position {place}: {where}"
    for one in end.compared:
        yield _comparison_line(one, end.position)
    if end.changed_between is not None:
        first, last = end.changed_between
        yield (
            f"changed and hashed again: something between positions {first} and {last}; "
            f"`ledger events --after {first - 1} -o json` shows what stands there now"
        )


def _kept_text(position: int, chain: bytes) -> str:
    """What --expect takes."""
    return f"{position}:{chain.hex()}"


def _comparison_line(one: ComparedEnd, end: int) -> str:
    from ledger.service.audit import Comparison

    place, kept = f"position {one.kept.position}", one.kept.chain.hex()
    match one.comparison:
        case Comparison.SAME:
            return f"{place}: as it was kept"
        case Comparison.CHANGED:
            found = one.found.hex() if one.found is not None else "nothing"
            return f"{place}: NOT as it was kept: kept {kept}, found {found}"
        case Comparison.GONE:
            return (
                f"{place}: NOT as it was kept: the log ends at {end}, so what stood behind is "
                "gone (cut off, or an older copy was restored)"
            )
        case Comparison.UNREACHED:
            return f"{place}: not compared, the chain breaks before it"
        case _:
            assert_never(one.comparison)


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
    position: Annotated[
        int, typer.Argument(metavar="POSITION", min=1, max=LAST_POSITION, help="Where it stands.")
    ],
    why: ReasonOptions,
    leaf: Annotated[
        str,
        typer.Option(
            "--hash",
            metavar="HEX",
            help="How its hash begins, 8 digits or more: refused where it is another event.",
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
    leaf = _leaf(leaf)
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
    at = moment_text(row.aside_at) if row.aside_at else "?"
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
