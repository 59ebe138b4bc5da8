"""Which migrations would run before something that is applied already; pure.

The order is the folder's, whatever it goes by. Repeatable migrations have no place in it, and a
phase that may have been held back follows whenever it is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from migrations.model.migration import Migration
from migrations.model.phases import may_follow

OUT_OF_ORDER = (
    "{one} is not applied here and comes before {newest}, which is; give it a version behind that, "
    "or allow it with --allow-out-of-order"
)


def late(migrations: Sequence[Migration], applied: Collection[str]) -> dict[str, str]:
    """What is not applied and comes before something that is: per version, the message."""
    ranked = [one for one in migrations if not one.repeatable]
    places = [index for index, one in enumerate(ranked) if one.version in applied]
    if not places:
        return {}
    newest = ranked[places[-1]].label
    return {
        one.version: OUT_OF_ORDER.format(one=one.label, newest=newest)
        for one in ranked[: places[-1]]
        if one.version not in applied and not may_follow(one)
    }
