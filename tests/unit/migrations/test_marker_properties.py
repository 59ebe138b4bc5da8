"""For any options: what is written on the markers of our own format is what the migration says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from migrations.formats.bundle import load_files
from migrations.formats.data import BATCH_MAX_ROWS, BATCH_ROWS
from migrations.model.migration import (
    Batches,
    Conflict,
    Migration,
    Options,
    Pauses,
    Section,
    SourceFile,
    Statement,
)

UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
UNITS_BYTES = {"kB": 2**10, "MB": 2**20, "GB": 2**30}
MOVE = "UPDATE t SET a = 1 FROM batch WHERE t.id = batch.id"
RESTORED = "INSERT INTO log SELECT id FROM batch"


@dataclass(frozen=True)
class Written:
    """A value as it stands in a file, and what it means in the field of that name."""

    text: str
    value: Any
    field: str = ""


def counted(units: Mapping[str, float], field: str) -> st.SearchStrategy[Written]:
    return st.builds(
        lambda number, unit: Written(f"{number}{unit}", number * units[unit], field),
        st.integers(0, 10_000),
        st.sampled_from(list(units)),
    )


fractions = st.builds(
    lambda number: Written(f"{number}s", number), st.floats(0.001, 1000).map(lambda x: round(x, 3))
)
times = counted(UNITS_S, "lag_s") | fractions | st.just(Written("0", 0.0))
timeouts = times.filter(lambda one: one.value <= 24 * UNITS_S["d"])
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters=","),
    min_size=1,
    max_size=8,
).filter(lambda one: not (len(one) > 2 and one[0] == one[-1] == '"'))
names = st.lists(words, min_size=1, max_size=3).map(lambda one: Written(",".join(one), tuple(one)))
single = words.map(lambda one: Written(one, one))
tables = words.filter(lambda one: all(one.split("."))).map(lambda one: Written(one, one))
numbers = st.integers(0, 1000).map(lambda one: Written(str(one), one))

RUNNING = {"lock_timeout": timeouts, "statement_timeout": timeouts, "role": single}
PAUSING = {
    "pause_lag": counted(UNITS_S, "lag_s") | counted(UNITS_BYTES, "lag_bytes"),
    "pause_active": numbers,
}
SIZED = {"batch": st.integers(1, BATCH_MAX_ROWS).map(lambda one: Written(str(one), one))}
PAGED = {"table": tables, "key": names}
Said = dict[str, Written]

running = st.fixed_dictionaries({}, optional=RUNNING)
paging = st.fixed_dictionaries(PAGED, optional={**RUNNING, **PAUSING, **SIZED})
saving = st.fixed_dictionaries(
    {**PAGED, "backup": names}, optional={**RUNNING, **PAUSING, **SIZED, "keep": times}
)
restoring = st.fixed_dictionaries(
    {},
    optional={
        **RUNNING,
        **PAUSING,
        **SIZED,
        "conflict": st.sampled_from(list(Conflict)).map(lambda one: Written(one.value, one)),
    },
)
questions = st.lists(
    st.sampled_from(["SELECT true", "SELECT 1 -- ;", "SELECT ';' FROM t", "SELECT\n  false"]),
    max_size=3,
)


def marker(data: st.DataObject, command: str, said: Said, *bare: str) -> str:
    """A marker's line, its options in any order with any blanks between them."""
    options = data.draw(
        st.permutations([*bare, *(f"{key}={one.text}" for key, one in said.items())])
    )
    blanks = data.draw(st.sampled_from([" ", "  ", "\t"]))
    return blanks.join([f"-- +migrate {command}", *options])


def section(line: str, statements: Sequence[str]) -> str:
    return f"{line}\n" + "".join(f"{one}\n;\n" for one in statements)


def options(said: Said, *, transaction: bool = True) -> Options:
    lock, statement, role = (said[key].value if key in said else None for key in RUNNING)
    return Options(transaction, lock, statement, role)


def pauses(said: Said) -> Pauses:
    lag, active = said.get("pause_lag"), said.get("pause_active")
    known = Pauses(active=active.value if active else None)
    return replace(known, **{lag.field: lag.value}) if lag else known


def batches(said: Said) -> Batches:
    """What a Data marker, or a Down marker with a table, says."""
    backup, keep, size = (said.get(key) for key in ("backup", "keep", "batch"))
    return Batches(
        table=said["table"].value,
        key=said["key"].value,
        size=size.value if size else BATCH_ROWS,
        backup=backup.value if backup else (),
        keep_s=keep.value if keep else None,
        pauses=pauses(said),
    )


