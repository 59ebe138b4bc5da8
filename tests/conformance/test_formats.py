"""What every format owes, whatever its files look like.

One folder in each of them says the same (`tests.support.format_samples`), and for any statements
what is written in a format is read back, and no byte of it is lost.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.errors import ForbiddenSqlError, MarkerError
from migrations.formats import AS_IT_IS
from migrations.formats.bundle import load_files, load_folder
from migrations.formats.checksum import checksum
from migrations.formats.registry import FORMATS, GUESSED, MODULES
from migrations.model.migration import Migration, SourceFile
from tests.support.format_samples import FOLDERS, TERN, written

BY_NAME = {one.name: one for one in FORMATS}
NEVER = ["README.md", "schema.rb", "notes.txt", "Makefile"]
"""Files that are nobody's migrations."""


def sample(format: str) -> list[SourceFile]:
    """The files of its folder, by name."""
    return [SourceFile(name, text.encode()) for name, text in sorted(FOLDERS[format].items())]


def test_every_format_that_a_folder_may_be_taken_for_has_a_sample() -> None:
    assert set(FOLDERS) == {one.name.partition("+")[0] for one in GUESSED}
    assert len(BY_NAME) == len(FORMATS), "a name finds its parser again"


@pytest.mark.parametrize("format", FOLDERS)
def test_it_claims_its_files_and_none_that_is_no_migration(format: str) -> None:
    names = [file.name for file in sample(format)]
    claimed = BY_NAME[format].claims(sorted([*names, *NEVER]))
    assert sorted(claimed) == names


@pytest.mark.parametrize("format", FOLDERS)
def test_its_folder_is_recognised_and_nobody_elses(tmp_path: Path, format: str) -> None:
    assert {one.format for one in load_folder(written(tmp_path, FOLDERS[format])).migrations} == {
        format
    }
    marks = {"sql-migrate", "goose", "dbmate", "sqitch"} | {"graphile-migrate", "node-pg-migrate"}
    marks |= {"tern", "play"}
    others = {other for other in marks - {format} if BY_NAME[other].detect(sample(format))}
    assert others == set()


@pytest.mark.parametrize("format", FOLDERS)
def test_the_order_of_versions_does_not_depend_on_the_order_of_files(format: str) -> None:
    files, reader = sample(format), BY_NAME[format]
    loaded = reader.load(files, AS_IT_IS)
    made = [one.up.statements[-1].summary.split()[1] for one in loaded]
    assert made == ["TABLE", "FUNCTION", "INDEX"]
    shuffled = random.Random(7).sample(files, len(files))
    assert reader.load(shuffled, AS_IT_IS) == loaded


@pytest.mark.parametrize("format", FOLDERS)
def test_every_migration_is_made_again_from_its_own_files(format: str) -> None:
    for one in BY_NAME[format].load(sample(format), AS_IT_IS):
        assert load_files(format, one.files, version=one.version, name=one.name) == one


@pytest.mark.parametrize("format", FOLDERS)
def test_only_the_index_runs_outside_a_transaction(format: str) -> None:
    loaded = BY_NAME[format].load(sample(format), AS_IT_IS)
    assert [one.up.transactional for one in loaded] == [True, True, False]


@pytest.mark.parametrize("format", FOLDERS)
def test_a_function_keeps_the_semicolons_of_its_body(format: str) -> None:
    _, shade, _ = BY_NAME[format].load(sample(format), AS_IT_IS)
    (statement,) = shade.up.statements
    assert statement.text.endswith("END;\n$$")


@pytest.mark.parametrize("format", [name for name in BY_NAME if name.partition("+")[0] in FOLDERS])
def test_a_variant_of_a_format_reads_the_same_texts(format: str) -> None:
    plain = format.partition("+")[0]
    files = sample(plain)
    checksums = {one.up.checksum for one in BY_NAME[format].load(files, AS_IT_IS)}
    assert checksums == {one.up.checksum for one in BY_NAME[plain].load(files, AS_IT_IS)}


