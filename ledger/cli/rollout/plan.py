"""Turns options and settings into the plan that a service is asked for, and shows plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.cli.app.output import Output, say
from ledger.cli.app.variables import declared, names_said
from ledger.cli.rollout.outlook import expected, fields_of, release_text, step_lines
from ledger.errors import WrongArgument
from migrations.clock import SYSTEM_CLOCK
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.cli.app.options import PaceOptions, ReasonOptions, RolloutOptions
    from ledger.cli.app.trace import Traced
    from ledger.contracts.events import PlanOptions, RolloutPlanned
    from ledger.contracts.registry import MigrationRef
    from ledger.domain.rehearsals import RehearsalRule
    from ledger.service.outlook import PlanOutlook
    from ledger.service.plan_texts import StepText
    from ledger.service.plans import Plan, PlanRequest
    from ledger.settings import RolloutSection, Settings
    from migrations.model.attempt import Adoption, WatchdogPolicy
    from migrations.model.preflight import PreflightPolicy

LISTED = 12
"""How many databases of a wave or notes of a plan people see; the JSON forms have all."""


def plan_request(
    travel: RolloutOptions,
    settings: Settings,
    why: ReasonOptions,
    *,
    direction: str,
    folder: Path,
    bundle: str | None = None,
    to_version: str | None = None,
    steps_down: int = 1,
    adoption: Adoption | None = None,
) -> PlanRequest:
    """What the command line asks for; what it leaves open comes from the settings.

    `folder` is not read where a `bundle` is named. Databases are asked whether this is a good
    moment only on the way up, and waits are watched wherever statements run.
    """
    from ledger.domain.drift import OnDrift
    from ledger.service.plans import PlanRequest
    from migrations.model.phases import LAST_BY_DEFAULT, Phase

    if travel.phase is not None and direction != "up":
        raise WrongArgument("--phase is for going up; leave it out")
    if travel.out_of_order and direction != "up":
        raise WrongArgument("--allow-out-of-order is for going up; leave it out")

    preflight = settings.preflight.policy if direction == "up" else None
    watchdog = settings.watchdog.policy if adoption is None else None
    return PlanRequest(
        direction=direction,
        folder=None if bundle else folder,
        options=plan_options(travel, settings.rollout, preflight, watchdog),
        bundle=bundle,
        to_version=to_version,
        steps_down=steps_down,
        select=travel.select,
        asked=why.asked(),
        rehearsal=rehearsal_rule(travel, settings.rollout),
        on_drift=OnDrift(travel.on_drift),
        phase=Phase(travel.phase) if travel.phase else LAST_BY_DEFAULT,
        adoption=adoption,
        variables=declared(travel.var, settings),
        said=names_said(travel.var),
        format=travel.format,
        psql=travel.allow_psql,
    )


def rehearsal_rule(travel: RolloutOptions, defaults: RolloutSection) -> RehearsalRule | None:
    """What is required of a rehearsal: what the flag says, or else the settings."""
    from ledger.domain.rehearsals import RehearsalRule

    wanted = travel.require_rehearsal
    required = defaults.require_rehearsal if wanted is None else wanted
    return RehearsalRule(defaults.rehearsal_max_age_days) if required else None


def plan_options(
    travel: RolloutOptions,
    defaults: RolloutSection,
    preflight: PreflightPolicy | None = None,
    watchdog: WatchdogPolicy | None = None,
) -> PlanOptions:
    """How the rollout goes: what the flags say, and the settings where they say nothing.

    Flags and settings that are called like a field of `PlanOptions` find their way by that name.
    `preflight` is what is asked of each database before, `watchdog` what is done about waits.
    """
    from ledger.contracts.events import PlanOptions
    from ledger.domain import budget, waves

    chosen = defaults.model_dump() | _said(travel)
    # Also where nothing is to do, so that nobody learns of a slip when it counts.
    waves.parse(chosen["waves"])
    return PlanOptions.model_validate(
        chosen
        | {
            "wave_spec": chosen["waves"],
            "budget": budget.parse(chosen["budget"]),
            "when_spent": str(chosen["when_spent"]),
            "limits": chosen | {"preflight": preflight, "watchdog": watchdog},
        }
    )


def rollback_options(pace: PaceOptions, plan: RolloutPlanned) -> PlanOptions:
    """How the way back goes: what the flags say, else as the rollout went that is taken back."""
    from ledger.contracts.events import PlanOptions
    from ledger.domain import budget
    from ledger.domain.rollback import undo_options

    said, usual = _said(pace), undo_options(plan).model_dump()
    if "waves" in said:
        said["wave_spec"] = said.pop("waves")
    if "budget" in said:
        said["budget"] = budget.parse(said["budget"])
    limits = usual["limits"] | {name: said.pop(name) for name in usual["limits"] if name in said}
    return PlanOptions.model_validate(usual | said | {"limits": limits})


def _said(options: PaceOptions) -> dict[str, Any]:
    """What the flags say; those that say nothing are left out."""
    said = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in said.items() if value is not None}


def facts(
    preview: Plan,
    lost: Mapping[str, Sequence[str]] | None = None,
    outlook: PlanOutlook | None = None,
) -> list[str]:
    """What a person must know before agreeing; going back, what is `lost`, by version."""
    from ledger.domain.wording import number_of

    databases = number_of(len(preview.databases), "database")
    waves = number_of(len(preview.waves), "wave")
    sizes = ", ".join(f"{len(wave):,}" for wave in preview.waves[:LISTED])
    more_waves = len(preview.waves) - LISTED
    sizes += f" and {more_waves:,} more" if more_waves > 0 else ""
    undoes = preview.request.undoes
    what = preview.direction if undoes is None else f"take rollout {undoes} back"
    return [
        f"{what} on {databases} in {waves} ({sizes})",
        *(_named_steps(preview, outlook) if lost is None else ()),
        *_taken_back(preview, lost),
        *([rehearsed(preview)] if preview.direction == "up" else []),
        *(f"variable {name} = {value}" for name, value in preview.variables.items()),
        *(f"note: {note}" for note in preview.notes[:LISTED]),
        *(_meaning(outlook) if outlook is not None else ()),
        f"plan {shown(preview.digest)}",
    ]


def _named_steps(preview: Plan, outlook: PlanOutlook | None) -> Iterator[str]:
    for number, step in enumerate(preview.steps):
        yield f"  {step.label}{_remarks(step)}"
        if outlook is not None:
            yield from (f"    {escaped(line)}" for line in step_lines(outlook.steps[number]))


def _meaning(outlook: PlanOutlook) -> Iterator[str]:
    yield expected(outlook)
    for why, databases in outlook.left_out.items():
        more = len(databases) - LISTED
        names = ", ".join(databases[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
        yield f"left out, {why}: {names}"


def rehearsed(preview: Plan, now: datetime | None = None) -> str:
    """Whether what goes up was rehearsed: `rehearsed 2 h ago on PostgreSQL 18.6`."""
    from ledger.domain.wording import age_text

    found, required = preview.rehearsal, preview.request.rehearsal is not None
    if found is None:
        what = "not rehearsed"
        return f"{what}, which is required: `ledger test` does it" if required else what
    ago = ((now or SYSTEM_CLOCK.now()) - found.at).total_seconds()
    when = f"{age_text(ago)} ago on {release_text(found.event.server_version)}"
    if not found.event.succeeded:
        return f"rehearsed {when}, which failed"
    return f"rehearsed {when}"


def _taken_back(preview: Plan, lost: Mapping[str, Sequence[str]] | None) -> list[str]:
    """What goes back, what that takes away for good, and where."""
    if lost is None:
        return []
    lines = []
    for step in preview.steps:
        losses = lost.get(step.version, ())
        behind = f": {', '.join(losses)}" if losses else ""
        lines.append(f"  undoes {step.label}{behind}")
    if any(lost.values()):
        lines.append("what it drops, empties or deletes does not come back")
    databases = preview.databases
    more = len(databases) - LISTED
    names = ", ".join(databases[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
    return [*lines, f"on {names}"]


def shown(digest: str | None) -> str:
    """The beginning of a plan's digest, by which people tell plans apart."""
    from ledger.domain.plan_digest import SHOWN

    return (digest or "")[:SHOWN]


