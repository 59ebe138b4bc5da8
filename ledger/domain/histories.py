"""Histories: which one a folder is, and which one a database belongs to; pure.

A version means something within a history only. A history is what folders share texts with:

```
folder ─ named by its project ─────────────▶ the history of that name; or the unnamed one that it
       │                                     shares a text with, which has that name then; or a new
       └─ not named ─ shares a text ───────▶ that history, whatever folder and history are called
                    └ shares none ─────────▶ a new one, called as the folder
```

A database belongs to the history that it was registered or labelled for, or else to the one that
what is applied there comes from. One that belongs to none may join any that it is selected for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.contracts.events import BundleRegistered
from ledger.contracts.registry import MigrationRef
from ledger.domain.fleet import DatabaseRecord
from ledger.domain.refusals import RequestRefusal, listed
from migrations.model.baselines import standing_for

HISTORY_LABEL = "history"
"""The label that binds a database to a history."""


class NothingInCommon(RequestRefusal):
    """A folder shares no version with the history that goes by its name."""

    def __init__(self, called: str) -> None:
        super().__init__(
            f"this folder has nothing in common with the history {called!r}, which is registered "
            "here: check that this is the ledger, and the folder, that you mean; another "
            "application has a history of its own when its project names it: `[bundle]` with "
            "`name` in its ledger.toml"
        )


class OtherApplication(RequestRefusal):
    """Databases belong to another history than the folder, or to none that is known."""

    def __init__(self, called: str, told: Sequence[str]) -> None:
        super().__init__(
            f"no selected database belongs to the history {called!r} of this folder: "
            f"{'; '.join(told)}"
        )


class ForeignJournal(RequestRefusal):
    """Databases have migrations applied of which the folder has none, and no rollout applied."""

    def __init__(self, called: str, databases: Mapping[str, Sequence[str]]) -> None:
        named = [f"{one} has {listed(sorted(has))}" for one, has in sorted(databases.items())]
        super().__init__(
            f"the history {called!r} of this folder has nothing in common with what is applied in "
            f"databases: {'; '.join(named[:3])}; check that they are those that you mean; say what "
            f"they belong to with `ledger fleet label DATABASE {HISTORY_LABEL}=NAME`, or leave "
            "them out with --select"
        )


class WhichHistory(RequestRefusal):
    """Several histories are registered, and nothing says which is meant."""

    def __init__(self, known: Iterable[str]) -> None:
        super().__init__(
            f"several histories are registered ({listed(sorted(known))}); say which one is meant "
            "with --folder, with --bundle, or by `[bundle]` with `name` in ledger.toml"
        )


@dataclass(slots=True)
class KnownHistory:
    """What was registered of one history; `refs` has the latest of each version."""

    key: str
    called: str
    named: bool = False
    """Whether a person gave it its name."""
    refs: dict[str, MigrationRef] = field(default_factory=dict)
    texts: set[tuple[str, str]] = field(default_factory=set)
    """Every version with every up section's checksum that it ever had."""


@dataclass(slots=True)
class Histories:
    """All that are registered, by key, and by what they are or were called."""

    by_key: dict[str, KnownHistory] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def take(self, registered: BundleRegistered) -> None:
        """Note one registration."""
        one = self.note(registered.history, registered.name)
        one.refs.update({ref.version: ref for ref in registered.migrations})
        one.texts.update((ref.version, ref.up_checksum) for ref in registered.migrations)

    def note(self, key: str, name: str) -> KnownHistory:
        """Note what a history is called now."""
        one = self.by_key.setdefault(key, KnownHistory(key, key))
        if name:
            one.called, one.named = name, True
            self.keys[name] = key
        self.keys.setdefault(key, key)
        return one

    def refs(self, key: str) -> Mapping[str, MigrationRef]:
        """The latest of each version of one history."""
        known = self.by_key.get(key)
        return known.refs if known is not None else {}

    def called(self, key: str) -> str:
        """What people call it."""
        known = self.by_key.get(key)
        return known.called if known is not None else key

    def key_of(
        self,
        migrations: Sequence[MigrationRef],
        name: str,
        folder: str,
        gone: Collection[str] = (),
    ) -> str:
        """The key of the history that a folder is; `name` is what its project calls it, if it does.

        `gone` are versions of which no folder needs a file. Raises `NothingInCommon`.
        """
        called = name or folder
        known = self.by_key[self.keys[called]] if called in self.keys else None
        if not migrations or (known is not None and _continues(known, migrations, gone)):
            return known.key if known is not None else called
        if known is not None and name:
            raise NothingInCommon(name)
        shared = {one.key: _shared(one, migrations) for one in self.by_key.values()}
        if name:
            shared = {key: count for key, count in shared.items() if not self.by_key[key].named}
        best = max(shared, key=lambda key: shared[key], default="")
        if shared.get(best):
            return best
        if known is not None:
            raise NothingInCommon(called)
        return called


def _shared(known: KnownHistory, migrations: Sequence[MigrationRef]) -> int:
    """How many of its texts a folder has."""
    return sum((ref.version, ref.up_checksum) in known.texts for ref in migrations)


def _continues(
    known: KnownHistory, migrations: Sequence[MigrationRef], gone: Collection[str]
) -> bool:
    """Whether a folder of the same name goes on with a history.

    It does with a text of it, or with a baseline for some of it. Without either, it does if it has
    all its files, each of which was edited then.
    """
    if _shared(known, migrations):
        return True
    labels = {ref.label for ref in migrations}
    there = {ref.label for version, ref in known.refs.items() if version not in gone}
    return there <= labels or any(
        standing_for(migrations, version) is not None for version in known.refs
    )


@dataclass(frozen=True, slots=True)
class Belonging:
    """Which of some databases a history has, and why it has not the others."""

    databases: tuple[str, ...]
    told: tuple[str, ...]


def bound_to(record: DatabaseRecord) -> str:
    """The name of the history that a database was registered or labelled for; empty if none."""
    return record.connection.target.history or record.labels.get(HISTORY_LABEL, "")


def history_of(
    record: DatabaseRecord, known: Histories, learned: Mapping[str, frozenset[str]]
) -> str | None:
    """The key of the history that a database belongs to; `None` if it belongs to none yet.

    `learned` are those that what is applied there comes from.
    """
    if name := bound_to(record):
        return known.keys.get(name, name)
    found = learned.get(record.database, frozenset())
    return min(found) if found else None


def belonging(
    key: str,
    selected: Sequence[str],
    records: Mapping[str, DatabaseRecord],
    known: Histories,
    learned: Mapping[str, frozenset[str]],
    *,
    by_selection: bool,
) -> Belonging:
    """Who of the `selected` a history has. `by_selection` says that a person has selected them."""
    alone = not (known.by_key.keys() - {key})
    theirs: dict[str, list[str]] = {}
    mine, free = [], []
    for database in selected:
        owner = history_of(records[database], known, learned)
        if owner == key or (owner is None and (alone or by_selection)):
            mine.append(database)
        elif owner is None:
            free.append(database)
        else:
            theirs.setdefault(known.called(owner), []).append(database)
    told = [
        f"{listed(databases)} {_belong(databases)} to the history {called!r}, and nothing is done "
        "there"
        for called, databases in theirs.items()
    ]
    if free:
        told.append(
            f"{listed(free)} {_belong(free)} to no history yet: bind what is to have this one with "
            f"`ledger fleet label DATABASE {HISTORY_LABEL}={known.called(key)}`, or select it"
        )
    return Belonging(tuple(mine), tuple(told))


def _belong(databases: Sequence[str]) -> str:
    return "belongs" if len(databases) == 1 else "belong"
