"""Shows a rollout while it travels: bars on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from ledger.cli.app.output import QUIET, console, say
from ledger.cli.app.stream import width_of
from ledger.domain.tally import DONE, state_words
from ledger.domain.wording import IN_QUEUE, alike, number_of
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.printable import escaped

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ledger.service.status import DatabaseLine, RolloutStatus, WaveStatus

Attempt = tuple[str, str, int]
"""A database, the state that it is in, and the number of its attempt."""
ENDED = ("completed", "aborted")
FAILED = ("failed", "blocked")
LINES_EVERY_S = 2.0
"""How often plain lines tell the counts, unless a wave ends."""
LASTING_S = 3.0
"""A wait that is shorter needs no explanation."""
AT_ONCE = ("no_broker",)
"""Reasons that whoever leads has made sure of, so that they need no time to be believed."""
TOLD_ONE_BY_ONE = 5
"""Databases that failed for one reason and are told each by itself; of more they are counted."""
CAUSES_TOLD = 10
"""Causes of failures that are told each by itself; of more, databases and causes are counted."""
WIDE, BAR_MOST, BAR_LEAST = 100, 40, 10
"""Columns of a terminal with room, and those of a bar there and elsewhere."""
COUNTED_EVERY_S = 10.0
"""How often the number of those that are only counted is told."""
WAITS_SHOWN = 3
"""How many waiting databases are explained at a time; `ledger rollout status` shows all."""


class Display(Protocol):
    """Shows one status after the other."""

    def show(self, status: RolloutStatus) -> None:
        """Show what is new in `status`."""


@contextmanager
def display(known: Collection[Attempt] = ()) -> Iterator[Display]:
    """The display that fits stderr, and how much is to be said.

    The failures that are `known`, because somebody just spoke about them, are no news.
    """
    if QUIET.get():
        yield Nothing()
        return
    if not sys.stderr.isatty():
        yield Lines(known)
        return
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    count = TextColumn("{task.completed:,.0f}/{task.total:,.0f}", justify="right")
    # Where there is no room, the notes go on in a line of their own, and no number is cut.
    note = TextColumn("{task.fields[note]}", table_column=Column(no_wrap=False))
    bar = BarColumn(bar_width=BAR_MOST if width_of(sys.stderr) >= WIDE else BAR_LEAST)
    columns = (TextColumn("{task.description}"), bar, count, note)
    with Progress(*columns, console=console(stderr=True)) as bars:
        yield Bars(bars, known)


class News:
    """Tells what was not said yet: failures, waits that last, and the rollout's own turns.

    Failures that are `known` count as said. Of one cause, in the same words but for the database,
    the first few are told one by one and the others by their number, again when it has grown.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK, known: Collection[Attempt] = ()) -> None:
        self._clock = clock
        self._said: set[tuple[str, ...]] = {_failure(*one) for one in known}
        self._waiting_since: dict[tuple[str, str], float] = {}
        self._known = frozenset(self._said)
        self._counted: dict[tuple[str, str], int] = {}
        self._causes: dict[str, dict[str, None]] = {}
        """By state, the causes that are told; nothing takes the place of one."""
        self._count_at = 0.0

    def of(self, status: RolloutStatus) -> list[str]:
        """The new sentences about `status`."""
        return [escaped(sentence) for key, sentence in self._all(status) if self._new(key)]

    def _all(self, status: RolloutStatus) -> Iterator[tuple[tuple[str, ...], str]]:
        from ledger.domain.waiting import FOR_ALL

        yield from self._failures(status)
        lasting = self._lasting(status)
        shared = {str(one.reason): one for one in lasting if one.reason in FOR_ALL}
        # What is so for all is told in one line; what was over may come again, and is news then.
        self._said -= {(reason,) for reason in FOR_ALL if reason not in shared}
        for reason, one in shared.items():
            yield (reason,), f"{one.waits_for}{_helping(one)}"
        for one in [one for one in lasting if one.reason not in FOR_ALL][:WAITS_SHOWN]:
            yield (one.database, one.wait), f"{one.database}: {one.waits_for}{_helping(one)}"
        why = f": {status.why}" if status.why else ""
        beside = relation(status.undoes, status.undone_by)
        sentence = f"rollout {status.rollout} is {state_words(status.status)}{why}{beside}"
        yield ("rollout", status.rollout, status.status), sentence

    def _failures(self, status: RolloutStatus) -> Iterator[tuple[tuple[str, ...], str]]:
        """What failed: some of each cause by name, and how many more there are."""
        from ledger.domain.check_results import cause

        causes: dict[tuple[str, str], list[DatabaseLine]] = {}
        for one in status.databases:
            if one.status in FAILED and _failure(*_attempt(one)) not in self._known:
                why = cause(alike(one.problem or ""), one.database)
                causes.setdefault((one.status, why), []).append(one)
        now, over = self._clock.monotonic(), status.status in ENDED or status.status == "halted"
        due = over or now >= self._count_at
        beside: dict[str, list[int]] = {}
        for (state, why), failed in causes.items():
            named = self._causes.setdefault(state, {})
            if len(named) >= CAUSES_TOLD and why not in named:
                beside.setdefault(state, []).append(len(failed))
                continue
            named[why] = None
            told = [one for one in failed if _failure(*_attempt(one)) in self._said]
            for one in [*told, *(one for one in failed if one not in told)][:TOLD_ONE_BY_ONE]:
                sentence = f"{one.database} {state_words(one.status)}: {one.problem}"
                yield _failure(*_attempt(one)), sentence
            more = len(failed) - TOLD_ONE_BY_ONE
            if more > 0 and due and more > self._counted.get((state, why), 0):
                self._counted[state, why] = more
                self._count_at = now + COUNTED_EVERY_S
                # Of very many, only some are at hand.
                number = f"{'at least ' if status.more else ''}{number_of(more, 'more database')}"
                yield ("more", state, why, str(more)), f"{number} {state_words(state)}: {why}"
        for state, numbers in beside.items():
            if due and sum(numbers) > self._counted.get((state, ""), 0):
                self._counted[state, ""] = sum(numbers)
                self._count_at = now + COUNTED_EVERY_S
                number = f"{'at least ' if status.more else ''}"
                number += number_of(sum(numbers), "more database")
                reasons = number_of(len(numbers), "other reason")
                key = ("more", state, "", str(sum(numbers)))
                yield key, f"{number} {state_words(state)}, for {reasons}"

    def _lasting(self, status: RolloutStatus) -> list[DatabaseLine]:
        """Databases that have waited for the same thing for a while; a mere queue is no news."""
        now = self._clock.monotonic()
        before = self._waiting_since
        waiting = [one for one in status.databases if one.waits_for and not _queues(one)]
        keys = [(one.database, one.wait) for one in waiting]
        self._waiting_since = {key: before.get(key, now) for key in keys}
        return [
            one
            for one, key in zip(waiting, keys, strict=True)
            if one.reason in AT_ONCE or now - self._waiting_since[key] >= LASTING_S
        ]

    def _new(self, key: tuple[str, ...]) -> bool:
        if key in self._said:
            return False
        self._said.add(key)
        return True