@pytest.mark.parametrize("format", FOLDERS)
def test_modules_are_left_to_their_own_reader(format: str) -> None:
    assert "7_module.py" not in BY_NAME[format].claims(["7_module.py"])
    assert list(MODULES.claims(["7_module.py"])) == ["7_module.py"]


ALONE: dict[str, tuple[str, str]] = {
    "sql-migrate": ("001_a.sql", "-- +migrate Up\n"),
    "goose": ("001_a.sql", "-- +goose Up\n"),
    "dbmate": ("001_a.sql", "-- migrate:up\n"),
    "golang-migrate": ("001_a.up.sql", ""),
    "flyway": ("V1__a.sql", ""),
    "node-pg-migrate": ("001_a.sql", "-- Up Migration\n"),
    "tern": ("001_a.sql", "\n"),
    "play": ("1.sql", "# --- !Ups\n"),
    "plain": ("001_a/up.sql", ""),
}
"""A migration without a way back."""
BACK = [
    "-- Down",
    "-- DOWN:",
    "-- !Downs",
    "-- Rollback script",
    "-- Down Migration (Rollback)",
    "---- create above / drop below ----",
    "-- //@UNDO",
    "/* down */",
]


OWN = {
    "node-pg-migrate": ("-- Down Migration (Rollback)",),
    "tern": ("---- create above / drop below ----",),
    "play": ("-- !Downs",),
}
"""Lines that are the format's own."""


def alone(path: Path, format: str, text: str) -> Path:
    name, head = ALONE[format]
    return written(path, {name: f"{head}CREATE TABLE t (id int);\n{text}"})


@pytest.mark.parametrize("line", BACK)
@pytest.mark.parametrize("format", ALONE)
def test_no_way_back_is_run_on_the_way_up(tmp_path: Path, format: str, line: str) -> None:
    folder = alone(tmp_path, format, f"{line}\nDROP TABLE t;\n")
    if line in OWN.get(format, ()):
        (one,) = load_folder(folder, format).migrations
        assert one.down is not None
        assert len(one.up.statements) == 1
        return
    with pytest.raises(MarkerError) as refused:
        load_folder(folder, format)
    assert line.strip("-/* ") in str(refused.value)
    assert refused.value.line == 2 + bool(ALONE[format][1])


@pytest.mark.parametrize("format", sorted(set(ALONE) - {"plain"}))
@pytest.mark.parametrize(
    "rest", ["-- Down\n", "-- rollback\nSELECT 1;\n", "SELECT '\n-- Down\n';\n"]
)
def test_a_comment_that_hides_nothing_is_one(tmp_path: Path, format: str, rest: str) -> None:
    assert load_folder(alone(tmp_path, format, rest), format).migrations


