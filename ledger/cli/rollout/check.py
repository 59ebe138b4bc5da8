"""`ledger check`: whether this is a good moment for the fleet, asked of every database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.app.argument_check import is_said
from ledger.cli.app.command import Session, command, opened
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.local_work import NOBODY_LOOKS, at_work, say_heard
from ledger.cli.app.options import (
    MIGRATIONS,
    AllOption,
    FolderOption,
    ReasonOptions,
    RolloutOptions,
    SelectOption,
)
from ledger.cli.app.output import Output, OutputFormat, OutputOption, say
from ledger.cli.fleet.check import PATIENCE_S, PatienceOption
from ledger.cli.fleet.groups import NAMED, SHOWN, names
from ledger.cli.rollout.plan import plan_request
from ledger.domain.check_results import SILENT, cause
from ledger.domain.refusals import RequestRefusal
from ledger.domain.wording import number_of

if TYPE_CHECKING:
    from ledger.service.check_rows import CheckResult, CheckRow
    from migrations.model.preflight import PreflightPolicy, PreflightRequest, PreflightResult

COLUMNS = ("database", "verdict", "said")
TABLES_AT_MOST = 20
"""That are asked about: each database's order names them."""
ORDER = ("block", "unknown", "warn", "pass")
"""What needs somebody first; `unknown` that counts as something else is told as that."""
BAD = ("block", "unknown")
"""Verdicts after which the command has failed: nobody may take them for good ones."""
CAUSES_SHOWN = 10
"""Of one verdict; there are not many more checks, but servers can say what they want."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "check",
        panel="Every day",
        examples=("ledger check", "ledger check --select tier=gold -o json"),
    )(check)


async def check(
    ctx: typer.Context,
    why: ReasonOptions,
    select: SelectOption = "",
    folder: FolderOption = MIGRATIONS,
    timeout: PatienceOption = PATIENCE_S,
    every: AllOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> ExitCode:
    """Ask every database whether this is a good moment to apply what is pending.

    The checks that a rollout makes of each database before it applies anything, with the limits of
    the settings; nothing is changed anywhere. `ledger fleet check` says who the databases are.
    Ends with 1 where one would be blocked, or could not be asked. Those come first; of more than
    50, checks are told with how many databases, and `--all` lists them.
    """
    async with opened(ctx) as session:
        named = is_said(ctx, "--folder")
        asked = await _request(session, select, folder, why, named=named)
        check_id = await session.ledger.fleet.check(select, why.asked(), preflight=asked)
        async with at_work(session) as cut_short:
            if not await session.ledger.leader():
                return Output(output).error(NOBODY_LOOKS, ExitCode.NO_LEADER)
            result = await session.ledger.checks.answers(check_id, timeout, say_heard)
            if not result.finished:
                cut_short()
    rows = sorted(_rows(result, asked.policy), key=lambda one: ORDER.index(one["verdict"]))
    form = Output(output)
    if form.for_people and len(rows) > SHOWN and not every:
        form.lines(_by_check(rows))
    else:
        form.rows(
            "check",
            rows,
            COLUMNS,
            empty="No database matches.",
            finished=result.finished,
            tables=[one.name for one in asked.touched.tables],
        )
    if not result.finished:
        silent = number_of(sum(row.answer is None for row in result.rows), "database")
        return form.error(
            f"{silent} did not answer; does `ledger-agent run` work in that pool?",
            ExitCode.TIMEOUT,
        )
    # Whoever could not be asked has not said that this is a good moment.
    return ExitCode.FAILED if any(one["verdict"] in BAD for one in rows) else ExitCode.OK


async def _request(
    session: Session, select: str, folder: Path, why: ReasonOptions, *, named: bool
) -> PreflightRequest:
    """What is asked: with the settings' limits, about the tables that what is pending touches.

    A folder that was `named` has to be there; the usual one need not.
    """
    from ledger.service.plan_texts import texts_of
    from migrations.model.preflight import PreflightRequest, TouchedTables
    from migrations.preflight.touched_tables import together, touched_in

    # A selection that cannot be followed is refused at once, and once.
    await session.ledger.fleet.page(select, limit=1)
    policy, touched = session.settings.preflight.policy, TouchedTables()
    if named or await asyncio.to_thread(folder.is_dir):
        request = plan_request(
            RolloutOptions(select=select),
            session.settings,
            why,
            direction="up",
            folder=folder,
        )
        try:
            preview = await session.ledger.rollouts.plan(request)
        except RequestRefusal as refused:
            say(f"Tables are not asked about: {refused}")
        else:
            texts = await texts_of(preview, session.ledger.bundles.text)
            found = together(touched_in(one.sql) for one in texts)
            if (more := len(found.tables) - TABLES_AT_MOST) > 0:
                say(f"Of the tables, {TABLES_AT_MOST:,} are asked about, and {more:,} are not.")
            touched = together([found], TABLES_AT_MOST)
    else:
        say(f"Tables are not asked about: there is no folder {folder}.")
    return PreflightRequest(policy, touched)


def _rows(result: CheckResult, policy: PreflightPolicy) -> Iterator[dict[str, Any]]:
    """A row for each database: the worst of its verdicts, and what led there."""
    for row in result.rows:
        yield _row(row, policy)


def _row(row: CheckRow, policy: PreflightPolicy) -> dict[str, Any]:
    from ledger.cli.db.check import result_rows
    from ledger.domain.check_results import unseen
    from migrations.model.preflight import result_text

    answer = row.answer
    found: Sequence[PreflightResult] = answer.preflight if answer is not None else ()
    worst = _worst(found, policy)
    if answer is None:
        said = SILENT
    elif not found:
        said = unseen(answer) or "it could not be asked; look with `ledger fleet check`"
    else:
        said = "; ".join(map(result_text, _telling(found, policy, worst)))
    return {
        "database": row.database,
        "verdict": worst,
        "said": said,
        "checks": result_rows(found, policy),
    }


def _worst(found: Sequence[PreflightResult], policy: PreflightPolicy) -> str:
    from migrations.model.preflight import counted

    verdicts = {str(counted(one, policy)) for one in found} or {"unknown"}
    return min(verdicts, key=ORDER.index)


def _telling(
    found: Sequence[PreflightResult], policy: PreflightPolicy, worst: str
) -> list[PreflightResult]:
    """The results that made the verdict what it is; none of one that passes."""
    from migrations.model.preflight import counted

    if worst == "pass":
        return []
    return [one for one in found if str(counted(one, policy)) == worst]


def _by_check(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A large fleet: how many databases there are of each verdict, and which checks led there."""
    counts = Counter(one["verdict"] for one in rows)
    told = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in ORDER if counts[verdict])
    lines = [f"{number_of(len(rows), 'database')}: {told}"]
    for verdict in ORDER[:-1]:
        held: dict[str, list[str]] = {}
        for row in rows:
            for check_name in _causes(row, verdict):
                held.setdefault(check_name, []).append(row["database"])
        ordered = sorted(held.items(), key=lambda one: -len(one[1]))
        for name, databases in ordered[:CAUSES_SHOWN]:
            example = next(one for one in rows if one["database"] == databases[0])
            who = names(databases[:NAMED], len(databases))
            if example["checks"]:
                lines += ["", f"{len(databases):,} {verdict}, {name}: {who}"]
                lines.append(f"    {databases[0]}: {_said_of(example, name)}")
            else:
                lines += ["", f"{len(databases):,} {verdict}: {who}", f"    {name}"]
        if rest := ordered[CAUSES_SHOWN:]:
            more = sum(len(databases) for _, databases in rest)
            lines += ["", f"{more:,} more {verdict}, of {number_of(len(rest), 'other cause')}"]
    return [*lines, "", "Lists: `ledger check --all`, or `-s SELECTION`"]


def _causes(row: Mapping[str, Any], verdict: str) -> Iterable[str]:
    """The checks that led to a verdict; of a database that could not be asked, why not."""
    if not row["checks"]:
        return (cause(row["said"], row["database"]),) if row["verdict"] == verdict else ()
    return (str(one["check"]) for one in row["checks"] if str(one["counts_as"]) == verdict)


def _said_of(row: Mapping[str, Any], name: str) -> str:
    said = next(one["said"] for one in row["checks"] if one["check"] == name)
    return str(said or row["said"])