def _attempt(one: DatabaseLine) -> Attempt:
    return one.database, one.status, one.attempt


def _failure(database: str, status: str, attempt: int) -> tuple[str, ...]:
    """What tells one failure from another."""
    return database, status, str(attempt)


def _helping(one: DatabaseLine) -> str:
    return f"; try: {one.helps}" if one.helps else ""


def _queues(one: DatabaseLine) -> bool:
    """Whether it only waits until others are through."""
    queued = one.status in ("pending", "unfinished")
    return (queued and not one.helps) or one.waits_for == IN_QUEUE


class Nothing:
    """For whoever wants to hear of the end alone."""

    def show(self, status: RolloutStatus) -> None:
        """Show nothing."""


class Lines:
    """One line for every wave that moved, at most every two seconds, and for all news."""

    def __init__(self, known: Collection[Attempt] = ()) -> None:
        self._news = News(known=known)
        self._shown: dict[int, str] = {}
        self._next = 0.0

    def show(self, status: RolloutStatus) -> None:
        """Print what is new."""
        for sentence in self._news.of(status):
            say(sentence)
        now = SYSTEM_CLOCK.monotonic()
        for wave in status.waves:
            if wave.opened and (now >= self._next or wave.completed):
                self._wave(wave, status)
        if now >= self._next:
            self._next = now + LINES_EVERY_S

    def _wave(self, wave: WaveStatus, status: RolloutStatus) -> None:
        line = f"wave {wave.wave + 1} of {len(status.waves):,}: {counted(wave, status)}"
        if self._shown.get(wave.wave) != line:
            self._shown[wave.wave] = line
            say(line)


class Bars:
    """A bar for every wave; news scroll by above the bars."""

    def __init__(self, bars: Progress, known: Collection[Attempt] = ()) -> None:
        self._bars = bars
        self._news = News(known=known)
        self._tasks: dict[int, TaskID] = {}

    def show(self, status: RolloutStatus) -> None:
        """Move the bars and print what is new."""
        for wave in status.waves:
            if wave.wave not in self._tasks:
                name = f"wave {wave.wave + 1}" + (" (canary)" if wave.wave == 0 else "")
                self._tasks[wave.wave] = self._bars.add_task(name, total=wave.size, note="")
            self._bars.update(
                self._tasks[wave.wave],
                total=concerned(wave, status),
                completed=done(wave),
                note=notes(wave, status.mode) if wave.opened else "not opened",
            )
        for sentence in self._news.of(status):
            self._bars.console.print(sentence, markup=False)


def done(wave: WaveStatus) -> int:
    """How many databases of the wave have what the rollout is for; what failed is told beside."""
    return wave.tally.of(*DONE)


def concerned(wave: WaveStatus, status: RolloutStatus) -> int:
    """How many databases of the wave the rollout has to do with.

    When it has ended, not those that were never ordered.
    """
    return wave.size - (wave.tally.of("pending") if status.status in ENDED else 0)


def counted(wave: WaveStatus, status: RolloutStatus) -> str:
    """How far a wave is, in words; one that never opened has nothing done in it."""
    note = notes(wave, status.mode)
    if not wave.opened and not note:
        goes_on = status.status not in ENDED
        return f"not opened, {wave.size:,} to come" if goes_on else "never opened"
    number = concerned(wave, status)
    left = wave.size - number
    parts = [f"{done(wave):,} of {number:,} done", note]
    parts += [f"{left:,} untouched"] if left else []
    return ", ".join(part for part in parts if part)


def notes(wave: WaveStatus, mode: str = "") -> str:
    """What is not simply applied or still to come, and what runs."""
    return wave.tally.text(mode, leaving_out=("applied", "pending"))


def relation(undoes: str | None, undone_by: str | None) -> str:
    """Which rollout it takes back, or which takes it back, to be said behind its status."""
    if undone_by:
        return f"; undone by {undone_by}"
    return f"; undoes {undoes}" if undoes else ""
