"""squawk, a linter of its own: asked as a process, if it is installed, and believed in our words.

It is given the statements as they were read, whatever the format, each on lines of its own, in a
folder that only we can read; no settings file of its own is found there. What it says comes back
by statement and by our names for its rules. It is never needed: a squawk that is missing, crashes,
hangs, or speaks otherwise than the versions that are known costs its rules, and is told.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from migrations.child_process import end_group
from migrations.lint.rules import BY_SQUAWK
from migrations.lint.rules.style import LEFT_ALONE
from migrations.model.migration import Migration
from migrations.printable import escaped

KNOWN_MAJOR = 2
"""What is known of its words and its output: version 2.70."""
ASSUMED_SERVER = "14"
"""The oldest server that migrations run on: what is safe there is safe on later ones."""
TIMEOUT_S = 60.0
"""For all files at once; it takes milliseconds for each."""
FILES_AT_ONCE = 500
OUTPUT_MAX_BYTES = 64 * 2**20
MESSAGE_MAX_CHARS = 300
_VERSION = re.compile(r"squawk (\d+)\.(\d+\.\d+)\s*")
_NAMED = 3
"""How many names are told of those that are not known."""


@dataclass(frozen=True, slots=True)
class SquawkFinding:
    """What it says of one statement: `number` counts those of the up section, from 0."""

    version: str
    number: int
    rule: str
    message: str
    offset: int


@dataclass(frozen=True, slots=True)
class SquawkAnswer:
    """All that it says. `problem` says why it was not, or not wholly, understood."""

    answered: bool
    findings: tuple[SquawkFinding, ...] = ()
    problem: str = ""
    release: str = ""


NOT_ASKED = SquawkAnswer(False, problem="squawk was not asked")


class _Unusable(Exception):
    """It cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A migration's statements for it, and the first line of each, from 0."""

    version: str
    statements: tuple[str, ...]
    firsts: tuple[int, ...]

    @classmethod
    def of(cls, migration: Migration) -> _Text:
        statements = tuple(one.text for one in migration.up.statements)
        lines = (text.count("\n") + 2 for text in statements)
        return cls(migration.version, statements, (0, *accumulate(lines)))

    def written(self) -> str:
        return "".join(f"{text}\n;\n" for text in self.statements)

    def place(self, line: int, column: int) -> tuple[int, int]:
        """The statement on a line, and the byte offset in it."""
        number = min(bisect_right(self.firsts, line) - 1, len(self.statements) - 1)
        lines = self.statements[number].split("\n")[: line - self.firsts[number]]
        return number, sum(len(one.encode()) + 1 for one in lines) + column


async def ask_squawk(
    migrations: Sequence[Migration], program: str | None, timeout_s: float = TIMEOUT_S
) -> SquawkAnswer:
    """What squawk says of the up sections; `program` is where it is, if it is anywhere."""
    if program is None:
        return SquawkAnswer(False, problem="squawk is not installed")
    texts = [_Text.of(one) for one in migrations if one.up.statements]
    try:
        async with asyncio.timeout(timeout_s):
            release = await _release(program)
            found = [each async for each in _said(program, texts)]
    except TimeoutError:
        return SquawkAnswer(False, problem=f"squawk did not end within {timeout_s:g} s")
    except OSError as error:
        reason = error.strerror or "the system gives no reason"
        return SquawkAnswer(False, problem=f"squawk cannot be started ({reason})")
    except _Unusable as why:
        return SquawkAnswer(False, problem=str(why))
    return SquawkAnswer(True, tuple(found), _not_understood(found), release)


def squawk_here() -> str | None:
    """Where it is installed: beside this Python, else on the PATH."""
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("squawk")


def _not_understood(found: Sequence[SquawkFinding]) -> str:
    unread = {one.version for one in found if one.rule == "syntax-error"}
    unknown = sorted({one.rule for one in found} - BY_SQUAWK.keys() - LEFT_ALONE)
    said = []
    if unread:
        said.append(f"squawk does not understand the SQL of {', '.join(sorted(unread)[:_NAMED])}")
    if unknown:
        names = ", ".join(unknown[:_NAMED])
        said.append(f"squawk speaks of rules that are not known here: {names}")
    return "; ".join(said)


async def _release(program: str) -> str:
    code, said = await _output(program, ["--version"], Path.cwd())
    found = _VERSION.fullmatch(said)
    if code != 0 or found is None:
        raise _Unusable(f"{escaped(program)} does not say that it is squawk")
    if int(found[1]) != KNOWN_MAJOR:
        raise _Unusable(
            f"squawk is version {found[1]}.{found[2]}, and version {KNOWN_MAJOR} is what is known"
        )
    return f"{found[1]}.{found[2]}"


async def _said(program: str, texts: Sequence[_Text]) -> Any:
    with tempfile.TemporaryDirectory(prefix="ledger-lint-") as name:
        folder = Path(name)
        (folder / "settings.toml").touch()
        for at in range(0, len(texts), FILES_AT_ONCE):
            files = {
                f"{at + index:06}.sql": text
                for index, text in enumerate(texts[at : at + FILES_AT_ONCE])
            }
            for file, text in files.items():
                (folder / file).write_text(text.written(), encoding="utf-8")
            asked = ["--reporter", "json", "--config", "settings.toml",
                     "--pg-version", ASSUMED_SERVER, *files]  # fmt: skip
            code, said = await _output(program, asked, folder)
            if code not in (0, 1):
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise _Unusable(f"squawk ended with {how}")
            for one in _read(said):
                for each in _finding(one, files):
                    yield each


def _read(said: str) -> list[Any]:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise _Unusable("what squawk says cannot be read")
    return found


def _finding(one: Any, files: dict[str, _Text]) -> Iterator[SquawkFinding]:
    match one:
        case {
            "file": str(file),
            "line": int(line),
            "column": int(column),
            "rule_name": str(rule),
            "message": str(message),
        } if Path(file).name in files and line >= 0 and column >= 0:
            text = files[Path(file).name]
            number, offset = text.place(line, column)
            yield SquawkFinding(text.version, number, rule, message[:MESSAGE_MAX_CHARS], offset)
        case _:
            raise _Unusable("what squawk says cannot be read")


async def _output(program: str, arguments: Sequence[str], folder: Path) -> tuple[int, str]:
    """Its exit code and what it wrote; whatever it started ends with it."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        cwd=folder,
        env=kept | {"LANG": "C.UTF-8", "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    if process.stdout is None:
        raise AssertionError("its output is a pipe")
    said = bytearray()
    try:
        while part := await process.stdout.read(2**16):
            said += part
            if len(said) > OUTPUT_MAX_BYTES:
                raise _Unusable("squawk says more than can be read")
        code = await process.wait()
    finally:
        await end_group(process)
    return code, said.decode(errors="replace")
