"""The project's documents, as tests read them: their code, their links, the commands they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PROGRAMS = ("ledger", "ledger-agent", "migration-ledger")

_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
"""Also in a list, where all of it is indented."""
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"\bLEDGER_[A-Z0-9_]*[A-Z0-9]\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code with the language that it names."""

    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Its lines."""
        return self.text.splitlines()


@dataclass(frozen=True, slots=True)
class Document:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the project."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    def section(self, title: str) -> str:
        """The text below the heading `title`, up to the next heading of its level or above."""
        lines = self.text.splitlines(keepends=True)
        start = next(at for at, line in enumerate(lines) if line.strip("# \n") == title)
        level = len(lines[start]) - len(lines[start].lstrip("#"))
        end = start + 1
        while end < len(lines) and not re.match(rf"#{{1,{level}}} ", lines[end]):
            end += 1
        return "".join(lines[start:end])

    def blocks(self) -> list[Block]:
        """Its blocks of code, in order."""
        return blocks(self.text)

    def spans(self) -> list[str]:
        """What stands between single backticks outside of blocks."""
        return _SPAN.findall(_FENCED.sub("", self.text))

    def links(self) -> list[str]:
        """Where its links lead, as written."""
        return _LINK.findall(_FENCED.sub("", self.text))

    def anchors(self) -> set[str]:
        """Where links into it can lead: its headings, as GitHub writes them in addresses."""
        headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}

    def variables(self) -> set[str]:
        """Every `LEDGER_…` variable it names."""
        return set(_VARIABLE.findall(self.text))

    def commands(self) -> Iterator[list[str]]:
        """Every command line of our programs in it, as words."""
        lines = [line for block in self.blocks() if block.language == "sh" for line in block.lines]
        for line in (*lines, *self.spans()):
            yield from commands_in(line)


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a text, in order."""
    return [Block(language, dedent(body)) for language, body in _FENCED.findall(text)]


def commands_in(line: str) -> Iterator[list[str]]:
    """The words of a command line, if it calls one of our programs."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if words and words[0] in PROGRAMS:
        yield words


def documents() -> list[Document]:
    """Every Markdown file that people are meant to read."""
    found = [
        *ROOT.glob("*.md"),
        *(ROOT / "ops").rglob("*.md"),
        *(ROOT / "migrations").rglob("*.md"),
    ]
    return [Document(path) for path in sorted(found)]
