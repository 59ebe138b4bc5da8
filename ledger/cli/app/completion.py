"""What a shell offers where a word is to be completed: ids, rollouts, labels, versions, names.

    shell ─▶ ledger (told by `_LEDGER_COMPLETE`) ─▶ a function of this module ─▶ words

What a ledger has is asked of it, for `PATIENCE_S` at most. A ledger that is away, or says no, has
nothing to offer: no word about that would be of use in the middle of a command line.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

import typer

from ledger.cli.app.flags import Flags

if TYPE_CHECKING:
    from ledger.runtime import Ledger

PATIENCE_S = 0.9
"""How long a ledger may take to answer; people wait for the key that they pressed."""
ENDING_S = 0.1
"""How long the end of a question may take, when its patience is over."""
OFFERED = 200
"""More words than that help nobody."""
_Words = list[str]
_T = TypeVar("_T")
_IN_LIST = re.compile(
    r"(?P<key>[^\s,=!()]+)\s+(?:not\s+in|notin|in)\s*\((?:[^()]*,)?\s*(?P<value>[^\s,()]*)$"
)
_VALUE = re.compile(r"(?:^|,)\s*(?P<key>[^\s,=!()]+)\s*!?=\s*(?P<value>[^\s,=!()]*)$")
_KEY = re.compile(r"(?:^|,)\s*!?(?P<value>[^\s,=!()]*)$")
_VERSION = re.compile(r"[VURB]?(?P<version>\d[\d._]*?)(?:__|_|-|\.\D)")
"""How the name of a migration's file begins, in whichever format."""


def databases(ctx: typer.Context, incomplete: str) -> _Words:
    """Ids of databases of the fleet."""
    return _asked(ctx, lambda ledger: _ids(ledger, incomplete))


