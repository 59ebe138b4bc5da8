"""The template of a new migration."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from migrations.authoring import create as creating
from migrations.authoring.create import MigrationKind, Wanted
from migrations.authoring.recipes import Column, Given
from migrations.authoring.recipes.cookbook import RECIPES
from migrations.errors import CreateError, LoadError, MarkerError
from migrations.formats.bundle import load_files, load_folder
from migrations.model.migration import SourceFile
from tests.support.format_samples import committed

NOON = datetime(2026, 1, 2, 12, 30, 45, tzinfo=UTC)


def create(folder: Path, title: str, *, at: datetime, **more: object) -> Path:
    """The only file of a new migration."""
    (path,) = creating.create(folder, title, at=at, **more)  # type: ignore[arg-type]
    return path


def written(folder: Path, wanted: Wanted, title: str = "x") -> list[str]:
    """The names of the files of a new migration."""
    return [path.name for path in creating.create(folder, title, at=NOON, wanted=wanted)]


def test_the_file_is_named_by_utc_time_and_title(tmp_path: Path) -> None:
    path = create(tmp_path, "Add e-mail index", at=NOON)
    assert path == tmp_path / "20260102123045_add_e_mail_index.sql"


def test_the_version_is_utc_whatever_the_clock_shows(tmp_path: Path) -> None:
    zurich = NOON.astimezone(timezone(timedelta(hours=1)))
    assert create(tmp_path, "x", at=zurich).name == "20260102123045_x.sql"


def test_the_header_names_author_date_and_description(tmp_path: Path) -> None:
    text = create(
        tmp_path, "x", at=NOON, author="Ada", description="Two\nlines; -- +migrate Up"
    ).read_text()
    assert "-- Author:      Ada\n-- Date:        2026-01-02\n" in text
    assert "-- Description: Two lines; -- +migrate Up\n" in text


def test_an_untouched_template_does_not_load_and_says_why(tmp_path: Path) -> None:
    create(tmp_path, "x", at=NOON)
    with pytest.raises(MarkerError, match="the Up section holds no statement"):
        load_folder(tmp_path)


def test_a_filled_template_loads_with_all_three_sections(tmp_path: Path) -> None:
    path = create(tmp_path, "x", at=NOON, description="{braces} stay")
    text = path.read_text().replace("\n\n\n-- +migrate Down", "\nSELECT 1;\n\n-- +migrate Down")
    path.write_text(text)
    (migration,) = load_folder(tmp_path).migrations
    assert [statement.text for statement in migration.up.statements] == ["SELECT 1"]
    assert migration.up.options.lock_timeout_s == 2
    assert migration.down is not None
    assert migration.verify is not None


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    assert create(tmp_path / "db" / "migrations", "x", at=NOON).exists()


def test_files_of_one_second_get_one_version_after_the_other(tmp_path: Path) -> None:
    names = [create(tmp_path, title, at=NOON).name for title in ("first", "second", "third")]
    seconds = [NOON + timedelta(seconds=number) for number in range(3)]
    assert [name.partition("_")[0] for name in names] == [f"{at:%Y%m%d%H%M%S}" for at in seconds]
    assert sorted(names) == names


def test_the_second_behind_the_end_of_a_minute_is_one_of_the_next(tmp_path: Path) -> None:
    late = NOON.replace(second=59)
    create(tmp_path, "first", at=late)
    second = create(tmp_path, "second", at=late).name
    assert second.startswith(f"{late + timedelta(seconds=1):%Y%m%d%H%M%S}_")


def test_many_who_write_at_once_have_a_version_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as people:
        paths = list(people.map(lambda n: create(tmp_path, f"m{n}", at=NOON), range(16)))
    assert len({path.name.partition("_")[0] for path in paths}) == 16


def test_a_taken_name_is_refused_and_the_file_is_left_alone(tmp_path: Path) -> None:
    path = create(tmp_path, "same", at=NOON)
    path.write_text("mine")
    with pytest.raises(CreateError, match="has this name already"):
        create(tmp_path, "Same", at=NOON + timedelta(days=1))
    assert path.read_text() == "mine"


@pytest.mark.parametrize("title", ["", "  ", "../..", "日本"])
def test_a_title_that_gives_no_name_is_refused(tmp_path: Path, title: str) -> None:
    with pytest.raises(CreateError, match="gives no file name"):
        create(tmp_path, title, at=NOON)


def test_a_title_cannot_leave_the_folder(tmp_path: Path) -> None:
    path = create(tmp_path, "../../etc/passwd", at=NOON)
    assert path.parent == tmp_path


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CreateError, match="Name another folder"):
        create(tmp_path / "file", "x", at=NOON)


GIVEN = {
    "index-concurrently": Given("users", (Column("email"),)),
    "unique-index": Given("users", (Column("email"),)),
    "add-column": Given("users", (Column("status", "text"),)),
    "foreign-key": Given("orders", (Column("user_id"),), to="users"),
    "check": Given("users", (Column("age"),), value="age > 0"),
    "not-null": Given("users", (Column("email"),)),
    "type-change": Given("users", (Column("age", "integer"),), to="bigint"),
    "rename-column": Given("users", (Column("mail", "text"),), to="email"),
    "table-split": Given("users", (Column("city", "text"),), to="addresses"),
}


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["1_a.sql", "2_b.sql"], "3_x.sql"),
        (["0009_a.sql"], "0010_x.sql"),
        (["9_a.sql", "10_b.sql"], "11_x.sql"),
        (["20250101000000_a.sql"], "20260102123045_x.sql"),
        (["20250101_a.sql"], "20260102123045_x.sql"),
        (["1.2.3_a.sql"], "20260102123045_x.sql"),
        (["5_split.expand.sql", "README.md"], "6_x.sql"),
        (["007_a.py"], "008_x.sql"),
    ],
)
def test_the_version_goes_on_in_the_folders_own_way(
    tmp_path: Path, names: list[str], wanted: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("-- +migrate Up\nSELECT 1;\n")
    assert create(tmp_path, "x", at=NOON).name == wanted


@pytest.mark.parametrize(
    ("format", "names"),
    [
        ("sql-migrate", ["20260102123045_x.sql"]),
        ("goose", ["20260102123045_x.sql"]),
        ("goose+table", ["20260102123045_x.sql"]),
        ("dbmate", ["20260102123045_x.sql"]),
        ("golang-migrate", ["20260102123045_x.up.sql", "20260102123045_x.down.sql"]),
        ("plain", ["20260102123045_x.up.sql", "20260102123045_x.down.sql"]),
        ("flyway", ["V20260102123045__x.sql", "U20260102123045__x.sql"]),
        ("node-pg-migrate", ["1767357045000_x.sql"]),
        ("tern", ["001_x.sql"]),
        ("play", ["1.sql"]),
    ],
)
def test_every_format_has_its_files_and_reads_them_when_they_are_filled_in(
    tmp_path: Path, format: str, names: list[str]
) -> None:
    assert written(tmp_path, Wanted(format=format)) == names
    for name in names:
        path = tmp_path / name
        path.write_text(path.read_text().replace("\n\n\n-", "\nSELECT 1;\n-") + "SELECT 2;\n")
    (migration,) = load_folder(tmp_path, format).migrations
    assert migration.version == re.sub(r"[^0-9]", "", names[0])
    assert migration.up.statements
    assert migration.down is not None


def test_a_folder_of_another_tool_goes_on_in_its_format(tmp_path: Path) -> None:
    (tmp_path / "00001_a.sql").write_text("-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 1;\n")
    path = create(tmp_path, "x", at=NOON)
    assert path.name == "00002_x.sql"
    assert "-- +goose Up" in path.read_text()


DIESEL = {"2021-02-02-153240_a/up.sql": "SELECT 1;\n", "2021-02-02-153240_a/down.sql": ""}
PRISMA = {"20210202153240_a/migration.sql": "SELECT 1;\n"}
OWN = {"20210303000000_own.sql": "-- +migrate Up\nSELECT 1;\n"}
LAYOUTS = [
    (DIESEL, ["2026-01-02-123045_x/up.sql", "2026-01-02-123045_x/down.sql"]),
    (PRISMA, ["20260102123045_x/migration.sql"]),
    (PRISMA | OWN, ["20260102123045_x/migration.sql"]),
    (DIESEL | OWN, ["20260102123045_x/up.sql", "20260102123045_x/down.sql"]),
    ({"001_a.sql": "SELECT 1;\n", "002_b.sql": "SELECT 1;\n"}, ["003_x.sql"]),
    ({"001_a.sql": "SELECT 1;\n", "002_b.up.sql": ""}, ["003_x.up.sql", "003_x.down.sql"]),
]


def in_folder(path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(text)


@pytest.mark.parametrize(("there", "names"), LAYOUTS)
def test_a_plain_migration_is_laid_out_as_the_newest_one_is(
    tmp_path: Path, there: dict[str, str], names: list[str]
) -> None:
    in_folder(tmp_path, there)
    paths = creating.create(tmp_path, "x", at=NOON)
    assert [str(path.relative_to(tmp_path)) for path in paths] == names
    migrations = load_folder(tmp_path, "plain").migrations
    assert migrations[-1].name == "x"
    assert [file.name for file in migrations[-1].files] == names


@pytest.mark.parametrize("there", [DIESEL, PRISMA])
def test_a_folder_with_the_name_of_a_migration_is_a_clash(
    tmp_path: Path, there: dict[str, str]
) -> None:
    in_folder(tmp_path, there)
    with pytest.raises(CreateError, match="has this name already"):
        creating.create(tmp_path, "a", at=NOON)
    at = datetime(2021, 2, 2, 15, 32, 40, tzinfo=UTC)
    first, *_ = creating.create(tmp_path, "b", at=at)
    name = first.relative_to(tmp_path).parts[0]
    assert name.replace("-", "").startswith("20210202153241")


def test_drizzles_own_tool_writes_its_files(tmp_path: Path) -> None:
    journal = '{"entries": [{"idx": 0, "tag": "0000_a"}]}'
    in_folder(tmp_path, {"0000_a.sql": "SELECT 1;\n", "meta/_journal.json": journal})
    with pytest.raises(CreateError, match="drizzle-kit generate"):
        creating.create(tmp_path, "x", at=NOON)
    wanted = Wanted(recipe="not-null", given=GIVEN["not-null"])
    creating.create(tmp_path, "x", at=NOON, wanted=wanted)
    assert load_folder(tmp_path, "plain").migrations[-1].format == "sql-migrate"


def test_flyways_numbers_go_on(tmp_path: Path) -> None:
    (tmp_path / "V3__a.sql").write_text("SELECT 1;\n")
    assert written(tmp_path, Wanted(format="flyway"), "b") == ["V4__b.sql", "U4__b.sql"]
    with pytest.raises(CreateError, match=r"V3__a\.sql has this name already"):
        written(tmp_path, Wanted(format="flyway"), "a")


def test_a_python_module_loads_and_says_that_it_is_not_written(tmp_path: Path) -> None:
    assert written(tmp_path, Wanted(MigrationKind.PYTHON)) == ["20260102123045_x.py"]
    (migration,) = load_folder(tmp_path).migrations
    assert migration.down is not None
    assert migration.verify is not None
    assert migration.up.program is not None
    assert "is not written yet" in migration.up.program.text


UP = "CREATE TABLE t (id int);\n"
FOREIGN = {
    "goose": {"001_a.sql": f"-- +goose Up\n{UP}"},
    "dbmate": {"001_a.sql": f"-- migrate:up\n{UP}"},
    "golang-migrate": {"001_a.up.sql": UP, "001_a.down.sql": "DROP TABLE t;\n"},
    "flyway": {"V001__a.sql": UP, "R__r.sql": "SELECT 1;\n"},
    "sql-migrate": {"001_a.sql": f"-- +migrate Up\n{UP}"},
    "node-pg-migrate": {"1700000000000_a.sql": f"-- Up Migration\n{UP}"},
    "tern": {"001_a.sql": f"{UP}---- create above / drop below ----\nDROP TABLE t;\n"},
    "play": {"1.sql": f"# --- !Ups\n{UP}"},
    "graphile-migrate": {"committed/000001-a.sql": committed("-", UP)},
    "plain": {"001_a.sql": UP, "002_b.up.sql": UP, "002_b.down.sql": ""},
    "plain (folders)": {"20210202153240_a/migration.sql": UP},
    "plain (dates)": {"2023-01-26.0-a.sql": UP, "2023-01-26.1-b.sql": UP},
}
WANTED = {
    "data": Wanted(MigrationKind.DATA),
    "recipe": Wanted(recipe="type-change", given=GIVEN["type-change"]),
    "python": Wanted(MigrationKind.PYTHON),
}
DATA = "-- +migrate Data table=t key=id\nDELETE FROM t USING batch WHERE t.id = batch.id;\n"


@pytest.mark.parametrize("kind", WANTED)
@pytest.mark.parametrize("format", FOREIGN)
def test_every_kind_stands_behind_what_another_formats_folder_holds(
    tmp_path: Path, format: str, kind: str
) -> None:
    in_folder(tmp_path, FOREIGN[format])
    before = load_folder(tmp_path).migrations
    paths = creating.create(tmp_path, "x", at=NOON, wanted=WANTED[kind])
    if kind == "data":
        paths[0].write_text(DATA)
    loaded = load_folder(tmp_path).migrations
    added = [one for one in loaded if one not in before]
    assert {one.format for one in before} == {format.split()[0]}
    assert [one for one in loaded if one in before] == list(before)
    assert [one.files[0].name for one in added] == [path.name for path in paths]
    assert [one for one in loaded if not one.repeatable][-1] == added[-1]


@pytest.mark.parametrize("kind", WANTED)
def test_a_sqitch_project_refuses_what_its_plan_cannot_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "sqitch.plan").write_text("%syntax-version=1.0.0\n%project=p\n")
    with pytest.raises(CreateError, match="leave --kind and --recipe out"):
        creating.create(tmp_path, "x", at=NOON, wanted=WANTED[kind])


def test_an_untouched_data_migration_does_not_load(tmp_path: Path) -> None:
    assert written(tmp_path, Wanted(MigrationKind.DATA)) == ["20260102123045_x.sql"]
    with pytest.raises(LoadError, match="holds no statement"):
        load_folder(tmp_path)


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_writes_loads_as_it_is(tmp_path: Path, name: str) -> None:
    paths = creating.create(
        tmp_path, "change it", at=NOON, wanted=Wanted(recipe=name, given=GIVEN[name])
    )
    migrations = load_folder(tmp_path).migrations
    assert len(migrations) == len(paths)
    assert all(one.down is not None for one in migrations)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_the_options_that_are_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(CreateError) as said:
        written(tmp_path, Wanted(recipe=name))
    assert all(f"--{need}" in str(said.value) for need in RECIPES[name].needs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Wanted(recipe="nonsense"), "index-concurrently: an index"),
        (Wanted(recipe=""), "name a recipe with --recipe. There are: "),
        (
            Wanted(recipe="not-null", kind=MigrationKind.PYTHON, given=GIVEN["not-null"]),
            "recipe is SQL",
        ),
        (Wanted(given=Given("users")), "belong to a recipe"),
        (Wanted(MigrationKind.DATA, "goose"), "format of its own"),
        (Wanted(format="liquibase"), "no file is written in the format 'liquibase'"),
        (
            Wanted(recipe="type-change", given=Given("t", (Column("c"),), to="text")),
            "NAME:TYPE",
        ),
        (Wanted(recipe="not-null", given=Given("t", (Column("c", "int"),))), "as NAME for"),
        (Wanted(recipe="not-null", given=Given("t", (Column("c"),), to="x")), "takes no --to"),
        (
            Wanted(recipe="not-null", given=Given("t", (Column("c"), Column("d")))),
            "takes one --column",
        ),
        (Wanted(recipe="not-null", given=Given("t", (Column("c" * 64),))), "at most 63 bytes"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is(
    tmp_path: Path, wanted: Wanted, problem: str
) -> None:
    with pytest.raises(CreateError, match=problem):
        written(tmp_path, wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_differs_only_in_case_is_a_clash(tmp_path: Path) -> None:
    (tmp_path / "20260102123045_X.SQL").write_text("-- +migrate Up\nSELECT 1;\n")
    with pytest.raises(CreateError, match="has this name already"):
        create(tmp_path, "x", at=NOON)


def test_names_of_recipes_are_quoted_where_they_must_be(tmp_path: Path) -> None:
    given = Given('my "schema.users', (Column("select"), Column("Name")))
    path = create(tmp_path, "x", at=NOON, wanted=Wanted(recipe="index-concurrently", given=given))
    text = path.read_text()
    assert 'ON "my ""schema".users ("select", "Name")' in text
    assert load_files("sql-migrate", [SourceFile(path.name, text.encode())]).up.statements


def test_long_names_of_helpers_stay_apart_and_fit(tmp_path: Path) -> None:
    texts = []
    for number, column in enumerate(("c" * 60, "c" * 59 + "d")):
        given = Given("t" * 60, (Column(column, "int"),), to="bigint")
        wanted = Wanted(recipe="type-change", given=given)
        paths = creating.create(
            tmp_path, f"x{number}", at=NOON + timedelta(1 + number), wanted=wanted
        )
        texts.append(paths[0].read_text())
    names = {text.split("CREATE TRIGGER ")[1].split()[0] for text in texts}
    assert len(names) == 2
    assert {len(name) for name in names} == {63}
