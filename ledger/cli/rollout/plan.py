"""Turns options and settings into the plan that a service is asked for, and shows plans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.cli.app.output import Output, say
from ledger.errors import WrongArgument

if TYPE_CHECKING:
    from ledger.cli.app.options import ReasonOptions, RolloutOptions
    from ledger.contracts.registry import Variable
    from ledger.service.plans import PlannedStep, PlanOptions, PlanPreview
    from ledger.settings import RolloutSection
    from migrations.model.attempt import Adoption

LISTED = 12
"""How many databases of a wave or notes of a plan people see; the JSON forms have all."""


def plan_request(
    travel: RolloutOptions,
    defaults: RolloutSection,
    why: ReasonOptions,
    *,
    direction: str,
    folder: Path | None,
    bundle: str | None = None,
    to_version: str | None = None,
    steps_down: int = 1,
    adoption: Adoption | None = None,
    variables: Sequence[Variable] = (),
) -> PlanOptions:
    """What the command line asks for; what it leaves open comes from the settings."""
    from ledger.service.plans import PlanOptions
    from migrations.model.phases import LAST_BY_DEFAULT, Phase

    if travel.phase is not None and direction != "up":
        raise WrongArgument("--phase is for going up; leave it out")

    def chosen(option: Any, setting: Any) -> Any:
        return setting if option is None else option

    return PlanOptions(
        direction=direction,
        folder=folder,
        bundle=bundle,
        to_version=to_version,
        steps_down=steps_down,
        select=travel.select,
        waves=chosen(travel.waves, defaults.waves),
        in_flight=chosen(travel.in_flight, defaults.in_flight),
        budget=chosen(travel.budget, defaults.budget),
        when_spent=str(chosen(travel.when_spent, defaults.when_spent)),
        lock_timeout_s=chosen(travel.lock_timeout, defaults.lock_timeout_s),
        statement_timeout_s=chosen(travel.statement_timeout, defaults.statement_timeout_s),
        expiry_s=chosen(travel.expiry, defaults.expiry_s),
        deadline_s=chosen(travel.deadline, defaults.deadline_s),
        asked=why.asked(),
        phase=Phase(travel.phase) if travel.phase else LAST_BY_DEFAULT,
        out_of_order=travel.allow_out_of_order,
        adoption=adoption,
        variables=variables,
        format=travel.format,
        psql=travel.allow_psql,
    )


def facts(preview: PlanPreview) -> list[str]:
    """What a person must know before agreeing."""
    from ledger.domain.wording import number_of

    databases = number_of(len(preview.databases), "database")
    waves = number_of(len(preview.waves), "wave")
    sizes = ", ".join(str(len(wave)) for wave in preview.waves)
    return [
        f"{preview.direction} on {databases} in {waves} ({sizes})",
        *(f"  {step.label}{_remarks(step)}" for step in preview.steps),
        *(f"variable {name} = {value}" for name, value in preview.variables.items()),
        *(f"note: {note}" for note in preview.notes[:LISTED]),
    ]


def show_plan(preview: PlanPreview, output: Output) -> None:
    """Write a plan: its waves as data, its migrations and notes beside them."""
    from ledger.domain.wording import number_of

    if output.for_people:
        for fact in facts(preview) if preview.databases else preview.notes[:LISTED]:
            say(fact)
        if preview.already_everywhere:
            done = number_of(preview.already_everywhere, "migration")
            say(f"applied everywhere already: {done}")
    steps = [_step(step) for step in preview.steps]
    output.rows(
        "plan",
        [
            {"wave": number, "size": len(wave), "databases": _named(wave, output)}
            for number, wave in enumerate(preview.waves, start=1)
        ],
        ("wave", "size", "databases"),
        empty="Nothing to do.",
        direction=preview.direction,
        steps=steps,
        notes=list(preview.notes),
        variables=dict(preview.variables),
        already_everywhere=preview.already_everywhere,
    )


def _named(wave: Sequence[str], output: Output) -> list[str]:
    if not output.for_people or len(wave) <= LISTED:
        return list(wave)
    return [*wave[:LISTED], f"and {len(wave) - LISTED} more"]


def _step(step: PlannedStep) -> dict[str, Any]:
    return {
        "label": step.label,
        "transactional": step.transactional,
        "has_down": step.has_down,
        "has_verify": step.has_verify,
        "kind": step.kind,
    }


def _remarks(step: PlannedStep) -> str:
    """What is worth a second look before this migration runs."""
    remarks = []
    if step.kind in ("python", "psql"):
        remarks.append(f"runs {step.kind}: agents need LEDGER_AGENT_PROGRAMS={step.kind}")
    if step.kind == "data":
        remarks.append("in batches, each in a transaction of its own")
    elif not step.transactional:
        remarks.append("statement by statement, not in one transaction")
    if not step.has_down:
        remarks.append("cannot be taken back")
    if not step.has_verify:
        remarks.append("no verify section")
    return f" ({', '.join(remarks)})" if remarks else ""