CONTROL = {
    "two pairs": ("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nEND;\n", [0, 2, 3, 5]),
    "a pair around a part": ("SELECT 1;\nSTART TRANSACTION;\nSELECT 2;\nCOMMIT;\n", [1, 3]),
    "a COMMIT without BEGIN": ("SELECT 1;\nSELECT 2;\nCOMMIT;\n", [2]),
    "what ours is, too": (
        "START TRANSACTION READ WRITE, ISOLATION LEVEL READ COMMITTED;\nSELECT 1;\nCOMMIT;\n"
        "SELECT 2;\n",
        [0, 2],
    ),
}
REFUSED = [
    "SELECT 1;\nROLLBACK;\n",
    "BEGIN;\nSELECT 1;\nCOMMIT AND CHAIN;\nSELECT 2;\nCOMMIT;\n",
    "BEGIN;\nSAVEPOINT a;\nSELECT 1;\nCOMMIT;\nSELECT 2;\n",
    "SELECT 1;\nCOMMIT;\nSET LOCAL a.b = 1;\nSELECT 2;\n",
    "SELECT 1;\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nSELECT 2;\n",
    "BEGIN;\nSELECT 1;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSELECT 2;\nCOMMIT;\n",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;\nSELECT 1;\nCOMMIT;\n",
    "BEGIN;\nSET TRANSACTION READ ONLY;\nSELECT 1;\nCOMMIT;\n",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY;\nSELECT 1;\n",
    "SET TRANSACTION SNAPSHOT '1-1';\nSELECT 1;\n",
    "SET transaction_read_only = on;\nSELECT 1;\n",
    "SELECT 1;\nSET LOCAL transaction_read_only TO 1;\n",
    "SET default_transaction_read_only TO 'true';\nSELECT 1;\n",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;\nSELECT 1;\n",
]
ISOLATED = {
    "its pair": ("BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\nCOMMIT;\n", "SERIALIZABLE", 0),
    "one pair of two": (
        "BEGIN;\nSELECT 1;\nCOMMIT;\nSTART TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nEND;\n",
        "REPEATABLE READ",
        3,
    ),
    "a pair behind a statement": (
        "SELECT 1;\nBEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE;\nCOMMIT;\n",
        "SERIALIZABLE",
        1,
    ),
    "its first statement": (
        "SET LOCAL a.b = 1;\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n",
        "REPEATABLE READ",
        1,
    ),
    "the first statement in its pair": (
        "BEGIN;\nSET LOCAL TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\nCOMMIT;\n",
        "SERIALIZABLE",
        1,
    ),
    "a setting": ("SET transaction_isolation = 'serializable';\nSELECT 1;\n", "SERIALIZABLE", 0),
    "what its session is set to": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
        "BEGIN;\nSELECT 1;\nCOMMIT;\n",
        "SERIALIZABLE",
        1,
    ),
    "the default of its session": (
        "SET default_transaction_isolation TO 'repeatable read';\nBEGIN;\nSELECT 1;\nCOMMIT;\n",
        "REPEATABLE READ",
        1,
    ),
    "the last word in its pair": (
        "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\n"
        "SELECT 1;\nCOMMIT;\n",
        "REPEATABLE READ",
        1,
    ),
}
USUAL = {
    "no pair behind it": (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSELECT 1;\n"
    ),
    "the usual one": "BEGIN ISOLATION LEVEL READ UNCOMMITTED;\nSELECT 1;\nCOMMIT;\n",
    "the word in its pair": (
        "SET default_transaction_isolation TO serializable;\n"
        "BEGIN ISOLATION LEVEL READ COMMITTED;\nSELECT 1;\nCOMMIT;\n"
    ),
}
APART = {
    "a setting": "SET LOCAL a.b = 1",
    "when constraints speak": "SET CONSTRAINTS ALL DEFERRED",
}


def bare(path: Path, format: str, text: str) -> Path:
    name, head = ALONE[format]
    return written(path, {name: f"{head}{text}"})


@pytest.mark.parametrize("how", CONTROL)
@pytest.mark.parametrize("format", ALONE)
def test_transactions_of_a_script_are_left_out_with_a_note(
    tmp_path: Path, format: str, how: str
) -> None:
    text, lines = CONTROL[how]
    (one,) = load_folder(bare(tmp_path, format, text), format).migrations
    assert [statement.text for statement in one.up.statements] == ["SELECT 1", "SELECT 2"]
    first = 1 + bool(ALONE[format][1])
    told = ", ".join(str(first + line) for line in lines)
    assert any(f"BEGIN and COMMIT on line {told} are left out" in note for note in one.notes)


@pytest.mark.parametrize("how", ISOLATED)
@pytest.mark.parametrize("format", ALONE)
def test_a_level_that_a_script_asks_for_is_that_of_its_section_and_a_note(
    tmp_path: Path, format: str, how: str
) -> None:
    text, level, line = ISOLATED[how]
    (one,) = load_folder(bare(tmp_path, format, text), format).migrations
    assert one.up.options.isolation == level
    said = {statement.text for statement in one.up.statements if "SET" not in statement.text}
    assert said == {"SELECT 1"}
    place = f"{one.files[0].name}:{1 + bool(ALONE[format][1]) + line}"
    assert any(note.startswith(f"{place}: ") and level in note for note in one.notes)


@pytest.mark.parametrize("how", USUAL)
@pytest.mark.parametrize("format", ALONE)
def test_what_no_transaction_of_a_script_is_at_is_no_level_of_its_section(
    tmp_path: Path, format: str, how: str
) -> None:
    (one,) = load_folder(bare(tmp_path, format, USUAL[how]), format).migrations
    assert one.up.options.isolation == "READ COMMITTED"
    assert not any("SERIALIZABLE" in note for note in one.notes)


