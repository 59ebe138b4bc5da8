"""The fleet at a glance: who leads, what is under way, what each database has and lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ledger.cli.app.command import Session, command, opened, tell_behind
from ledger.cli.app.help_page import WHICH_DATABASES
from ledger.cli.app.options import AllOption, PageOption, SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.app.watch import WatchOptions, shown_again
from ledger.cli.fleet.groups import SHOWN, show_numbers, totals
from ledger.cli.record.audit import aside_row, aside_text
from ledger.domain.wording import number_of, reads_journal
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.domain.surroundings import LeadingProcess
    from ledger.service.fleet_overview import DatabaseOverview, FleetNumbers, FleetOverview
    from migrations.model.attempt import HalfDone

COLUMNS = ("database", "pool", "status", "newest", "missing", "last_contact_at", "rollout")
HALF_DONE_SHOWN = 12
"""How many sentences about what is half done people see."""
LACKS_SHOWN = 3
"""How many missing migrations people see per database; the JSON forms have all."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    examples = ("ledger status", "ledger status -o json", "ledger status --watch")
    command(app, "status", panel="Every day", examples=examples)(status)


async def status(
    ctx: typer.Context,
    watching: WatchOptions,
    select: SelectOption = "",
    every: AllOption = False,
    behind: Annotated[
        bool,
        typer.Option(
            "--behind", help="List those that lack something.", rich_help_panel=WHICH_DATABASES
        ),
    ] = False,
    problems: Annotated[
        bool,
        typer.Option(
            "--problems",
            help="List those where a migration failed, was lost, or is unknown.",
            rich_help_panel=WHICH_DATABASES,
        ),
    ] = False,
    limit: PageOption = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Show the fleet: who leads, which rollouts are unfinished, and what each database has.

    A fleet of more than 50 databases is counted, with problems first and by cause; `--all`,
    `--behind`, `--problems` and `--select` list its databases one by one.
    """
    async with opened(ctx) as session:
        service, form = session.ledger.status, Output(output)
        most = None if every and limit is None else form.at_most(limit)
        lists = every or behind or problems or limit or not form.for_people

        async def look() -> _Look:
            among: list[str] | None = None
            numbers = None if select else await service.numbers()
            if behind or problems:
                asked = service.behind if behind else service.troubled
                among = await asked(select, most)
            counted = numbers is not None and numbers.total > SHOWN and not lists
            overview = await service.overview(select, limit=1 if counted else most, among=among)
            found = await service.problems(among) if problems and among else {}
            chosen = select and not overview.total and not await _anybody(session, select)
            empty = _nothing(behind=behind, problems=problems, select=select if chosen else "")
            return _Look(overview, numbers, among, counted, found if problems else None, empty)

        async def show(found: _Look) -> None:
            await tell_behind(session)
            show_overview(
                session.ledger.name,
                found.overview,
                form,
                found.numbers,
                counted=found.counted,
                problems=found.problems,
                empty=found.empty,
            )
            if found.among is not None and form.for_people and len(found.among) == most:
                of = f" of {found.numbers.lagging:,}" if behind and found.numbers else ""
                say(f"{len(found.among):,}{of} are shown; `--limit` or `--all` shows more")

        await shown_again(look, show, watching, form)


class _Look(NamedTuple):
    """What one look at the fleet found; `among` are those that were asked for by what they lack."""

    overview: FleetOverview
    numbers: FleetNumbers | None
    among: list[str] | None
    counted: bool
    problems: Mapping[str, str] | None
    """What is wrong with those that were asked for by that."""
    empty: str


NOBODY = "No database is registered; `ledger fleet add` registers one."


async def _anybody(session: Session, select: str) -> bool:
    """Whether the selection means any database, whatever it has or lacks."""
    return (await session.ledger.status.overview(select, limit=1)).total > 0


def _nothing(*, behind: bool, problems: bool, select: str) -> str:
    """What there is to say when no database is shown; `select` means none."""
    if select:
        return f"No database matches {select}; `ledger fleet list` shows all of them."
    if problems:
        return "Nothing is wrong with any of them."
    return "None of them lacks anything." if behind else NOBODY


def show_overview(
    name: str,
    overview: FleetOverview,
    output: Output,
    numbers: FleetNumbers | None = None,
    *,
    counted: bool = False,
    problems: Mapping[str, str] | None = None,
    empty: str = NOBODY,
) -> None:
    """Write the databases as data; who leads and what is under way stand beside them.

    With `counted`, a person sees their numbers instead. Where `problems` were asked for, each has
    its own; `empty` is said where no database is shown.
    """
    to_do = "" if overview.leader or not overview.unfinished else "; `ledger serve` leads"
    say(f"ledger {name}, {leading(overview.leader)}{to_do}")
    for rollout in overview.unfinished:
        say(f"rollout {rollout} is unfinished; see `ledger rollout status {rollout}`")
    if overview.bundle is None:
        say("no bundle is registered; `ledger up` or `ledger bundle register` does that")
    for database in (one.database for one in overview.databases if one.unread):
        say(
            f"{database}: its journal was not read yet since it was reinstated, so what it lost is "
            f"not known; an agent reads it as soon as it can be reached; {reads_journal(database)}"
        )
    _say_half_done(overview)
    if overview.unreadable:
        shown = ", ".join(map(str, overview.unreadable[:LACKS_SHOWN]))
        say(
            f"events that cannot be read: {len(overview.unreadable):,}, the latest at {shown}; "
            "nothing followed from them; `ledger audit unreadable` shows them and what to do"
        )
    for row in overview.set_aside[:LACKS_SHOWN]:
        say(escaped(aside_text(row)))
    if len(overview.set_aside) > LACKS_SHOWN:
        more = number_of(len(overview.set_aside) - LACKS_SHOWN, "event")
        say(f"{more:,} more were set aside; `ledger audit unreadable` shows them")
    say_unsigned(overview.unsigned)
    if counted and numbers is not None:
        show_numbers(numbers, output, compared=overview.bundle is not None)
    else:
        _show_databases(name, overview, output, numbers, problems, empty)


def _show_databases(
    name: str,
    overview: FleetOverview,
    output: Output,
    numbers: FleetNumbers | None,
    problems: Mapping[str, str] | None,
    empty: str,
) -> None:
    if numbers is not None and output.for_people and numbers.total:
        output.lines([totals(numbers, compared=overview.bundle is not None)])
    rows = (
        {
            "database": one.database,
            "pool": one.pool,
            "status": one.status,
            "newest": one.newest,
            "missing": _shortened(one) if output.for_people else list(one.missing),
            "history": one.history,
            "half_done": [_half_done_row(half) for half in one.half_done],
            "unread": one.unread,
            "last_contact_at": one.last_contact_at,
            "rollout": one.rollout,
            **({} if problems is None else {"problem": problems.get(one.database)}),
        }
        for one in _in_order(overview, output)
    )
    columns = (*COLUMNS, "history") if len(overview.histories) > 1 else COLUMNS
    columns = columns if problems is None else ("database", "problem", *columns[1:])
    output.rows(
        "status",
        rows,
        columns,
        empty=NOBODY if numbers is not None and not numbers.total else empty,
        ledger=name,
        leader=overview.leader.name if overview.leader else None,
        leader_heard_at=overview.leader.heard_at if overview.leader else None,
        leader_is_silent=overview.leader.is_silent if overview.leader else None,
        bundle=overview.bundle,
        unfinished=list(overview.unfinished),
        unreadable=list(overview.unreadable),
        set_aside=[aside_row(row) for row in overview.set_aside],
        unsigned={agent: list(what) for agent, what in overview.unsigned.items()},
        **_numbers(numbers),
    )
    output.tell_left_out(len(overview.databases), overview.total, limited=True)


def _in_order(overview: FleetOverview, output: Output) -> Sequence[DatabaseOverview]:
    """By id, as pages are; of a fleet that is all there, people see first what lacks something."""
    if not output.for_people or len(overview.databases) < overview.total:
        return overview.databases
    return sorted(overview.databases, key=lambda one: (not one.missing, one.status != "suspended"))


def _numbers(numbers: FleetNumbers | None) -> dict[str, Any]:
    """The fleet counted, for the JSON forms; nothing where a selection is shown."""
    if numbers is None:
        return {}
    return {
        "total": numbers.total,
        "current": numbers.current,
        "behind": numbers.lagging,
        "suspended": numbers.suspended,
        "groups": [group.document() for group in (*numbers.troubles, *numbers.behind)],
    }


def say_unsigned(agents: Mapping[str, Sequence[str]]) -> None:
    """Name what is not signed, and the agents where it is not."""
    by_what: dict[str, list[str]] = {}
    for agent, what in agents.items():
        by_what.setdefault(" and ".join(what), []).append(agent)
    for unsigned, names in by_what.items():
        shown = ", ".join(names[:LACKS_SHOWN])
        more = f" and {len(names) - LACKS_SHOWN:,} more" if len(names) > LACKS_SHOWN else ""
        say(
            f"INSECURE: {unsigned}, for trying things only, at {shown}{more}; "
            "see `ledger keys --help`"
        )


def leading(leader: LeadingProcess | None) -> str:
    """Who leads, and what to do if nobody does in fact."""
    from ledger.domain.waiting import TAKE_OVER

    if leader is None:
        return "nobody leads"
    if not leader.is_silent:
        return f"{leader.name} leads"
    return f"{leader.name} leads and {leader.silence}; `{TAKE_OVER}` leads in its place"


def _say_half_done(overview: FleetOverview) -> None:
    """Name what is half done, where, and the command that leads out of it."""
    from ledger.domain.half_done import told

    labels = overview.labels
    found = [
        told(one.database, half, labels.get(half.version, ""), one.rollout)
        for one in overview.databases
        for half in one.half_done
    ]
    for sentence in found[:HALF_DONE_SHOWN]:
        say(escaped(sentence))
    if len(found) > HALF_DONE_SHOWN:
        say(f"{len(found) - HALF_DONE_SHOWN:,} more are half done; the JSON forms have all")


def _half_done_row(one: HalfDone) -> dict[str, object]:
    return {
        "version": one.version,
        "direction": one.direction,
        "rollout": one.rollout or None,
        "in_doubt": one.doubtful,
    }


def _shortened(one: DatabaseOverview) -> str:
    begun = [half.version for half in one.half_done]
    said = ", ".join(f"{version} (half done)" for version in begun)
    if len(one.missing) > LACKS_SHOWN:
        return f"{len(one.missing):,} of them" + (f", {said}" if said else "")
    return ", ".join([*([said] if said else ()), *(v for v in one.missing if v not in begun)])
