"""Why what is asked of a folder of migrations may be refused, for what its files say now.

They are refusals as `ledger.domain.refusals` has them, each with what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.domain.refusals import RequestRefusal, listed

SHOWN = 3
"""How many databases a refusal tells of, each in a sentence."""


class ChangedMigration(RequestRefusal):
    """A version is registered with another `up`, and that text is in force or in doubt somewhere.

    `holders` are the databases and unfinished rollouts; without any, somebody registered it just
    now.
    """

    def __init__(
        self, label: str, version: str, known: str, given: str, holders: Sequence[str] = ()
    ) -> None:
        rollouts = [one for one in holders if one.startswith("rollout ")]
        held = f"that text is in force, or may be, in {listed(holders)}" if holders else ""
        ended = "; a rollout that is not to go on is ended with `ledger rollout abort`"
        super().__init__(
            f"migration {label} is registered with another up section "
            f"(checksum {known[:12]}, given {given[:12]}); {held or 'somebody did so just now'}; "
            "restore the file and write the change as a new migration; or accept the new text with "
            f"`ledger repair {version} --accept-changed --reason WHY`{ended if rollouts else ''}"
        )
        self.label = label
        self.holders = tuple(holders)


class NothingToRepair(RequestRefusal):
    """The text of a version has not changed, or its file is not gone."""

    def __init__(self, version: str, why: str) -> None:
        super().__init__(f"nothing to repair about {version}: {why}; see `ledger plan`")


class BaselineGap(RequestRefusal):
    """Databases lack some of what a baseline stands for, and no file of the folder brings it.

    `gaps` maps each baseline to databases, and those to the versions that they lack.
    """

    def __init__(self, gaps: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        named = [
            f"{database} lacks {listed(lacking)} of {label}"
            for label, databases in gaps.items()
            for database, lacking in sorted(databases.items())
        ]
        super().__init__(
            "a baseline stands for versions that databases lack and that the folder has no file "
            f"for: {listed(named)}; restore the files and apply them first, say with "
            "`ledger baseline --through VERSION` that all of it is there, or leave these databases "
            "out with --select"
        )
        self.gaps = gaps


class HalfDoneOtherwise(RequestRefusal):
    """Databases have something half done that the plan could not go on with; `told` says each."""

    def __init__(self, told: Sequence[str], stale: str) -> None:
        more = f"; and {len(told) - SHOWN:,} more" if len(told) > SHOWN else ""
        super().__init__(
            f"this cannot go on where something is half done. {'; '.join(told[:SHOWN])}{more}. "
            f"Or leave these databases out with --select; {stale}"
        )
        self.told = tuple(told)
