"""What is half done in a database, as people are told of it: where, and the command that leads out.

```
half done, going up ───▶ `ledger up` goes on behind it · `ledger rollout rollback` takes it back
half rolled back ──────▶ `ledger down` goes on
in doubt ──────────────▶ `ledger resolve` says what a person has seen
```

A rollout that has not ended goes on with it, or asks for what it needs, itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from ledger.contracts.registry import MigrationRef
from ledger.domain.folder_refusals import HalfDoneOtherwise
from migrations.model.attempt import HalfDone, Mode

HalfDoneThere = Mapping[str, tuple[HalfDone, ...]]
"""By database; only those where anything is."""

STALE = "`ledger fleet check` asks the journals again"


def told(database: str, one: HalfDone, label: str = "", rollout: str | None = None) -> str:
    """One sentence: what is half done where, and what leads out of it.

    `rollout` is the unfinished one that the database is part of.
    """
    what = f"{database}: {state(one, label)}"
    if rollout is not None:
        return f"{what}; rollout {rollout} is not finished there, see `ledger rollout status`"
    return f"{what}; {way_out(database, one)}"


def state(one: HalfDone, label: str = "") -> str:
    """`20260401_split is half done, begun by rollout k7m2x9ab`."""
    if one.doubtful:
        said = "may be applied or not"
    else:
        said = "is half done" if one.direction == Mode.UP else "is half rolled back"
    by = f", begun by rollout {one.rollout}" if one.rollout else ", begun outside of this ledger"
    return f"{label or one.version} {said}{by}"


def way_out(database: str, one: HalfDone) -> str:
    """The commands that lead out, where no rollout is at work."""
    if one.doubtful:
        return (
            "look at the database, then say what you see there with "
            f"`ledger resolve {database} {one.version} --applied --reason WHY`, or --not-applied"
        )
    back = f"`ledger down --select id={database}`"
    if one.direction != Mode.UP:
        return f"{back} goes on with it"
    if one.rollout:
        back = f"`ledger rollout rollback {one.rollout}`"
    return f"`ledger up --select id={database}` goes on with it, {back} takes it back"


def before_up(
    half_done: HalfDoneThere, chosen: Sequence[MigrationRef], going: Collection[str]
) -> list[str]:
    """What to say before a plan goes up where something is half done; `going` are its databases.

    Raises `HalfDoneOtherwise` where a run could not go on: half done with another text, or on its
    way down.
    """
    refs = {ref.version: ref for ref in chosen}
    stuck, notes = [], []
    for database, one in _each(half_done):
        ref = refs.get(one.version)
        if ref is None or database not in going:
            notes.append(f"{told(database, one)}; this plan leaves it as it is")
        elif one.doubtful:
            notes.append(told(database, one, ref.label))
        elif one.direction != Mode.UP:
            stuck.append(told(database, one, ref.label))
        elif one.checksum != ref.up_checksum:
            stuck.append(_with_another_text(database, one, ref))
        else:
            notes.append(f"{database}: {state(one, ref.label)}; this goes on behind it")
    if stuck:
        raise HalfDoneOtherwise(stuck, STALE)
    return notes


def before_down(half_done: HalfDoneThere, chosen: Sequence[MigrationRef]) -> list[str]:
    """The same of a plan that goes down. Raises `HalfDoneOtherwise`."""
    refs = {ref.version: ref for ref in chosen}
    stuck, notes = [], []
    for database, one in _each(half_done):
        ref = refs.get(one.version)
        if ref is None:
            notes.append(f"{told(database, one)}; this plan leaves it as it is")
            continue
        text = ref.up_checksum if one.direction == Mode.UP else ref.down_checksum
        if one.doubtful:
            notes.append(told(database, one, ref.label))
        elif one.checksum != text:
            stuck.append(_with_another_text(database, one, ref))
        else:
            notes.append(f"{database}: {state(one, ref.label)}; this takes it back")
    if stuck:
        raise HalfDoneOtherwise(stuck, STALE)
    return notes


def _each(half_done: HalfDoneThere) -> Iterator[tuple[str, HalfDone]]:
    for database, found in half_done.items():
        for one in found:
            yield database, one


def _with_another_text(database: str, one: HalfDone, ref: MigrationRef) -> str:
    back = (
        f"take it back with `ledger rollout rollback {one.rollout}`, which has the old text, or "
        if one.rollout and one.direction == Mode.UP
        else ""
    )
    return (
        f"{database}: {state(one, ref.label)}, with another text than the folder's; {back}restore "
        "the file (a Down section may be added) and run `ledger up` or `ledger down`, and only "
        "then change it"
    )