@pytest.mark.parametrize("what", APART)
@pytest.mark.parametrize("format", ALONE)
def test_where_something_holds_for_one_of_them_each_is_a_step(
    tmp_path: Path, format: str, what: str
) -> None:
    text = f"BEGIN;\n{APART[what]};\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;\n"
    (one,) = load_folder(bare(tmp_path, format, text), format).migrations
    assert not one.up.transactional
    assert [statement.part for statement in one.up.statements] == [1, 1, 2]
    line = 2 + bool(ALONE[format][1])
    assert any(
        "runs step by step, and what stands between them is one step" in note
        and f"which line {line} needs" in note
        for note in one.notes
    )


@pytest.mark.parametrize("format", ALONE)
def test_a_value_that_was_committed_before_its_use_still_is(tmp_path: Path, format: str) -> None:
    text = "ALTER TYPE mood ADD VALUE 'b';\nCOMMIT;\nINSERT INTO t VALUES ('b');\n"
    (one,) = load_folder(bare(tmp_path, format, text), format).migrations
    assert not one.up.transactional


@pytest.mark.parametrize("format", ALONE)
def test_savepoints_of_one_transaction_stay(tmp_path: Path, format: str) -> None:
    text = (
        "SAVEPOINT a;\nSELECT 1;\nSAVEPOINT b;\nROLLBACK TO a;\nSAVEPOINT b;\nSELECT 2;\n"
        "RELEASE b;\nROLLBACK TO SAVEPOINT a;\nRELEASE SAVEPOINT a;\n"
    )
    (one,) = load_folder(bare(tmp_path, format, text), format).migrations
    assert one.up.transactional
    assert len(one.up.statements) == 9


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SELECT 1;\nRELEASE a;\n", 2),
        ("SAVEPOINT a;\nROLLBACK TO b;\n", 2),
        ("SAVEPOINT a;\nRELEASE a;\nROLLBACK TO a;\n", 3),
        ("SAVEPOINT a;\nSAVEPOINT b;\nROLLBACK TO a;\nRELEASE b;\n", 4),
        ("BEGIN;\nSAVEPOINT a;\nRELEASE a;\nCOMMIT;\nBEGIN;\nROLLBACK TO a;\nCOMMIT;\n", 6),
        ("SAVEPOINT a;\nSELECT 1;\n", 1),
    ],
)
@pytest.mark.parametrize("format", ALONE)
def test_a_savepoint_without_a_counterpart_is_refused(
    tmp_path: Path, format: str, text: str, line: int
) -> None:
    with pytest.raises(ForbiddenSqlError, match="is transaction control") as refused:
        load_folder(bare(tmp_path, format, text), format)
    assert refused.value.line == line + bool(ALONE[format][1])


@pytest.mark.parametrize("format", ALONE)
def test_savepoints_where_statements_commit_by_themselves_are_refused(
    tmp_path: Path, format: str
) -> None:
    text = "VACUUM;\nSAVEPOINT a;\nSELECT 1;\nRELEASE a;\n"
    with pytest.raises(ForbiddenSqlError, match="needs a transaction") as refused:
        load_folder(bare(tmp_path, format, text), format)
    assert refused.value.line == 2 + bool(ALONE[format][1])


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("format", ALONE)
def test_what_cannot_be_left_out_is_refused(tmp_path: Path, format: str, text: str) -> None:
    with pytest.raises(ForbiddenSqlError, match="is transaction control"):
        load_folder(bare(tmp_path, format, text), format)


@pytest.mark.parametrize(
    ("format", "loads"),
    [
        ("goose", True),
        ("dbmate", True),
        ("plain", True),
        ("flyway", True),
        ("golang-migrate", False),
    ],
)
def test_a_transaction_that_nothing_commits_is_for_tools_that_do_it_themselves(
    tmp_path: Path, format: str, loads: bool
) -> None:
    folder = bare(tmp_path, format, "BEGIN;\nSELECT 1;\n")
    if loads:
        assert load_folder(folder, format).migrations
    else:
        with pytest.raises(ForbiddenSqlError, match="BEGIN is transaction control"):
            load_folder(folder, format)


words = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=12
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """One statement whose text could be taken for something else."""
    word = draw(words)
    quoted = word.replace("'", "''").replace("\\", "/").replace("+goose", "").replace("$", "")
    body = f"'; {quoted} /* -- '"
    return draw(
        st.sampled_from(
            [
                f"SELECT {body}",
                f"CREATE TABLE t (a text DEFAULT {body})",
                f"DO $x$ BEGIN PERFORM {body}; END $x$",
                f"SELECT /* a /* nested; */ comment */ {body}",
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END",
            ]
        )
    )


scripts = st.lists(statements(), min_size=1, max_size=4)
separators = st.sampled_from(
    [";\n", " ;\n\n", ";\n-- a comment; with 'signs\n", ";\n/* more; */\n"]
)

Render = Callable[[str, str], list[SourceFile]]


def _file(text: str, name: str = "001_a.sql") -> SourceFile:
    return SourceFile(name, text.encode())


RENDERED: dict[str, Render] = {
    "sql-migrate": lambda up, down: [_file(f"-- +migrate Up\n{up}-- +migrate Down\n{down}")],
    "goose": lambda up, down: [_file(f"-- +goose Up\n{up}-- +goose Down\n{down}")],
    "dbmate": lambda up, down: [_file(f"-- migrate:up\n{up}-- migrate:down\n{down}")],
    "golang-migrate": lambda up, down: [
        _file(up, "001_a.up.sql"),
        _file(down, "001_a.down.sql"),
    ],
    "flyway": lambda up, down: [_file(up, "V1__a.sql"), _file(down, "U1__a.sql")],
    "node-pg-migrate": lambda up, down: [_file(f"-- Up Migration\n{up}-- Down Migration\n{down}")],
    "tern": lambda up, down: [_file(f"{up}{TERN}\n{down}")],
    "plain": lambda up, down: [_file(up, "001_a/up.sql"), _file(down, "001_a/down.sql")],
}


def texts(migration: Migration) -> tuple[list[str], list[str]]:
    assert migration.down is not None
    return (
        [statement.text for statement in migration.up.statements],
        [statement.text for statement in migration.down.statements],
    )


def clean(text: str) -> bool:
    """Whether no line of it begins like a marker, which would end a section, quoted or not."""
    starts = tuple("-+")
    return not any(line.lstrip().startswith(starts) for line in text.split("\n"))


@pytest.mark.parametrize("format", RENDERED)
@given(up=scripts, down=scripts, separator=separators)
def test_what_is_written_is_read_back_statement_by_statement(
    format: str, up: list[str], down: list[str], separator: str
) -> None:
    kept = [[one for one in script if clean(one)] or ["SELECT 1"] for script in (up, down)]
    files = RENDERED[format](*("".join(one + separator for one in script) for script in kept))
    assert texts(load_files(format, files)) == (kept[0], kept[1])


@pytest.mark.parametrize("format", RENDERED)
@given(up=scripts, down=scripts, separator=separators)
def test_the_checksum_is_that_of_the_sections_text_and_nothing_else(
    format: str, up: list[str], down: list[str], separator: str
) -> None:
    kept = [[one for one in script if clean(one)] or ["SELECT 1"] for script in (up, down)]
    ups, downs = ("".join(one + separator for one in script) for script in kept)
    migration = load_files(format, RENDERED[format](ups, downs))
    assert migration.up.checksum == checksum(ups.encode())
    assert migration.down is not None
    assert migration.down.checksum == checksum(downs.encode())


@pytest.mark.parametrize("format", RENDERED)
@given(up=scripts, separator=separators)
def test_loading_the_same_files_again_gives_the_same_migration(
    format: str, up: list[str], separator: str
) -> None:
    script = [one for one in up if clean(one)] or ["SELECT 1"]
    files = RENDERED[format]("".join(one + separator for one in script), "SELECT 2;\n")
    first = load_files(format, files)
    again = load_files(format, first.files, version=first.version, name=first.name)
    assert again == first
