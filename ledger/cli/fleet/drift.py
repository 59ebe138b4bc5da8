"""`ledger drift`: which databases have another schema than most with the same migrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app import completion
from ledger.cli.app.argument_check import refuse_beside
from ledger.cli.app.command import command, opened
from ledger.cli.app.confirm import YesOption, confirm
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import OUTPUT
from ledger.cli.app.local_work import NOBODY_LOOKS, at_work, say_heard
from ledger.cli.app.options import ReasonOptions, SelectOption
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.db.catalog import lines_of, row_of
from ledger.cli.fleet.check import PATIENCE_S
from ledger.cli.fleet.groups import names
from ledger.domain.check_results import SILENT, cause
from ledger.domain.wording import number_of
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from ledger.cli.app.command import Session
    from ledger.domain.drift import Cohort
    from ledger.service.drift import DriftFound, SchemaDifference

ACCEPT = "accept"
SHORT = 12
"""Characters of a fingerprint that people are shown."""
NAMED = 5
COHORTS_SHOWN = 5
"""How many groups with the same migrations are told, of those that differ and of the rest."""
CHANGES_SHOWN, CHANGES_LEAST = 80, 8
"""Objects that differ, and statements, that are shown of all schemas, and of each; JSON has all."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "drift",
        panel="Fleet and rollouts",
        examples=(
            "ledger drift",
            "ledger drift --select tier=gold -o json",
            "ledger drift accept acme --reason 'index for their reports, see INC-7'",
        ),
    )(drift)


