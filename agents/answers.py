"""The last word on a command that does not go on, from what the journal says it has done: pure.

A command may be delivered again at any time, also when it was answered long ago and later orders
have moved the journal. What is said of it then is what was said first: the journal is taken as the
command left it, or, if it never worked there, as it was before any later order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile

from agents.translation import holds, journalled
from ledger.contracts.commands import ApplyCommand
from migrations.adoption.outcome import told
from migrations.inspection import Inspection, with_entries
from migrations.model import work
from migrations.model.attempt import Failure, FailureClass, ForgedFence, Mode, Verdict

CHANGED = (work.StepResult.APPLIED, work.StepResult.ROLLED_BACK)
"""What counts as in force: this rollout's own steps, recovered ones included."""


NOT_BEGUN = "cancelled before it began"
"""What is said of a cancelled command that has written nothing, whoever says it."""
BY_ORDER = "cancelled by order"
"""What is said of one that has, where the journal does not say what became of it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a command does not go on, and how it ends by that if it has done nothing."""

    verdict: Verdict
    failure: Failure


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended, and what is reported on the way to that."""

    verdict: Verdict
    failure: Failure | None
    steps: tuple[work.StepOutcome, ...] = ()
    adopted: work.Adopted | None = None
    worked: bool = False
    """Whether the command has written in the journal."""

    @property
    def changed(self) -> int:
        """How many migrations it has in force, or out of it."""
        return sum(step.result in CHANGED for step in self.steps) + size(self.adopted)


def verdict_of(outcome: work.Outcome) -> Verdict:
    """How an attempt ended; one that was cancelled did not fail, also when the journal says it."""
    if outcome.failure is not None and outcome.failure.kind is FailureClass.CANCELLED:
        return Verdict.CANCELLED
    return outcome.verdict


def unread(failure: Failure, ended: Ended) -> Answer:
    """The answer while nobody knows what the command has done; a refusal has its reason already."""
    if ended.verdict is Verdict.REFUSED:
        return Answer(ended.verdict, ended.failure)
    text = f"{ended.failure.message}, and what it did before could not be read: {failure.message}"
    verdict = Verdict.FAILED if ended.verdict is Verdict.CANCELLED else ended.verdict
    return Answer(verdict, replace(failure, message=text))


def size(adopted: work.Adopted | None) -> int:
    """How many migrations an adoption has put in force, or out of it."""
    return len(adopted.taken) + len(adopted.released) if adopted else 0


def left_by(command: ApplyCommand, found: Inspection) -> Inspection:
    """What was found, as `command` left it, or as it was before any later order."""
    if found.record is None:
        return found
    entries = found.record.entries
    own = [entry.seq for entry in entries if entry.command == command.command]
    if own:
        kept = [entry for entry in entries if entry.seq <= own[-1]]
    else:
        forged = command.order.expected.forged
        kept = list(
            takewhile(
                lambda entry: (
                    entry.epoch <= command.epoch or forged == ForgedFence(entry.epoch, entry.head)
                ),
                entries,
            )
        )
    return found if len(kept) == len(entries) else with_entries(found, kept)


def answer(command: ApplyCommand, left: Inspection, ended: Ended) -> Answer:
    """What to say of `command`; `left` is what it left. It is `ended` if it has done nothing."""
    steps = tuple(journalled(command, left))
    adopted = told(left.entries, command.command, command.order.rollout)
    entries = left.record.entries if left.record is not None else ()
    worked = any(entry.command == command.command for entry in entries)
    failures = [step.failure for step in steps if step.failure is not None]
    done = (steps or worked) and holds(command, left)
    verdict: Verdict = ended.verdict
    failure: Failure | None = ended.failure
    if verdict is Verdict.CANCELLED:
        failure = Failure(FailureClass.CANCELLED, BY_ORDER if worked else NOT_BEGUN)
    elif verdict is Verdict.EXPIRED and worked:
        text = f"begun and cut short; {ended.failure.message}"
        failure = replace(ended.failure, message=text)
    if failures and failures[-1].kind is not FailureClass.CANCELLED:
        verdict, failure = Verdict.FAILED, failures[-1]
    elif failures:
        # Cut short, by an order or by an agent that ended: no failure of the migration's. Whoever
        # is asked before the expiry says the same.
        verdict, failure = Verdict.CANCELLED, failures[-1]
    elif done or (adopted is not None and command.order.mode is Mode.ADOPT):
        verdict, failure = Verdict.DONE, None
    return Answer(verdict, failure, steps, adopted, worked)
