"""`ledger lint`: read, judge, show; nothing is run and nothing is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.app.argument_check import refuse_beside, refuse_without
from ledger.cli.app.command import command, flags_of
from ledger.cli.app.exits import ExitCode
from ledger.cli.app.help_page import OUTPUT
from ledger.cli.app.output import Output, OutputFormat, say, write_document
from ledger.cli.app.scratch import ScratchOptions
from ledger.cli.app.trace import TraceOption
from ledger.cli.app.variables import declared, names_said, reading_of
from ledger.cli.lint.scope import JudgedOptions, Scope, place_of, scope_of, shown_path, sizes_of
from ledger.cli.lint.tracing import told_trace
from migrations.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from ledger.cli.lint.scope import NamedFiles
    from ledger.settings import Settings
    from migrations.lint.finding import LargestTable, LintFinding
    from migrations.lint.judgement import Judgement, LintOptions
    from migrations.lint.rule import Evidence
    from migrations.lint.squawk import SquawkAnswer
    from migrations.model.migration import Migration

_NAMED_MOST = 10
"""Programs that are named one by one."""


class LintFormat(StrEnum):
    """How findings are written to stdout."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    SARIF = "sarif"
    GITHUB = "github"


class FailOn(StrEnum):
    """From which severity on a finding makes the command fail."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEVER = "never"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    command(
        app,
        "lint",
        panel="Every day",
        examples=(
            "ledger lint",
            "ledger lint db/migrations --all",
            "ledger lint --since origin/main -o github",
            "ledger lint --fail-on warning -o sarif",
            "ledger lint --trace --scratch env:SCRATCH_URL",
        ),
    )(lint)


async def lint(
    ctx: typer.Context,
    which: JudgedOptions,
    scratch: ScratchOptions,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER|FILE]...", help="A folder of migrations, or files of one folder."
        ),
    ] = None,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(
            "--fail-on",
            help="From which severity on the exit code is 1. Default: error, or the setting.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    trace: TraceOption = False,
    output: Annotated[
        LintFormat,
        typer.Option(
            "--output",
            "-o",
            help="table for people; json, ndjson, csv; sarif for code scanning, github for "
            "annotations.",
            show_default=True,
            rich_help_panel=OUTPUT,
        ),
    ] = LintFormat.TABLE,
) -> ExitCode:
    """Find what would hurt in migrations before anything runs, each with its reason and way out.

    Judges what some database of the fleet lacks, where a ledger is named; else every file, as if
    none was applied. A comment `-- ledger:ignore RULE reason` above a statement lets one finding
    pass. Ends with 1 when a finding is an error, or a file cannot be read.

    With --trace each statement runs in a scratch database, dropped afterwards, and what is seen
    there beats what rules conclude from the text: findings are confirmed, dropped or added.
    """
    from migrations.errors import FolderError, FormatError, LoadError, VariableError
    from migrations.lint.judgement import Judgement, unreadable
    from migrations.lint.squawk import NOT_ASKED

    settings = flags_of(ctx).load().settings
    options = options_of(settings)
    place = place_of(paths or (), which.folder)
    if place.files:
        refuse_beside(ctx, "a file that is named", "--all", "--since")
    elif paths:
        refuse_beside(ctx, "a folder that is named", "--folder")
    if not trace:
        refuse_without(ctx, "--trace", "--scratch", "--schema-from")
    wanted = FailOn(fail_on or settings.lint.fail_on)
    try:
        migrations = await _loaded(place, which, settings)
    except (FolderError, FormatError, VariableError):
        raise
    except LoadError as error:
        found = Judgement((unreadable(error, options),))
        scope = Scope(frozenset(), True, "nothing, for the folder cannot be read")
        answer = NOT_ASKED
    else:
        scope = await scope_of(ctx, place, migrations, which)
        found, answer = await _found(ctx, scratch if trace else None, place, migrations, scope)
    _show(_seen_from_here(found, place.folder), scope, answer, output)
    return _code(found, wanted)


async def _found(
    ctx: typer.Context,
    scratch: ScratchOptions | None,
    place: NamedFiles,
    migrations: tuple[Migration, ...],
    scope: Scope,
) -> tuple[Judgement, SquawkAnswer]:
    """What is judged, by what a trace saw, if one is wanted, or else by the fleet's sizes."""
    settings = flags_of(ctx).load().settings
    options = options_of(settings)
    evidence = await told_trace(ctx, scratch, place, migrations, scope) if scratch else None
    limit_mb = options.limits.large_table_mb
    sizes = await sizes_of(ctx, migrations, scope, limit_mb) if evidence is None else {}
    return await _judged(
        migrations, scope, options, sizes, squawk=settings.lint.squawk, evidence=evidence
    )