def restored(up: Batches, said: Said) -> Batches:
    """What `Down restore` says beside the Data marker that made `up`."""
    size, conflict = said.get("batch"), said.get("conflict")
    return replace(
        up,
        restore=True,
        size=size.value if size else up.size,
        conflict=conflict.value if conflict else Conflict.REFUSE,
        pauses=pauses(said) if set(PAUSING) & set(said) else up.pauses,
    )


def bare(section: Section | None) -> Batches:
    """How a section goes through its table, without what it asks."""
    assert section is not None
    assert section.batches is not None
    paused = replace(section.batches.pauses, gates=())
    return replace(section.batches, pauses=paused, validate=())


def texts(statements: Sequence[Statement]) -> list[str]:
    return [one.text for one in statements]


def parsed(text: str) -> Migration:
    """The migration, which its own files make once more."""
    found = load_files("sql-migrate", [SourceFile("1_move.sql", text.encode())])
    again = load_files(found.format, found.files, version=found.version, name=found.name)
    assert again == found
    return found


@given(st.data(), running, running, running, st.booleans(), st.booleans())
def test_the_options_of_each_section_are_those_on_its_marker(
    data: st.DataObject, up: Said, down: Said, verify: Said, stepwise: bool, down_stepwise: bool
) -> None:
    words_of = {True: ("notransaction",), False: ()}
    parts = [
        section(marker(data, "Up", up, *words_of[stepwise]), ["SELECT 1"]),
        section(marker(data, "Down", down, *words_of[down_stepwise]), ["SELECT 2"]),
        section(marker(data, "Verify", verify), ["SELECT true"]),
    ]
    found = parsed("".join(data.draw(st.permutations(parts))))
    assert found.down is not None
    assert found.verify is not None
    assert found.up.options == options(up, transaction=not stepwise)
    assert found.down.options == options(down, transaction=not down_stepwise)
    assert found.verify.options == options(verify)
    sections = (found.up, found.down, found.verify)
    assert [texts(one.statements) for one in sections] == [
        ["SELECT 1"],
        ["SELECT 2"],
        ["SELECT true"],
    ]


@given(st.data(), paging | saving, questions, questions)
def test_a_data_migration_is_what_its_markers_say(
    data: st.DataObject, said: Said, gates: list[str], validations: list[str]
) -> None:
    parts = [section(marker(data, "Data", said), [MOVE])]
    parts += [section("-- +migrate Gate", gates)] if gates else []
    parts += [section("-- +migrate Validate", validations)] if validations else []
    found = parsed("".join(data.draw(st.permutations(parts))))
    assert bare(found.up) == batches(said)
    assert found.up.options == options(said)
    assert texts(found.up.statements) == [MOVE]
    assert found.up.batches is not None
    assert texts(found.up.batches.pauses.gates) == gates
    assert texts(found.up.batches.validate) == validations
    assert (found.down is None) is ("backup" not in said)


@given(st.data(), saving, restoring, st.booleans())
def test_a_restore_is_what_its_marker_and_the_data_marker_say(
    data: st.DataObject, said: Said, back: Said, more: bool
) -> None:
    up = section(marker(data, "Data", said), [MOVE])
    after = [RESTORED] if more else []
    found = parsed(up + section(marker(data, "Down", back, "restore"), after))
    assert bare(found.down) == restored(batches(said), back)
    assert found.down is not None
    assert found.down.options == options(back)
    assert texts(found.down.statements) == after


@given(st.data(), paging | saving, paging)
def test_a_down_goes_through_the_table_that_it_names(
    data: st.DataObject, said: Said, back: Said
) -> None:
    up = section(marker(data, "Data", said), [MOVE])
    found = parsed(up + section(marker(data, "Down", back), [MOVE]))
    assert bare(found.down) == batches(back)
    assert found.down is not None
    assert found.down.options == options(back)


@given(st.data(), paging | saving, names)
def test_a_module_says_the_same_as_sections_with_the_same_marker(
    data: st.DataObject, said: Said, columns: Written
) -> None:
    line = marker(data, "Data", {**said, "columns": columns}).replace("--", "#", 1)
    text = f"{line}\nasync def transform(rows, conn): ...\n"
    found = load_files("python", [SourceFile("1_move.py", text.encode())])
    assert bare(found.up) == replace(batches(said), columns=columns.value)
    assert found.up.options == options(said)
