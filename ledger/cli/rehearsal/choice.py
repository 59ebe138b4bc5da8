"""Which migrations are rehearsed, and which only have to be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ledger.cli.app.command import flags_of, opened
from ledger.cli.app.scratch import EMPTY, FOLDER
from ledger.domain.wording import number_of
from ledger.errors import LedgerError, WrongArgument
from migrations.printable import escaped

if TYPE_CHECKING:
    from ledger.contracts.registry import Variable
    from migrations.model.migration import Migration


@dataclass(frozen=True, slots=True)
class RehearsalChoice:
    """What is rehearsed, in order; `ready` is applied before it from the folder's own files.

    `said` tells how that was decided.
    """

    migrations: tuple[Migration, ...]
    ready: frozenset[str]
    said: str


@dataclass(frozen=True, slots=True)
class RehearsalWish:
    """What a person says about it: everything, what comes after a version, or nothing."""

    every: bool
    after: str | None
    source: str
    """The kind of source that the schema has."""
    database: str = ""
    """The database of the fleet that it is of, if it is of one."""


async def chosen(
    ctx: typer.Context,
    folder: Path,
    format: str | None,
    variables: Sequence[Variable],
    migrations: Sequence[Migration],
    wanted: RehearsalWish,
) -> RehearsalChoice:
    """What is rehearsed of the folder. Raises `WrongArgument`."""
    if wanted.every and wanted.after is not None:
        raise WrongArgument("--all and --after say two things; leave one of them out")
    whole = tuple(migrations)
    count = number_of(len(whole), "migration")
    if wanted.after is not None:
        ready = _through(whole, wanted.after)
        said = f"those of {count} that come after {escaped(wanted.after)}"
        return _choice(whole, ready, said, wanted)
    if wanted.every or wanted.source == EMPTY:
        return RehearsalChoice(whole, frozenset(), f"all of {count}")
    if flags_of(ctx).load().settings.database_url is None:
        if wanted.source != FOLDER:
            raise WrongArgument(
                "no ledger is named that knows which migrations that schema has; say through which "
                "one with --after VERSION"
            )
        return RehearsalChoice(
            whole, frozenset(), f"all of {count}: no ledger is named that knows more"
        )
    return await _pending(ctx, folder, format, variables, whole, wanted)


def _choice(
    whole: tuple[Migration, ...], there: frozenset[str], said: str, wanted: RehearsalWish
) -> RehearsalChoice:
    if wanted.source == FOLDER:
        return RehearsalChoice(whole, there, said)
    return RehearsalChoice(
        tuple(one for one in whole if one.version not in there), frozenset(), said
    )


def _through(migrations: Sequence[Migration], named: str) -> frozenset[str]:
    """The versions through this one. Raises `WrongArgument`."""
    for number, one in enumerate(migrations, start=1):
        if named in (one.version, one.label):
            return frozenset(each.version for each in migrations[:number])
    near = get_close_matches(named, [one.version for one in migrations], n=1)
    said = f" (the nearest is {escaped(near[0])})" if near else ""
    raise WrongArgument(f"the folder has no migration {escaped(named)}{said}; correct --after")


async def _pending(
    ctx: typer.Context,
    folder: Path,
    format: str | None,
    variables: Sequence[Variable],
    whole: tuple[Migration, ...],
    wanted: RehearsalWish,
) -> RehearsalChoice:
    """What some database of the fleet lacks; everything where nobody can say."""
    from ledger.domain.refusals import RequestRefusal

    count = number_of(len(whole), "migration")
    try:
        async with opened(ctx) as session:
            lacking = await session.ledger.rollouts.lacking(
                folder, format, variables, f"id={wanted.database}" if wanted.database else ""
            )
    except (LedgerError, RequestRefusal) as why:
        if wanted.source != FOLDER:
            raise
        said = f"all of {count}, for the ledger cannot say what is applied: {why}"
        return RehearsalChoice(whole, frozenset(), said)
    there = frozenset(one.version for one in whole) - frozenset(lacking)
    said = f"{number_of(len(whole) - len(there), 'migration')} of {len(whole):,} that some "
    return _choice(whole, there, f"{said}database lacks", wanted)
