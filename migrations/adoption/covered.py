"""Which migrations of a folder will never run again on a database; pure.

    applied                                     says so in the journal
    what a baseline stands for                  the baseline was applied in its place
    a baseline on a database with a history     it is for databases without one
    everything up to a baseline of Flyway       also when its file is no longer in the folder

Another tool knows only the first of them, so that it must be told of all: it would run the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from migrations.model.baselines import set_aside
from migrations.model.migration import Migration
from migrations.model.version import version_key
from migrations.target.entries import Entry

_FLYWAYS_BASELINE = re.compile(r"B[0-9]+(?:\.[0-9]+)*")


def settled(migrations: Sequence[Migration], applied: Mapping[str, Entry]) -> dict[str, Entry]:
    """Versions with the entry that says so, the first one of the database where there is none."""
    if not applied:
        return {}
    aside = {*set_aside(migrations, applied), *_below_baselines(migrations, applied)}
    lacking = aside - set(applied)
    if not lacking:
        return dict(applied)
    first = min(applied.values(), key=lambda entry: entry.seq)
    return {**dict.fromkeys(lacking, first), **applied}


def _below_baselines(
    migrations: Sequence[Migration], applied: Mapping[str, Entry]
) -> Iterator[str]:
    """The versions up to a baseline of Flyway that is applied and has no file here."""
    known = {one.version for one in migrations}
    gone = [one for one in applied if one not in known and _FLYWAYS_BASELINE.fullmatch(one)]
    newest = max(map(version_key, gone), default=())
    for one in migrations:
        if not one.repeatable and version_key(one.version) <= newest:
            yield one.version
