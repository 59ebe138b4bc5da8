"""Whether a database has what comes before the migrations of an order; pure.

An order brings what some database of its rollout lacked when that was planned. A database that has
lost more since, because a backup was restored there, would get the later migrations without the
earlier ones: nothing is run, and a new rollout brings all of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.errors import FailureClass, Refused
from migrations.model.attempt import Mode
from migrations.model.ordering import passed_over
from migrations.model.work import Work
from migrations.printable import escaped
from migrations.running.plan import applied_versions
from migrations.target.entries import Entry

_SHOWN = 3


class Behind(Refused):
    """The database lacks migrations that come before the ordered ones, and are not among them."""

    kind = FailureClass.BEHIND


def refuse_behind(work: Work, entries: Sequence[Entry]) -> None:
    """Raise Behind where something before what is ordered is neither here nor ordered."""
    if work.folder is None or not work.rollout or work.mode is not Mode.UP:
        return
    ordered = {one.version for one in work.migrations}
    said = {one.version for one in work.resolutions if one.applied}
    lacking = passed_over(work.folder.order, ordered, said.union(applied_versions(entries)))
    if not lacking:
        return
    shown = escaped(", ".join(one.label for one in lacking[:_SHOWN]))
    more = f" and {len(lacking) - _SHOWN:,} more" if len(lacking) > _SHOWN else ""
    raise Behind(
        f"this database lacks {shown}{more}, which come before what is ordered and which rollout "
        f"{work.rollout} does not bring (was a backup restored?); nothing was changed; let the "
        "rollout end, with `ledger rollout abort` or without this database, and `ledger up` brings "
        "all that it lacks"
    )
