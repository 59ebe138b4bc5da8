"""What comes before an order's migrations: it lacks only where it was lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from ledger.contracts.events import BundleRegistered
from ledger.contracts.registry import ContentRef, MigrationRef
from ledger.domain.folder_refusals import BaselineGap
from ledger.domain.pending import DatabaseVersions, Goal, KnownVersions, what_is_pending
from migrations.model.attempt import Mode
from migrations.model.ordering import passed_over
from migrations.model.phases import Phase


def migration(version: str) -> MigrationRef:
    """One as a bundle lists it, called by any name."""
    return MigrationRef(
        version=version,
        name="change",
        format="sql",
        up_checksum="c" * 64,
        down_checksum="d" * 64,
        has_verify=False,
        transactional=True,
        files=(ContentRef(name=f"{version}_change.sql", sha256="e" * 64, size=10),),
    )


ONE, TWO, THREE, FOUR = (migration(version) for version in "1234")


def changed(ref: MigrationRef, **changes: object) -> MigrationRef:
    return ref.model_copy(update=changes)


def unit(number: int) -> tuple[MigrationRef, ...]:
    """A change in three phases."""
    return tuple(
        changed(migration(f"{number}.{part}"), unit=f"{number}_change", phase=phase.value)
        for part, phase in enumerate(Phase, start=1)
    )


def named(folder: Sequence[MigrationRef], ordered: Sequence[str], *applied: str) -> list[str]:
    return [one.version for one in passed_over(folder, ordered, applied)]


@pytest.mark.parametrize(
    ("ordered", "applied", "lacking"),
    [
        ("3", "12", ""),
        ("3", "1", "2"),
        ("3", "", "12"),
        ("24", "", "13"),
        ("24", "12", "3"),
        ("34", "13", "2"),
        ("34", "1234", ""),
        ("34", "34", ""),
        ("1", "", ""),
        ("12", "34", ""),
    ],
)
def test_what_comes_before_is_there_or_is_ordered(ordered: str, applied: str, lacking: str) -> None:
    assert named((ONE, TWO, THREE, FOUR), list(ordered), *applied) == list(lacking)


def test_repeatable_migrations_have_no_place() -> None:
    views = changed(migration("R"), repeatable=True)
    assert named((views, ONE, TWO), ["2"], "1") == []
    assert named((ONE, views), ["R"]) == []


def test_a_phase_may_have_been_held_back_unless_a_later_one_of_its_unit_is_to_run() -> None:
    expand, migrate, contract = unit(2)
    folder = (ONE, expand, migrate, contract, THREE)
    assert named(folder, ["3"], "1", "2.1") == []
    assert named(folder, ["2.1", "3"], "1") == []
    assert named(folder, ["3"], "1") == ["2.1"]
    assert named(folder, ["2.3"], "1", "2.1") == ["2.2"]
    assert named(folder, ["2.3"], "1", "2.2") == ["2.1"]


def test_a_baseline_stands_for_what_it_names() -> None:
    base = changed(migration("B2"), replaces=("1", "2"))
    folder = (ONE, TWO, base, THREE)
    assert named(folder, ["3"], "B2") == []
    assert named(folder, ["3"], "1", "2") == []
    assert named(folder, ["B2", "3"]) == []
    assert named(folder, ["3"]) == ["B2"]
    assert named(folder, ["3"], "1") == ["2"]


@st.composite
def folders(draw: st.DrawFn) -> tuple[MigrationRef, ...]:
    found: list[MigrationRef] = []
    for number in range(1, draw(st.integers(2, 6))):
        kind = draw(st.sampled_from(["plain", "plain", "unit", "repeatable", "baseline"]))
        if kind == "unit":
            found += unit(number)[: draw(st.integers(1, 3))]
        elif kind == "repeatable":
            found.append(changed(migration(str(number)), repeatable=True))
        elif kind == "baseline" and found:
            before = tuple(one.version for one in found)
            found.append(changed(migration(f"B{number}"), replaces=before))
        else:
            found.append(migration(str(number)))
    return tuple(found)


@given(st.data())
def test_no_database_of_a_plan_lacks_what_comes_before_it(data: st.DataObject) -> None:
    """Whatever the databases have, in whatever order they came to it."""
    folder = data.draw(folders())
    versions = [one.version for one in folder]
    having = {
        name: tuple(one for one in versions if one in data.draw(st.sets(st.sampled_from(versions))))
        for name in ("a", "b", "c")
    }
    known = [
        DatabaseVersions(name, there, tuple(one for one in versions if one not in there))
        for name, there in having.items()
    ]
    goal = Goal(
        Mode.UP,
        to_version=data.draw(st.sampled_from([None, *versions])),
        phase=data.draw(st.sampled_from(list(Phase))),
        out_of_order=True,
    )
    bundle = BundleRegistered(bundle="b" * 64, migrations=folder, source="migrations")
    try:
        pending = what_is_pending(bundle, goal, list(having), KnownVersions(known))
    except BaselineGap:
        reject()
    ordered = [one.version for one in pending.migrations]
    for name in pending.databases:
        assert named(folder, ordered, *having[name]) == [], (ordered, having[name])
