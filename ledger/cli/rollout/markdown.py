"""A plan as a comment on a pull request: Markdown of a bounded size, the details folded.

What others wrote (names, labels, reasons, SQL) stands in code spans and fences alone, where nothing
in it is markup, a link or somebody's name. A comment that hides at the beginning tells whose plan
it is, so that whoever posts it finds it again and writes over it; no time is in it that changes by
itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ledger.cli.rollout import outlook as words
from ledger.cli.rollout.plan import shown
from ledger.domain.wording import number_of
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.service.outlook import PlanOutlook, StepOutlook
    from ledger.service.plan_texts import StepText
    from ledger.service.plans import Plan

MAX_CHARS = 65_000
"""GitHub takes 65,536 in a comment."""
SPAN_MAX_CHARS = 400
"""Of one thing that somebody wrote: names end somewhere, and what was done to one goes on."""
PARTS_AT_MOST = 40
"""Of a page: a rollout of hundreds of waves has more than anybody unfolds."""
MARKED_MAX_CHARS = 60
_MARKER = re.compile(r"[^A-Za-z0-9._-]+")


def marker(name: str) -> str:
    """What a plan's comment begins with; `name` is the ledger's, or what a pipeline calls it."""
    plain = _MARKER.sub("-", name).strip("-")[:MARKED_MAX_CHARS]
    # Two hyphens would end the comment.
    return f"<!-- migration-ledger plan {re.sub('-+', '-', plain)} -->"


def code(text: str) -> str:
    """A text of others in one line, as it is and nothing else."""
    line = escaped(text)
    if len(line) > SPAN_MAX_CHARS:
        line = f"{line[:SPAN_MAX_CHARS]} …"
    fence = "`" * (_longest(line) + 1)
    return f"{fence} {line} {fence}" if "`" in line or not line.strip() else f"{fence}{line}{fence}"


def fenced(sql: str) -> str:
    """Lines of SQL."""
    text = "\n".join(escaped(line) for line in sql.replace("\r\n", "\n").rstrip().split("\n"))
    fence = "`" * max(_longest(text) + 1, 3)
    return f"{fence}sql\n{text}\n{fence}"


def _longest(text: str) -> int:
    """How many backticks stand together at most."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the page: items between an opening and an end, of which some may be left out."""

    opening: str
    items: Sequence[str]
    ending: str
    noun: str
    between: str = "\n"

    def within(self, room: int) -> str:
        """As many of its items as there is room for; how many are not shown, if some are not."""
        whole = self._text(len(self.items))
        if len(whole) <= room:
            return whole
        count, size = 0, len(self._text(0))
        for item in self.items:
            size += len(item) + len(self.between)
            if size > room:
                break
            count += 1
        return self._text(count)

    @property
    def least(self) -> int:
        """How long it is without any of its items."""
        return len(self._text(0)) if self.items else len(self._text(1))

    def _text(self, count: int) -> str:
        left = len(self.items) - count
        more = [f"- {number_of(left, self.noun)} more, not shown"] if left > 0 else []
        return self.opening + self.between.join([*self.items[:count], *more]) + self.ending


def page(
    plan: Plan,
    outlook: PlanOutlook,
    texts: Sequence[StepText],
    name: str,
    max_chars: int = MAX_CHARS,
) -> str:
    """The whole comment; at most `max_chars`, cut between items, and with its counts."""
    parts = _parts(plan, outlook, texts, name)
    written: list[str] = []
    room = max_chars - 1
    for number, part in enumerate(parts):
        later = sum(one.least + 1 for one in parts[number + 1 :])
        written.append(part.within(room - later))
        room -= len(written[-1]) + 1
    return "\n".join(written) + "\n"


@contextmanager
def refusals_told(name: str) -> Iterator[None]:
    """Write a page also where there is no plan: the reason, in the place of what stood there."""
    try:
        yield
    except Exception as error:
        from ledger.cli.app.explain_error import explain

        why = code(explain(error).text)
        typer.echo(f"{marker(name)}\n## Migrations of {code(name)}: no plan\n\n{why}")
        raise


