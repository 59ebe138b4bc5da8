"""A runbook that is followed: every command in its blocks, in their order, by name.

The test says in which situation it is and which command it expects next, so a runbook that was
changed is a test that fails. Only what belongs to a reader's own surroundings is exchanged, such as
the name of a database.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.support.documents import ROOT, Document, commands_in
from tests.support.program import Answer, LedgerProgram

RUNBOOKS = ROOT / "ops" / "runbooks"
_ENDS_WITH = re.compile(r"# ends with (\d+)$")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a runbook, with the program's name, and how it says that it ends."""

    words: tuple[str, ...]
    code: int


def steps(name: str, exchanged: Mapping[str, str]) -> Iterator[Step]:
    """The commands in the blocks of a runbook; a key of `exchanged` may be a part of a word."""
    for block in Document(RUNBOOKS / name).blocks():
        for line in block.lines:
            for words in commands_in(line) if block.language == "sh" else ():
                said = _ENDS_WITH.search(line)
                yield Step(_exchanged(words, exchanged), int(said[1]) if said else 0)


def names() -> list[str]:
    """All runbooks."""
    return sorted(path.name for path in RUNBOOKS.glob("*.md") if path.name != "README.md")


class Runbook:
    """Runs the commands of a runbook one after the other."""

    def __init__(self, name: str, ledger: LedgerProgram, **exchanged: str) -> None:
        self._steps = list(steps(name, exchanged))
        self._ledger = ledger

    def next(self, command: str) -> tuple[str, ...]:
        """The words of the next command, without the program's name; it must begin so."""
        step = self._steps.pop(0)
        assert " ".join(step.words).startswith(command), f"{step.words} is not {command}"
        return step.words[1:]

    async def runs(self, command: str, *also: str, code: int = 0, **variables: str) -> Answer:
        """Run the next command, which must begin so; what it wrote."""
        words = self.next(command)
        answer = await self._ledger(*words, *also, **variables)
        assert answer.code == code, (shlex.join(words), answer.out, answer.err)
        assert "Traceback" not in answer.err
        return answer

    def is_over(self) -> None:
        """Every command was run."""
        assert self._steps == []


def _exchanged(words: list[str], exchanged: Mapping[str, str]) -> tuple[str, ...]:
    found = []
    for word in words:
        for before, after in exchanged.items():
            word = re.sub(rf"\b{re.escape(before)}\b", after, word)
        found.append(word)
    return tuple(found)
