"""What is pending: which migrations some database lacks, or still has.

    what the log knows of the databases ─┐
    the bundle, and what vanished from it┼─▶ what_is_pending ─▶ migrations · databases · notes
    what is asked for ───────────────────┘

A repeatable migration whose text has changed is lacking again. What an applied baseline stands for
is not lacking, and neither is a baseline where there is a history that has all of it, or files that
bring it; a gap is refused. Databases have the last word: their agents skip what the journals say is
there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ledger.contracts.events import BundleRegistered
from ledger.contracts.registry import MigrationRef
from ledger.domain.folder_refusals import BaselineGap
from ledger.domain.half_done import HalfDoneThere, before_down, before_up
from ledger.domain.refusals import BeyondBaseline, OutOfOrder, UnknownBaseline
from ledger.domain.wording import number_of
from ledger.errors import NoSuchVersion
from migrations.likeness import nearest
from migrations.model.attempt import Adoption, Mode
from migrations.model.baselines import gaps, set_aside, standing_for
from migrations.model.phases import LAST_BY_DEFAULT, Phase, held_back, may_follow, through
from migrations.model.work import BASELINE


@dataclass(frozen=True, slots=True)
class DatabaseVersions:
    """One database against a bundle: what is in force, what is missing, in the bundle's order."""

    database: str
    applied: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def latest(self) -> str | None:
        """The last version in force."""
        return self.applied[-1] if self.applied else None