def show_plan(
    preview: Plan,
    output: Output,
    texts: Sequence[StepText] | None = None,
    *,
    every: bool = False,
    outlook: PlanOutlook | None = None,
    traced: Traced | None = None,
) -> None:
    """Write a plan: its migrations, its notes and its waves; all of it is data.

    With `texts`, people get the SQL of its steps in place of the waves, and programs both; with
    `every`, people see each database by name. The `outlook` says what it would mean.
    """
    if output.for_people:
        _tell_plan(preview, output, texts, outlook, traced)
        if texts:
            return
    steps = [_step(step) for step in preview.steps]
    meant: dict[str, Any] = {}
    if outlook is not None:
        steps = [step | fields_of(one) for step, one in zip(steps, outlook.steps, strict=True)]
        meant = {
            "risk": str(outlook.risk),
            "per_database_s": outlook.per_database_s,
            "rollout_s": outlook.rollout_s,
            "left_out": {why: list(names) for why, names in outlook.left_out.items()},
        }
    for step, text in zip(steps, texts or (), strict=False):
        step |= {"sql": text.sql, "file": text.file, "sql_of": text.database}
    waves = list(enumerate(preview.waves, start=1))
    left = [] if every or not output.for_people else waves[LISTED - 1 : -1]
    output.rows(
        "plan",
        [
            {"wave": number, "size": len(wave), "databases": _named(wave, output, every)}
            for number, wave in waves
            if not left or number < LISTED or number == len(waves)
        ],
        ("wave", "size", "databases"),
        empty="",
        direction=preview.direction,
        digest=preview.digest,
        steps=steps,
        notes=list(preview.notes),
        variables=dict(preview.variables),
        already_everywhere=preview.already_everywhere,
        **meant,
        rehearsal=_rehearsal(preview),
        trace=traced.document() if traced is not None else None,
    )
    if left:
        output.tell(_left_out(left))
    elif output.for_people and not every and any(len(wave) > LISTED for wave in preview.waves):
        say("Of large waves some databases are named; `ledger plan --all` names all")