def _parts(plan: Plan, outlook: PlanOutlook, texts: Sequence[StepText], name: str) -> list[_Part]:
    head = f"{marker(name)}\n{_heading(plan, name)}\n"
    if not plan.databases:
        notes = [f"- {code(note)}" for note in plan.notes]
        done = number_of(plan.already_everywhere, "migration")
        return [_Part(f"{head}\nNothing to do; applied everywhere already: {done}.\n\n", notes, "",
                      "note")]  # fmt: skip
    facts = [f"Risk **{outlook.risk}**", words.expected(outlook), words.rehearsed(plan)]
    said = ". ".join(fact[:1].upper() + fact[1:] for fact in facts)
    steps = [_step(step) for step in outlook.steps]
    parts = [_Part(f"{head}\n{said}.\n\n", steps, "\n", "migration")]
    if plan.notes:
        notes = [f"- {code(note)}" for note in plan.notes]
        parts.append(_Part("**Notes**\n\n", notes, "\n", "note"))
    if plan.variables:
        values = [f"- {code(f'{one} = {value}')}" for one, value in plan.variables.items()]
        parts.append(_Part("**Variables**\n\n", values, "\n", "variable"))
    for number, wave in enumerate(plan.waves, start=1):
        summary = f"Wave {number}: {number_of(len(wave), 'database')}"
        parts.append(_folded(summary, [f"- {code(one)}" for one in wave], "database"))
    for why, databases in outlook.left_out.items():
        summary = f"Left out, {why}: {number_of(len(databases), 'database')}"
        parts.append(_folded(summary, [f"- {code(one)}" for one in databases], "database"))
    sql = [f"- {code(one.file)}{_remark(one)}\n\n{fenced(one.sql)}\n" for one in texts]
    if sql:
        parts.append(_folded(f"SQL of {number_of(len(sql), 'migration')}", sql, "migration"))
    return _few(parts)


def _few(parts: list[_Part]) -> list[_Part]:
    """Of a hundred waves, the ends have no room of their own: they are told together."""
    if len(parts) <= PARTS_AT_MOST:
        return parts
    middle = parts[PARTS_AT_MOST // 2 : -PARTS_AT_MOST // 2]
    left = _Part(f"{number_of(len(middle), 'part')} more, not shown: `ledger plan` has them.\n",
                 (), "", "part")  # fmt: skip
    return [*parts[: PARTS_AT_MOST // 2], left, *parts[-PARTS_AT_MOST // 2 :]]


def _heading(plan: Plan, name: str) -> str:
    databases = number_of(len(plan.databases), "database")
    if not plan.databases:
        return f"## Migrations of {code(name)}"
    waves = number_of(len(plan.waves), "wave")
    digest = shown(plan.digest)
    return f"## Migrations of {code(name)}: {plan.direction} on {databases} in {waves} ({digest})"


def _step(step: StepOutlook) -> str:
    """A migration: its name, its risk and why, and below that what it does."""
    ref, lines = step.ref, [f"- {code(step.ref.label)}: **{step.risk}**, {code(step.why)}"]
    if step.text is not None:
        if does := words.kinds(step.text):
            lines.append(f"does {code(does)}")
        if locks := words.locks(step.text):
            lines.append(f"locks {code(locks)}{', traced' if step.text.traced else ''}")
        lines += [f"{one.effect.replace('_', ' ')}: {code(one.what)}"
                  for one in step.text.consequences[:3]]  # fmt: skip
    if step.largest is not None:
        lines.append(f"largest table {code(words.largest(*step.largest))}")
    lines.append(f"took {words.took(step)}")
    lines.append("can be taken back" if ref.reversible else "**cannot be taken back**")
    return "\n  - ".join(lines)


def _folded(summary: str, items: Sequence[str], noun: str) -> _Part:
    opening = f"<details><summary>{summary}</summary>\n\n"
    return _Part(opening, items, "\n\n</details>\n", noun)


def _remark(text: StepText) -> str:
    return f" ({code(text.remark)})" if text.remark else ""