@dataclass(frozen=True, slots=True)
class KnownVersions:
    """What the ledger knows of the selected databases."""

    versions: Sequence[DatabaseVersions]
    """What is in force there, of the bundle's versions and of those that vanished from it."""
    checksums: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """With which text repeatable migrations were applied, by database and version."""
    unread: frozenset[str] = frozenset()
    """Databases whose journal is not known yet: new, reinstated or moved ones."""
    half_done: HalfDoneThere = field(default_factory=dict)
    """What is half done, or in doubt, by database."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked for of a bundle: up, through a version and a phase; down, N steps; adopt."""

    mode: Mode
    to_version: str | None = None
    phase: Phase = LAST_BY_DEFAULT
    steps_down: int = 1
    adoption: Adoption | None = None
    out_of_order: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """Migrations in the bundle's order, and the databases that need any of them, by id."""

    migrations: tuple[MigrationRef, ...]
    databases: tuple[str, ...]
    notes: tuple[str, ...]
    already_everywhere: int
    late: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What is older than something that databases have already: label, and those databases."""

    def in_running_order(self, direction: str) -> tuple[MigrationRef, ...]:
        """Oldest first to go up, newest first to go down."""
        backwards = direction in (Mode.DOWN, Mode.ROLLBACK)
        return tuple(reversed(self.migrations)) if backwards else self.migrations


def what_is_pending(
    bundle: BundleRegistered,
    wanted: Goal,
    selected: Sequence[str],
    known: KnownVersions,
    vanished: Sequence[MigrationRef] = (),
) -> Pending:
    """What is left to do of the bundle on the selected databases.

    `vanished` was registered before and is not in the folder any more. Raises `NoSuchVersion`,
    `OutOfOrder`, `UnknownBaseline`, `BeyondBaseline`, `BaselineGap`, `HalfDoneOtherwise`.
    """
    match wanted.mode:
        case Mode.UP:
            standing = in_force(known, bundle.migrations)
            chosen, held = through(_up_to(bundle, wanted.to_version), wanted.phase)
            _refuse_gaps(chosen, bundle.migrations, known)
            pending = pending_up(chosen, selected, standing, known.unread)
            missed = [
                ref for ref in vanished if standing_for(bundle.migrations, ref.version) is None
            ]
            notes = (
                *before_up(known.half_done, chosen, frozenset(pending.databases)),
                *_held_notes(held, selected, standing),
                *_vanished_notes(missed, known),
            )
            pending = replace(pending, notes=(*pending.notes, *notes))
        case Mode.ADOPT:
            pending = pending_adopt(bundle.migrations, selected, known.versions, wanted.adoption)
        case _:
            there = [with_half_done(one, known.half_done) for one in known.versions]
            pending = pending_down(bundle.migrations, wanted.steps_down, selected, there)
            notes = tuple(before_down(known.half_done, pending.migrations))
            pending = replace(pending, notes=(*pending.notes, *notes))
    if pending.late and not wanted.out_of_order:
        raise OutOfOrder(pending.late)
    return pending


def with_half_done(one: DatabaseVersions, half_done: HalfDoneThere) -> DatabaseVersions:
    """The database with what is half done there among what it has: going down cleans that up."""
    begun = [half.version for half in half_done.get(one.database, ()) if not half.doubtful]
    further = tuple(version for version in begun if version not in one.applied)
    return replace(one, applied=(*one.applied, *further)) if further else one


def _refuse_gaps(
    chosen: Sequence[MigrationRef], migrations: Sequence[MigrationRef], known: KnownVersions
) -> None:
    """Raise `BaselineGap` for databases that lack some of what a chosen baseline stands for."""
    planned = {ref.version: ref.label for ref in chosen if ref.replaces is not None}
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for one in known.versions if planned else ():
        if one.database in known.unread:
            continue
        for version, lacking in gaps(migrations, one.applied).items():
            if version in planned:
                found.setdefault(planned[version], {})[one.database] = lacking
    if found:
        raise BaselineGap(found)


def in_force(known: KnownVersions, migrations: Sequence[MigrationRef]) -> list[DatabaseVersions]:
    """What needs no run in each database: what stands there as it is written in the bundle."""
    own = {ref.version: ref for ref in migrations}
    same: dict[tuple[str, ...], tuple[str, ...]] = {}
    found = []
    for one in known.versions:
        applied = same.get(one.applied) if not known.checksums else None
        if applied is None:
            applied = tuple(
                version
                for version in one.applied
                if version in own and not _has_changed(own[version], one.database, known.checksums)
            )
            # In most databases the same is applied: then it is found, and kept, once.
            applied = same[one.applied] = (*applied, *set_aside(migrations, one.applied))
        found.append(DatabaseVersions(one.database, applied, one.missing))
    return found


def _has_changed(
    ref: MigrationRef, database: str, checksums: Mapping[tuple[str, str], str | None]
) -> bool:
    """Whether a repeatable was applied there with another text than it has now."""
    there = checksums.get((database, ref.version), ref.up_checksum)
    return ref.repeatable and there != ref.up_checksum


def pending_up(
    migrations: Sequence[MigrationRef],
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
    unread: frozenset[str] = frozenset(),
) -> Pending:
    """Every migration that a selected database lacks, and the databases that lack any.

    What is applied is what the log knows; agents skip what a database's own journal says is there.
    The log's word does not count for the `unread` databases: their journal is not known since they
    were reinstated or moved, so everything is ordered and their agents find out.
    """
    sets = {applied: frozenset(applied) for applied in {one.applied for one in known}}
    applied = {one.database: sets[one.applied] for one in known if one.database not in unread}
    lacking = [
        database
        for database in selected
        if any(ref.version not in applied.get(database, frozenset()) for ref in migrations)
    ]
    wanted = tuple(
        ref
        for ref in migrations
        if any(ref.version not in applied.get(database, frozenset()) for database in lacking)
    )
    have_all = len(selected) - len(lacking)
    notes = [_of(have_all, selected, "have all of it already")] if have_all else []
    late = _out_of_order(wanted, migrations, lacking, applied)
    notes += [
        f"{label} is older than what {number_of(len(databases), 'database')} "
        f"{'has' if len(databases) == 1 else 'have'} already"
        for label, databases in late.items()
    ]
    return Pending(wanted, tuple(lacking), tuple(notes), len(migrations) - len(wanted), late)


def pending_adopt(
    migrations: Sequence[MigrationRef],
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
    adoption: Adoption | None,
) -> Pending:
    """What an adoption may find applied, on every selected database: only they know.

    A baseline is refused where the log knows of more. Raises `BeyondBaseline`, `UnknownBaseline`.
    """
    if adoption is None or not adoption.through:
        return Pending(tuple(migrations), tuple(selected), (), 0)
    labels = [(ref.version, ref.label) for ref in migrations]
    ends = [at for at, names in enumerate(labels) if adoption.through in names]
    if not ends:
        raise UnknownBaseline(adoption.through, [ref.version for ref in migrations])
    beyond = {ref.version for ref in migrations[ends[0] + 1 :]}
    further = [one.database for one in known if beyond & frozenset(one.applied)]
    if adoption.source == BASELINE and further:
        raise BeyondBaseline(adoption.through, further)
    return Pending(tuple(migrations), tuple(selected), (), 0)


def pending_down(
    migrations: Sequence[MigrationRef],
    steps: int,
    selected: Sequence[str],
    known: Sequence[DatabaseVersions],
) -> Pending:
    """The newest `steps` migrations that any selected database has, and who has any of them.

    Repeatable ones without a down section are left alone: they have nothing to go back to.
    """
    applied = {one.database: frozenset(one.applied) for one in known}
    in_force = [
        ref
        for ref in migrations
        if not (ref.repeatable and ref.down_checksum is None)
        and any(ref.version in applied.get(database, frozenset()) for database in selected)
    ]
    chosen = tuple(in_force[-steps:])
    having = tuple(
        database
        for database in selected
        if any(ref.version in applied.get(database, frozenset()) for ref in chosen)
    )
    without = len(selected) - len(having)
    notes = [_of(without, selected, "have none of it")] if without else []
    return Pending(chosen, having, tuple(notes), 0)


def _out_of_order(
    wanted: Sequence[MigrationRef],
    migrations: Sequence[MigrationRef],
    lacking: Sequence[str],
    applied: dict[str, frozenset[str]],
) -> dict[str, tuple[str, ...]]:
    """Each migration that is older than one that its databases have already, and those databases.

    Repeatable ones and baselines have no place in the order, and phases that were held back may
    follow.
    """
    place = {
        ref.version: at
        for at, ref in enumerate(migrations)
        if not ref.repeatable and ref.replaces is None
    }
    newest = {
        database: max((place[v] for v in applied.get(database, ()) if v in place), default=-1)
        for database in lacking
    }
    found = {
        ref.label: tuple(
            database
            for database, last in newest.items()
            if ref.version not in applied.get(database, frozenset()) and place[ref.version] < last
        )
        for ref in wanted
        if ref.version in place and not may_follow(ref)
    }
    return {label: databases for label, databases in found.items() if databases}


def _up_to(bundle: BundleRegistered, version: str | None) -> tuple[MigrationRef, ...]:
    """The bundle's migrations up to this version. Raises `NoSuchVersion`."""
    if version is None:
        return bundle.migrations
    for index, ref in enumerate(bundle.migrations):
        if ref.version == version:
            return bundle.migrations[: index + 1]
    names = {
        name: ref.version
        for ref in bundle.migrations
        for name in (ref.version, ref.name, ref.label)
    }
    raise NoSuchVersion(version, bundle.bundle, names.get(nearest(version, names) or ""))


def _held_notes(
    held: Sequence[MigrationRef], selected: Sequence[str], known: Sequence[DatabaseVersions]
) -> Iterator[str]:
    """A note for each phase that does not go and that a selected database lacks."""
    applied = {one.database: frozenset(one.applied) for one in known}
    for ref in held:
        if any(ref.version not in applied.get(database, frozenset()) for database in selected):
            yield held_back(ref.label, ref.phase)


def _vanished_notes(vanished: Sequence[MigrationRef], known: KnownVersions) -> Iterator[str]:
    """A note for each migration that databases have and the folder has not."""
    counts = Counter(version for one in known.versions for version in one.applied)
    for ref in vanished:
        if number := counts[ref.version]:
            yield (
                f"{ref.label} is applied in {number_of(number, 'database')} and is not in the "
                "folder; restore its file, or accept that it is gone with "
                f"`ledger repair {ref.version} --gone --reason WHY`"
            )


def _of(some: int, selected: Sequence[str], what: str) -> str:
    """`1,200 of 5,000 databases have none of it`."""
    return f"{some:,} of {len(selected):,} databases {what}"