def options_of(settings: Settings) -> LintOptions:
    """What the settings say of the rules. Raises `SettingsError` for a rule that there is not."""
    from ledger.settings.errors import SettingsError
    from migrations.lint.ignores import nearest
    from migrations.lint.judgement import LintOptions
    from migrations.lint.rule import RuleLimits
    from migrations.lint.rules import REGISTRY

    section = settings.lint
    for table, names in (("severity", section.severity), ("phases", section.phases)):
        for name in names:
            if name not in REGISTRY:
                raise SettingsError(
                    f"lint.{table} names {name!r}, which is no rule; {nearest(name)}; write one "
                    "that is, or see the manual's page of rules"
                )
    return LintOptions(
        section.severity,
        section.phases,
        RuleLimits(**section.limits.model_dump()),
        section.schema_per_tenant,
    )


async def _loaded(
    place: NamedFiles, which: JudgedOptions, settings: Settings
) -> tuple[Migration, ...]:
    """Every migration of the folder; a variable of a label stands there with its sample."""
    from ledger.domain.variables import refuse_unknown, samples
    from migrations.formats.bundle import load_folder

    variables = declared(which.var, settings)
    reading = replace(reading_of(variables, psql=True), variables=samples(variables))
    bundle = await asyncio.to_thread(load_folder, place.folder, which.format, reading)
    refuse_unknown(names_said(which.var), bundle.migrations)
    return bundle.migrations


async def _judged(
    migrations: Sequence[Migration],
    scope: Scope,
    options: LintOptions,
    sizes: Mapping[str, LargestTable],
    *,
    squawk: bool,
    evidence: Evidence | None = None,
) -> tuple[Judgement, SquawkAnswer]:
    from migrations.lint.judgement import LintQuestion, judge
    from migrations.lint.squawk import SquawkAnswer, ask_squawk, squawk_here

    if squawk:
        asked = [one for one in migrations if one.version in scope.versions]
        answer = await ask_squawk(asked, squawk_here())
    else:
        answer = SquawkAnswer(False, problem="squawk is switched off by the settings")
    today = SYSTEM_CLOCK.now().date()
    question = LintQuestion(
        migrations, scope.versions, scope.together, today, options, evidence, sizes
    )
    return await asyncio.to_thread(judge, question, answer), answer


def _seen_from_here(found: Judgement, folder: Path) -> Judgement:
    def moved(one: LintFinding) -> LintFinding:
        return replace(one, file=shown_path(folder, one.file))

    return replace(
        found,
        findings=tuple(map(moved, found.findings)),
        ignored=tuple((moved(one), reason) for one, reason in found.ignored),
    )


def _remarks(found: Judgement, answer: SquawkAnswer) -> list[str]:
    """What kept the findings from being all there are."""
    said = []
    if found.missing:
        said.append(f"{answer.problem}, so these rules are missing: {', '.join(found.missing)}")
    elif answer.answered and answer.problem:
        said.append(answer.problem)
    if found.unseen:
        names = "; ".join(found.unseen[:_NAMED_MOST])
        more = len(found.unseen) - _NAMED_MOST
        said.append(
            f"not looked into, for they are programs: {names}"
            f"{f' and {more} more' if more > 0 else ''}; what DO blocks and CALL do, --trace sees"
        )
    return said


def _show(found: Judgement, scope: Scope, answer: SquawkAnswer, form: LintFormat) -> None:
    remarks = _remarks(found, answer)
    say(f"Judged: {scope.said}")
    for remark in remarks:
        say(remark[:1].upper() + remark[1:])
    match form:
        case LintFormat.TABLE:
            from ledger.cli.lint.page import counted, page

            Output(OutputFormat.TABLE).lines([*page(found.findings), counted(found)])
        case LintFormat.SARIF:
            from importlib import metadata

            from ledger.cli.lint.report import sarif
            from migrations.lint.rules import REGISTRY

            release = metadata.version("migration-ledger")
            write_document(sarif(found.findings, found.ignored, REGISTRY, remarks, release))
        case LintFormat.GITHUB:
            from ledger.cli.lint.report import annotated

            for line in annotated(found.findings):
                typer.echo(line)
        case _:
            Output(OutputFormat(form)).rows(
                "lint",
                [_row(one) for one in found.findings],
                ("file", "line", "severity", "rule", "what"),
                empty="",
                judged=scope.said,
                counts=_counts(found),
                ignored=[_row(one) | {"reason": reason} for one, reason in found.ignored],
                rules_missing=list(found.missing),
                not_looked_into=list(found.unseen),
                squawk={"release": answer.release or None, "problem": answer.problem or None},
            )


def _row(one: LintFinding) -> dict[str, Any]:
    return {
        "file": one.file,
        "line": one.line,
        "severity": one.severity,
        "rule": one.rule,
        "what": one.what,
        "why": one.why,
        "rewrite": one.rewrite,
        "recipe": one.recipe or None,
        "migration": one.migration or None,
        "statement": one.statement or None,
        "seen": one.seen or None,
    }


def _counts(found: Judgement) -> dict[str, int]:
    from migrations.lint.finding import Severity

    return {severity.value: found.count(severity) for severity in Severity}


def _code(found: Judgement, fail_on: FailOn) -> ExitCode:
    from migrations.lint.finding import Severity

    if fail_on is FailOn.NEVER:
        return ExitCode.OK
    limit = Severity(fail_on.value).rank
    failed = any(one.severity.rank <= limit for one in found.findings)
    return ExitCode.FAILED if failed else ExitCode.OK