def rollouts(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of rollouts, the newest first, with what has become of each."""

    async def found(ledger: Ledger) -> list[tuple[str, str]]:
        listed = await ledger.rollouts.list(limit=OFFERED)
        return [(one.rollout, f"{one.mode}, {one.status}") for one in listed]

    return _asked(ctx, found)


def databases_and_rollouts(ctx: typer.Context, incomplete: str) -> _Words:
    """Whatever has a history."""

    async def found(ledger: Ledger) -> _Words:
        listed = await ledger.rollouts.list(limit=OFFERED)
        return [*(one.rollout for one in listed), *await _ids(ledger, incomplete)]

    return _asked(ctx, found)


def pools(ctx: typer.Context, incomplete: str) -> _Words:
    """Pools that databases are in."""
    return _asked(ctx, lambda ledger: _values(ledger, "pool", incomplete))


def selections(ctx: typer.Context, incomplete: str) -> _Words:
    """The condition at the end of a selection: its key, then its value."""
    if match := _IN_LIST.search(incomplete) or _VALUE.search(incomplete):
        key, value = match["key"], match["value"]
        before = incomplete[: match.start("value")]
        return [before + one for one in _asked(ctx, lambda ledger: _values(ledger, key, value))]
    if match := _KEY.search(incomplete):
        beginning, before = match["value"], incomplete[: match.start("value")]
        keys = [one for one in ("id", "pool", "status", *_labels(ctx)) if one.startswith(beginning)]
        if len(keys) == 1:
            # The shell would put a blank behind a single word.
            values = _asked(ctx, lambda ledger: _values(ledger, keys[0], ""))
            return [f"{before}{keys[0]}={one}" for one in values]
        return [f"{before}{key}=" for key in keys]
    return []


def label_words(ctx: typer.Context, incomplete: str) -> _Words:
    """Of `fleet label`: the id, unless there is a selection, and then labels with their values."""
    if not ctx.params.get("select") and not ctx.params.get("words"):
        return databases(ctx, incomplete)
    name, equals, value = incomplete.partition("=")
    if equals:
        values = _asked(ctx, lambda ledger: _values(ledger, name, value))
        return [f"{name}={one}" for one in values]
    return [one for label in _labels(ctx) for one in (f"{label}=", f"{label}-")]


def accepted_words(ctx: typer.Context, incomplete: str) -> _Words:
    """`accept`, and behind it ids."""
    return databases(ctx, incomplete) if ctx.params.get("words") else ["accept"]


def label_names(ctx: typer.Context, incomplete: str) -> _Words:
    """Labels that databases have."""
    return _labels(ctx)


def versions(ctx: typer.Context, incomplete: str) -> _Words:
    """Versions of the folder that is named or the usual one, and of the bundle registered last."""

    return _versions_in(ctx) or known_versions(ctx, incomplete)


def known_versions(ctx: typer.Context, incomplete: str) -> _Words:
    """Versions of the bundle registered last."""

    async def registered(ledger: Ledger) -> _Words:
        known = await ledger.bundles.all()
        return [one.version for one in known[-1].migrations] if known else []

    return _asked(ctx, registered)


def local_versions(ctx: typer.Context, incomplete: str) -> _Words:
    """Versions of the folder, for commands that know no ledger."""
    return _versions_in(ctx)


def bundles(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Registered bundles, the newest first, with where each came from."""

    async def found(ledger: Ledger) -> list[tuple[str, str]]:
        known = await ledger.bundles.all()
        return [(one.bundle[:12], one.source) for one in reversed(known[-OFFERED:])]

    return _asked(ctx, found)


def recipes(incomplete: str) -> list[tuple[str, str]]:
    """Recipes, each with what it is for."""
    from migrations.authoring.recipes.cookbook import RECIPES

    return [(name, recipe.summary) for name, recipe in RECIPES.items()]


def formats(incomplete: str) -> _Words:
    """File formats of folders."""
    from migrations.formats.registry import FORMATS

    return sorted(one.name for one in FORMATS)


def tools(incomplete: str) -> _Words:
    """Tools whose history can be taken over."""
    from migrations.model.foreign_history import Tool

    return ["auto", *(one.value for one in Tool)]


def event_types(incomplete: str) -> _Words:
    """Types of events."""
    from ledger.contracts.events import EVENT_TYPES

    return sorted(EVENT_TYPES)


@contextmanager
def mended() -> Iterator[None]:
    """Let the block complete what bash has cut into pieces: it takes `tier=gold` for three words.

    It takes the answer for what is to stand behind the last cut, too.
    """
    asked, at = os.environ.get("COMP_WORDS", ""), os.environ.get("COMP_CWORD", "")
    shells = [value for name, value in os.environ.items() if name.endswith("_COMPLETE")]
    if "complete_bash" not in shells or "\n" not in asked or not at.isdecimal():
        yield
        return
    words, number, there = _joined(asked.split("\n"), int(at))
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(number)
    with io.StringIO() as said:
        try:
            with redirect_stdout(said):
                yield
        finally:
            for line in said.getvalue().splitlines():
                sys.stdout.write(line.removeprefix(there) + "\n")
            sys.stdout.flush()


def _joined(pieces: Sequence[str], at: int) -> tuple[list[str], int, str]:
    """The words that bash has cut at `=` and `:`, the number of the one with piece `at`.

    And what of that word stands before the piece, which bash leaves where it is.
    """
    words: list[str] = []
    number, there = 0, ""
    glue = False
    for index, piece in enumerate(pieces):
        cuts = bool(piece) and not piece.strip("=:")
        before = words.pop() if words and (cuts or glue) else ""
        words.append(before + piece)
        glue = cuts
        if index == at:
            number = len(words) - 1
            there = words[-1] if cuts else before
    return words, number if at < len(pieces) else len(words), there


async def _ids(ledger: Ledger, beginning: str) -> _Words:
    wanted = f"id={beginning}*" if beginning else ""
    page = await ledger.fleet.page(wanted, retired=False, limit=OFFERED)
    return [one.database for one in page.databases]


async def _values(ledger: Ledger, key: str, beginning: str) -> _Words:
    if key == "status":
        from ledger.domain.selection import STATUSES

        return list(STATUSES)
    if key == "id":
        return await _ids(ledger, beginning)
    return [one for one in await ledger.fleet.words(key, beginning) if one.startswith(beginning)]


def _labels(ctx: typer.Context) -> _Words:
    return _asked(ctx, lambda ledger: ledger.fleet.words())


def _flags(ctx: typer.Context) -> Flags:
    """What stands before the command, which nobody has read where words are completed."""
    said = ctx.find_root().params
    given = {
        "database_url": said.get("database_url"),
        "insecure_database": said.get("insecure_database") or None,
    }
    values = {name: value for name, value in given.items() if value is not None}
    return Flags(values, said.get("config_file"))


def _versions_in(ctx: typer.Context) -> _Words:
    """What the files of a folder are called by; nothing of them is read."""
    said = ctx.params.get("folder") or ctx.params.get("directory") or "migrations"
    found: dict[str, None] = {}
    for folder in str(said).split(os.pathsep):
        with suppress(OSError):
            names = sorted(one.name for one in Path(folder).iterdir())
            found |= {match["version"]: None for one in names if (match := _VERSION.match(one))}
    return list(found)


def _asked(ctx: typer.Context, question: Callable[[Ledger], Awaitable[Sequence[_T]]]) -> list[_T]:
    """What the ledger answers in time."""
    from ledger.runtime import open_ledger
    from migrations.clock import SYSTEM_CLOCK

    answer: list[_T] = []

    async def ask() -> None:
        settings = _flags(ctx).load().settings
        async with SYSTEM_CLOCK.timeout(PATIENCE_S), open_ledger(settings) as ledger:
            answer.extend(await question(ledger))

    def work() -> None:
        with suppress(BaseException):
            asyncio.run(ask())

    logging.disable()
    # A name that nobody resolves cannot be cancelled: it is left behind.
    asking = Thread(target=work, daemon=True)
    asking.start()
    asking.join(PATIENCE_S + ENDING_S)
    if asking.is_alive():
        os._exit(0)
    return answer