async def drift(
    ctx: typer.Context,
    why: ReasonOptions,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[accept DATABASE]",
            help="Take the schema of a drifted database for right, as it is.",
            autocompletion=completion.accepted_words,
        ),
    ] = None,
    select: SelectOption = "",
    timeout: Annotated[
        float,
        typer.Option("--timeout", metavar="SECONDS", min=0.0, help="Show what came until then."),
    ] = PATIENCE_S,
    sql: Annotated[
        bool,
        typer.Option(
            "--sql/--no-sql",
            help="Show the SQL that would bring them back; it is never run.",
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    yes: YesOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Compare the schemas of databases that have the same migrations.

    Agents take a fingerprint of each, read-only and without any row. What most of them have is
    right; of each other schema, one database says how it differs. `accept` ends that for a database
    as long as its schema stays as it is. Ends with 7 where somebody has drifted.
    """
    async with opened(ctx) as session:
        if words:
            refuse_beside(ctx, ACCEPT, "--select", "--timeout", "--sql")
            return await _accept(session, words, why, Output(output), yes=yes)
        asked, service = why.asked(), session.ledger.drift
        check = await service.look(select, asked)
        async with at_work(session) as cut_short:
            if not await session.ledger.leader():
                return Output(output).error(NOBODY_LOOKS, ExitCode.NO_LEADER)
            found = await service.found(check, timeout, say_heard)
            told: list[tuple[Cohort, list[SchemaDifference]]] = []
            snapshots = await service.ask_for_snapshots(found, asked) if found.finished else None
            for cohort in found.cohorts:
                more = snapshots is not None and len(cohort.schemas) > 1
                differs = (
                    await service.differences(cohort, snapshots, timeout)
                    if more and snapshots is not None
                    else ()
                )
                told.append((cohort, list(differs)))
            if not found.finished:
                cut_short()
    return _show(Output(output), found, told, sql=sql)


async def _accept(
    session: Session, words: list[str], why: ReasonOptions, output: Output, *, yes: bool
) -> ExitCode:
    if words[0] != ACCEPT or len(words) != 2:
        raise WrongArgument("write `ledger drift`, or `ledger drift accept DATABASE --reason TEXT`")
    database = words[1]
    await session.ledger.drift.check_acceptance(database, why.asked())
    confirm(
        session.ledger.name,
        [f"take the schema of 1 database, {database}, for right as it was last seen"],
        yes=yes,
    )
    changed = await session.ledger.drift.accept(database, why.asked())
    output.record(
        "drift.accept",
        {"database": database, "changed": changed},
        f"{database}: its schema is taken for right as it was last seen"
        if changed
        else f"{database}: its schema was accepted before",
    )
    return ExitCode.OK


def _show(
    output: Output,
    found: DriftFound,
    told: list[tuple[Cohort, list[SchemaDifference]]],
    *,
    sql: bool,
) -> ExitCode:
    rows = [_row(cohort, differs, found) for cohort, differs in told]
    strays = sum(len(row["drifted"]) for row in rows)
    undecided = any(row["expected"] is None for row in rows)
    if not output.for_people:
        output.rows(
            "drift", rows, ("latest", "databases", "expected", "drifted"), empty="",
            finished=found.finished, unseen=dict(found.unseen),
        )  # fmt: skip
    else:
        _show_all(output, found, told, sql=sql)
    _tell_unseen(found.unseen)
    if not found.finished:
        silent = sum(why == SILENT for why in found.unseen.values())
        return output.error(
            f"{number_of(silent, 'database')} did not answer; does `ledger-agent run` work in that "
            "pool?",
            ExitCode.TIMEOUT,
        )
    if strays or undecided:
        return ExitCode.DIFFERENT
    return ExitCode.FAILED if found.unseen else ExitCode.OK


def _show_all(
    output: Output,
    found: DriftFound,
    told: list[tuple[Cohort, list[SchemaDifference]]],
    *,
    sql: bool,
) -> None:
    """What differs first, group by group; of many groups the rest is counted."""
    differing = [one for one in told if len(one[0].schemas) > 1]
    alike = [one for one in told if len(one[0].schemas) == 1]
    if len(told) > 1 or found.unseen:
        output.lines([_totals(found)])
    for of_kind, what in ((differing, "differ, too"), (alike, "are alike, too")):
        of_kind.sort(key=lambda one: -one[0].size)
        for cohort, differs in of_kind[:COHORTS_SHOWN]:
            _tell(output, cohort, differs, found, sql=sql)
        if rest := of_kind[COHORTS_SHOWN:]:
            databases = number_of(sum(cohort.size for cohort, _ in rest), "database")
            output.lines([f"{databases} of {number_of(len(rest), 'other group')} {what}"])


def _totals(found: DriftFound) -> str:
    """`5,000 databases: 4,980 alike, 15 drifted, 5 not looked at`."""
    from ledger.domain.drift import outliers

    seen = sum(one.size for one in found.cohorts)
    drifted = sum(len(outliers(one, found.known)) for one in found.cohorts)
    undecided = sum(one.size for one in found.cohorts if one.expected is None)
    counts = [
        (seen - drifted - undecided, "as expected"),
        (drifted, "drifted"),
        (undecided, "of which nobody can say"),
        (len(found.unseen), "not looked at"),
    ]
    told = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    return f"{number_of(seen + len(found.unseen), 'database')}: {told}"


def _tell_unseen(unseen: Mapping[str, str]) -> None:
    """Which databases could not be looked at, by cause."""
    causes: dict[str, list[str]] = {}
    for database, why in sorted(unseen.items()):
        causes.setdefault(cause(why, database), []).append(database)
    ordered = sorted(causes.items(), key=lambda one: -len(one[1]))
    for why, databases in ordered[:COHORTS_SHOWN]:
        say(f"{names(databases[:NAMED], len(databases))}: {why}")
    if rest := ordered[COHORTS_SHOWN:]:
        more = number_of(sum(len(databases) for _, databases in rest), "more database")
        say(f"{more} could not be looked at, for {number_of(len(rest), 'other cause')}")


def _tell(
    output: Output,
    cohort: Cohort,
    differs: list[SchemaDifference],
    found: DriftFound,
    *,
    sql: bool,
) -> None:
    """Who is alike, and how each of the others differs; SQL stays as it is written."""
    with_ = f"with {cohort.latest} as the latest migration" if cohort.latest else "without any"
    same = len(cohort.schemas[0][1])
    output.lines([f"{number_of(cohort.size, 'database')} {with_}: {same:,} have the same schema"])
    if cohort.expected is None:
        output.lines(["as many have another one, so nobody can say which of them is right"])
    shown = max(CHANGES_SHOWN // max(len(differs), 1), CHANGES_LEAST)
    for one in differs:
        fingerprint = one.fingerprint[:SHORT]
        lines = ["", f"{_named(one.databases, found, one.fingerprint)}  ({fingerprint})"]
        if one.difference is None:
            output.lines([*lines, f"  {one.why}"])
            continue
        for change in one.difference.changes[:shown]:
            lines += [f"  {line}" for line in lines_of(change)]
        more = len(one.difference.changes) - shown + one.difference.more
        if more > 0:
            lines.append(f"  … and {more:,} more; `-o json` has all of them")
        output.lines(lines)
        if sql and one.sql:
            output.text("  -- What would bring it back; nothing was run:")
            for statement in one.sql[:shown]:
                output.text("\n".join(f"  {line}" for line in statement.split("\n")))
            if (more := len(one.sql) - shown) > 0:
                output.text(f"  -- and {number_of(more, 'statement')} more; `-o json` has them")
    if rest := cohort.schemas[len(differs) + 1 :] if differs else ():
        databases = number_of(sum(len(names) for _, names in rest), "database")
        output.lines(["", f"{databases} with {number_of(len(rest), 'other schema')} more, that "
                      "were not compared"])  # fmt: skip


def _named(databases: tuple[str, ...], found: DriftFound, fingerprint: str) -> str:
    shown = [
        f"{one} (accepted)" if found.known.accepted.get(one) == fingerprint else one
        for one in databases[:NAMED]
    ]
    more = len(databases) - NAMED
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")


def _row(cohort: Cohort, differs: list[SchemaDifference], found: DriftFound) -> dict[str, Any]:
    from ledger.domain.drift import outliers

    return {
        "latest": cohort.latest,
        "databases": cohort.size,
        "expected": cohort.expected,
        "drifted": sorted(outliers(cohort, found.known)),
        "schemas": [
            {"fingerprint": fingerprint, "databases": list(databases)}
            for fingerprint, databases in cohort.schemas
        ],
        "differences": [
            {
                "fingerprint": one.fingerprint,
                "changes": [row_of(change) for change in one.difference.changes]
                if one.difference
                else None,
                "sql": list(one.sql),
                "problem": one.why or None,
            }
            for one in differs
        ],
    }
