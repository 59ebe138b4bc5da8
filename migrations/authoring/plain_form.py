"""How a new plain migration is laid out: as the newest one of its folder is.

    002_b.up.sql, 002_b.down.sql           a pair; also where there is nothing to follow
    002_b.sql                              an up alone
    2025-01-01-000000_b/up.sql, down.sql   Diesel's folders, with their dashed times
    20250101000000_b/migration.sql         Prisma's

In a folder of Drizzle none is written: its own tool keeps the journal that gives the order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from migrations.authoring.templates import Files, Header, folder_of_one, folder_of_two, pair, single
from migrations.errors import WrongCreation
from migrations.formats.naming import PARTS, base_name
from migrations.formats.ordering_file import JOURNAL
from migrations.model.version import version_key

_DASHED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-[0-9]{6}")
_HALF = (".up.sql", ".down.sql")

Taken = Sequence[tuple[str, str, str]]
"""File, version and name of each migration of a folder."""


def form_of(names: Sequence[str], taken: Taken) -> Callable[[Header], Files]:
    """What writes the files of a migration that follows the `taken` ones. Raises CreateError."""
    if JOURNAL in names:
        raise WrongCreation(
            f"{JOURNAL} orders this folder, and Drizzle's own tool writes it; run `drizzle-kit "
            "generate --custom --name NAME`"
        )
    newest = _newest(taken).lower()
    match base_name(newest):
        case part if "/" in newest and part in PARTS:
            return folder_of_one if part == "migration.sql" else folder_of_two
        case name if not name or name.endswith(_HALF):
            return pair
        case _:
            return single


def moment_of(taken: Taken, moment: datetime) -> str:
    """The moment as a version, as the newest migration writes it."""
    newest = max((version for _, version, _ in taken), key=version_key, default="")
    return f"{moment:%Y-%m-%d-%H%M%S}" if _DASHED.fullmatch(newest) else f"{moment:%Y%m%d%H%M%S}"


def _newest(taken: Taken) -> str:
    """The file of the newest migration that is SQL; empty without one."""
    files = [(version_key(version), file) for file, version, _ in taken if not file.endswith(".py")]
    return max(files, default=((), ""))[1]