def _tell_plan(
    preview: Plan,
    output: Output,
    texts: Sequence[StepText] | None,
    outlook: PlanOutlook | None,
    traced: Traced | None,
) -> None:
    """What people read before the waves, or, with `texts`, in their place."""
    from ledger.domain.wording import number_of

    # A script is to be kept as it is, so what is said of it stands beside it.
    tell = say if texts else output.tell
    for fact in facts(preview, outlook=outlook) if preview.databases else preview.notes[:LISTED]:
        tell(fact)
    if preview.already_everywhere:
        tell(f"applied everywhere already: {number_of(preview.already_everywhere, 'migration')}")
    if texts:
        output.text(_script(texts))
        for line in traced.lines() if traced is not None else ():
            say(line)
        return
    if not preview.waves:
        output.tell("Nothing to do.")
    if traced is not None:
        output.lines([*traced.lines(), ""])


def _left_out(waves: Sequence[tuple[int, Sequence[str]]]) -> str:
    from ledger.domain.wording import number_of

    databases = number_of(sum(len(wave) for _, wave in waves), "database")
    return f"{number_of(len(waves), 'wave')} more between them, of {databases}; --all shows each"


def _rehearsal(preview: Plan) -> dict[str, Any] | None:
    found = preview.rehearsal
    if found is None:
        return None
    return {
        "at": found.at,
        "succeeded": found.event.succeeded,
        "failed": list(found.event.failed),
        "server_version": found.event.server_version,
        "schema_from": found.event.schema_from,
    }


def _script(texts: Sequence[StepText]) -> str:
    """The SQL of all steps, with what is no SQL in comments."""
    parts = [f"-- as {escaped(texts[0].database)} gets it"]
    for text in texts:
        remark = f" ({escaped(text.remark)})" if text.remark else ""
        parts.append(f"-- {escaped(text.migration)}, {escaped(text.file)}{remark}\n{text.sql}")
    return "\n\n".join(part.rstrip() for part in parts)


def _named(wave: Sequence[str], output: Output, every: bool) -> list[str]:
    if every or not output.for_people or len(wave) <= LISTED:
        return list(wave)
    return [*wave[:LISTED], f"and {len(wave) - LISTED:,} more"]


def _step(step: MigrationRef) -> dict[str, Any]:
    return {
        "label": step.label,
        "transactional": step.transactional,
        "has_down": step.reversible,
        "has_verify": step.has_verify,
        "kind": step.kind,
    }


def _remarks(step: MigrationRef) -> str:
    """What is worth a second look before this migration runs."""
    remarks = []
    if step.kind in ("python", "psql"):
        remarks.append(f"runs {step.kind}: agents need LEDGER_AGENT_PROGRAMS={step.kind}")
    if step.kind == "data":
        remarks.append("in batches, each in a transaction of its own")
    elif not step.transactional:
        remarks.append("statement by statement, not in one transaction")
    if not step.reversible:
        remarks.append("cannot be taken back")
    if not step.has_verify:
        remarks.append("no verify section")
    return f" ({', '.join(remarks)})" if remarks else ""
