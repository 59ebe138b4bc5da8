"""Sqitch projects: plan, configuration, scripts, reworks, dependencies, variables of psql."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.texts import Library, Texts
from ledger.contracts.manifest import encode_manifest
from ledger.contracts.topics import CHUNK_BYTES
from ledger.service.migration_refs import migration_ref
from migrations.errors import (
    FolderError,
    ForbiddenSqlError,
    FormatError,
    LoadError,
    MarkerError,
    PsqlScriptError,
)
from migrations.formats import Reading
from migrations.formats.bundle import load_files, load_folder
from migrations.formats.detect import by_name
from migrations.formats.psql_variables import interpolated
from migrations.formats.sqitch import FORMATS, Sqitch
from migrations.formats.sqitch_plan import Change, Need, SqitchPlan, parse_plan
from migrations.model.migration import Holds, Migration, SourceFile
from tests.support.orders import apply_command
from tests.unit.agents.test_content import messages

WHO = "2026-01-02T03:04:05Z A Planner <a@example.com>"
HEAD = "%syntax-version=1.0.0\n%project=shop\n\n"
TABLE = "BEGIN;\nCREATE TABLE t (a int);\nCOMMIT;\n"


def plan(*lines: str) -> str:
    """A plan of entries; each is a change, its needs, or a tag."""
    return HEAD + "".join(f"{line} {WHO} # note\n" for line in lines)


def loaded(files: dict[str, str], **variables: str) -> list[Migration]:
    sources = [SourceFile(name, text.encode()) for name, text in sorted(files.items())]
    return Sqitch().load(sources, Reading(variables))


def project(*lines: str, **scripts: str) -> dict[str, str]:
    names = [line.split()[0] for line in lines if not line.startswith("@")]
    files = {f"deploy/{name}.sql": TABLE for name in names}
    return {"sqitch.plan": plan(*lines), **files, **scripts}


def test_a_project_is_recognised_by_its_plan(tmp_path: Path) -> None:
    for name, text in project("users", "lists").items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    found = load_folder(tmp_path).migrations

    assert [(one.format, one.label) for one in found] == [("sqitch", "users"), ("sqitch", "lists")]


def test_what_is_read_with_look_alikes_is_built_again_alike() -> None:
    files = project("users") | {"deploy/users.sql": "COMMENT ON schema\n Sqitch IS 'x';\n"}
    assert not loaded(files)[0].notes
    files["deploy/users.sql"] = "COMMENT ON schema\n sqitch IS 'x';\nSELECT FROM sqitch.tags;\n"
    sources = [SourceFile(name, text.encode()) for name, text in sorted(files.items())]
    (migration,) = by_name(FORMATS, "sqitch+table", "").load(sources, Reading())
    assert [one.summary for one in migration.up.statements[:3]] == [
        "CREATE SCHEMA sqitch",
        "CREATE TABLE sqitch.tags",
        "CREATE SCHEMA sqitch",
    ]
    assert load_files("sqitch+table", migration.files, version="users") == migration


def test_the_order_is_the_plans() -> None:
    assert [one.version for one in loaded(project("b", "c/d", "a"))] == ["b", "c/d", "a"]


def test_scripts_of_the_three_folders_are_up_down_and_verify() -> None:
    files = project("users") | {
        "revert/users.sql": "BEGIN;\nDROP TABLE t;\nCOMMIT;",
        "verify/users.sql": "BEGIN;\nSELECT a FROM t WHERE false;\nROLLBACK;",
    }
    (only,) = loaded(files)

    assert [one.text for one in only.up.statements] == ["CREATE TABLE t (a int)"]
    assert only.down is not None
    assert only.verify is not None
    assert [one.text for one in only.down.statements] == ["DROP TABLE t"]
    assert [(one.text, one.line) for one in only.verify.statements] == [
        ("SELECT a FROM t WHERE false", 2)
    ]
    assert only.verify.holds is Holds.NO_ERROR


def test_a_verify_script_may_change_what_is_taken_back_and_nothing_else() -> None:
    change = {"verify/users.sql": "BEGIN; INSERT INTO t VALUES (1); ROLLBACK;"}
    assert loaded(project("users") | change)[0].verify is not None

    with pytest.raises(ForbiddenSqlError, match="cannot be taken back"):
        loaded(project("users") | {"verify/users.sql": "VACUUM t;"})


def test_a_change_without_a_script_is_refused_with_the_plans_line() -> None:
    files = project("users", "lists")
    del files["deploy/lists.sql"]

    with pytest.raises(FolderError) as caught:
        loaded(files)

    assert (caught.value.file, caught.value.line) == ("sqitch.plan", 5)
    assert "deploy/lists.sql" in str(caught.value)


def test_the_older_instance_of_a_rework_has_the_tag_in_its_version_and_its_files() -> None:
    files = project("f", "@v1", "g", "@v2", "f [f@v2]") | {
        "deploy/f@v2.sql": "SELECT 'old';",
        "deploy/f.sql": "SELECT 'new';",
        "revert/f.sql": "SELECT 'old again';",
    }
    found = loaded(files)

    assert [(one.version, one.up.statements[0].text) for one in found] == [
        ("f@v2", "SELECT 'old'"),
        ("g", "CREATE TABLE t (a int)"),
        ("f", "SELECT 'new'"),
    ]
    assert [one.down is not None for one in found] == [False, False, True]


@pytest.mark.parametrize(
    ("lines", "problem", "line"),
    [
        (("a [b]", "b"), "a requires b, which does not come before it", 4),
        (("a", "b [@v1]"), "b requires @v1, which does not come before it", 5),
        (("a", "@v1", "b", "c [b@v1]"), "c requires b@v1", 7),
        (("a", "b [!a]"), "b conflicts with a", 5),
        (("a", "a"), "change a comes again, and no tag lies between", 5),
        (("a", "@v1", "@v1"), "tag @v1 comes twice", 6),
        (("@v1", "a"), "tag @v1 stands before any change", 4),
        (("-a",), "the plan takes a back", 4),
    ],
)
def test_a_plan_that_does_not_hold_together_is_refused_with_its_line(
    lines: tuple[str, ...], problem: str, line: int
) -> None:
    with pytest.raises(MarkerError) as caught:
        parse_plan(plan(*lines), "sqitch.plan")

    assert problem in str(caught.value)
    assert caught.value.line == line


def test_what_is_neither_change_nor_tag_is_refused_with_its_line() -> None:
    with pytest.raises(MarkerError) as caught:
        parse_plan(HEAD + "users without a date\n", "sqitch.plan")

    assert caught.value.line == 4


def test_dependencies_that_hold_are_accepted() -> None:
    lines = ("a", "@v1", "b [a a@v1 @v1 !z shop:a a^]", "+ c [b @HEAD]")

    assert [change.name for change in parse_plan(plan(*lines), "p").changes] == ["a", "b", "c"]


def test_a_dependency_on_another_project_is_noted() -> None:
    (only,) = loaded(project("users [auth:roles]"))

    assert any("auth:roles belongs to another project" in note for note in only.notes)


def test_the_configuration_says_where_things_are() -> None:
    conf = '[core]\n\tengine = pg\n\ttop_dir = db ; here\n[engine "pg"]\n\tdeploy_dir = "db/up"\n'
    files = {
        "sqitch.conf": conf,
        "db/sqitch.plan": plan("a"),
        "db/up/a.sql": TABLE,
        "db/revert/a.sql": "DROP TABLE t;",
    }
    (only,) = loaded(files)

    assert [file.name for file in only.files] == ["db/up/a.sql", "db/revert/a.sql"]


def test_a_target_of_the_configuration_goes_before_core() -> None:
    conf = '[core]\nplan_file = old.plan\ntarget = prod\n[target "prod"]\nplan_file = new.plan\n'
    files = {"sqitch.conf": conf, "old.plan": plan("a"), "new.plan": plan("b")}

    assert [one.version for one in loaded(files | {"deploy/b.sql": TABLE})] == ["b"]


def test_a_project_in_a_subfolder_is_found() -> None:
    (only,) = loaded({"db/sqitch.plan": plan("a"), "db/deploy/a.sql": TABLE})

    assert only.files[0].name == "db/deploy/a.sql"


@pytest.mark.parametrize("other", ["older.plan", "sub/sqitch.plan"])
def test_several_plans_are_named_and_not_guessed_between(other: str) -> None:
    first = "sub2/sqitch.plan" if "/" in other else "old.plan"
    with pytest.raises(FormatError) as caught:
        loaded({first: plan("a"), other: plan("b"), "deploy/a.sql": TABLE})

    assert first in str(caught.value)
    assert other in str(caught.value)


def test_a_project_for_another_server_is_refused() -> None:
    with pytest.raises(FormatError, match="mysql"):
        loaded({"sqitch.conf": "[core]\nengine = mysql\n", **project("a")})


def test_a_place_outside_of_the_folder_is_refused() -> None:
    with pytest.raises(FolderError, match="leads out of the folder"):
        loaded({"sqitch.conf": "[core]\ntop_dir = ../db\n", **project("a")})


def test_variables_of_psql_are_filled_from_declared_ones() -> None:
    script = (
        "\\set ON_ERROR_STOP on\n\\set who `cat /run/secrets/who`\nBEGIN;\n"
        "CREATE ROLE :who; COMMENT ON ROLE :\"who\" IS :'who'; SELECT a[1:2], 'x:who'::text;\n"
        "COMMIT;"
    )
    (only,) = loaded(project("r") | {"deploy/r.sql": script}, who="al")

    assert [(one.text, one.line) for one in only.up.statements] == [
        ("CREATE ROLE al", 4),
        ("COMMENT ON ROLE \"al\" IS 'al'", 4),
        ("SELECT a[1:2], 'x:who'::text", 4),
    ]
    assert only.variables == ("who",)
    assert any("shell command of \\set who is not run" in note for note in only.notes)


def test_what_the_script_sets_itself_is_known_to_it() -> None:
    (only,) = loaded(project("r") | {"deploy/r.sql": "\\set s 'my app'\nCREATE SCHEMA :\"s\";"})

    assert only.up.statements[0].text == 'CREATE SCHEMA "my app"'
    assert only.variables == ()


@pytest.mark.parametrize("line", ["\\set who `whoami`", "\\gexec", "\\i other.sql"])
def test_what_only_psql_understands_is_refused_without_leave(line: str) -> None:
    with pytest.raises(PsqlScriptError):
        loaded(project("r") | {"deploy/r.sql": f"{line}\nSELECT 1;"})


def test_a_value_cannot_add_a_statement() -> None:
    with pytest.raises(LoadError, match="variable s is more than one literal"):
        loaded(project("r") | {"deploy/r.sql": "DROP TABLE :s;"}, s="a; DROP TABLE b")


@given(st.text())
def test_a_text_without_known_variables_stays_as_it_is(text: str) -> None:
    found = interpolated(text.replace("\\", ""), {})

    assert found.text == text.replace("\\", "")


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,6}(?:/[a-z]{1,4})?", fullmatch=True)


def render(plan: SqitchPlan) -> str:
    """The plan as text; what `parse_plan` reads as the same plan, apart from lines' numbers."""
    lines = ["%syntax-version=1.0.0", f"%project={plan.project}", ""]
    for index, change in enumerate(plan.changes):
        lines += tag_lines(plan, index)
        needs = f" [{' '.join(need.written for need in change.needs)}]" if change.needs else ""
        said = change.note.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        note = f" # {said}" if said else ""
        who = f"{change.planned_at} {change.planner} <{change.email}>"
        lines.append(f"{change.name}{needs} {who}{note}")
    return "\n".join([*lines, *tag_lines(plan, len(plan.changes)), ""])


def tag_lines(plan: SqitchPlan, place: int) -> list[str]:
    return [f"@{tag} 2026-01-01T00:00:00Z x <x@x>" for tag, before in plan.tags if before == place]


@given(
    st.lists(NAMES, min_size=1, max_size=8, unique=True),
    st.data(),
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
def test_a_plan_that_is_written_is_the_plan_that_is_read(
    names: list[str], data: st.DataObject, note: str
) -> None:
    changes = []
    for index, name in enumerate(names):
        before = data.draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        needs = tuple(Need(one, name=one) for one in before)
        kept = note.strip().replace("\r", " ")
        kept = " ".join(kept.splitlines()).strip()
        changes.append(Change(name, 0, needs, (), "2026-01-02T03:04:05Z", "P", "p@p", kept))
    tags = tuple((f"v{place}", place) for place in range(1, len(names) + 1, 2))
    written = SqitchPlan("shop", tuple(changes), tags)

    read = parse_plan(render(written), "sqitch.plan")

    assert [(c.name, c.needs, c.note) for c in read.changes] == [
        (c.name, c.needs, c.note) for c in changes
    ]
    assert (read.project, read.tags) == ("shop", tags)


@given(st.booleans(), st.booleans())
def test_a_change_is_rebuilt_from_its_own_scripts(revert: bool, verify: bool) -> None:
    files = project("a/b", "@v1", "a/b") | {"deploy/a/b@v1.sql": TABLE}
    if revert:
        files |= {"revert/a/b.sql": "DROP TABLE t;", "revert/a/b@v1.sql": "DROP TABLE t;"}
    if verify:
        files["verify/a/b.sql"] = "SELECT 1;"
    for one in loaded(files):
        assert load_files("sqitch", one.files, version=one.version, name=one.name) == one


def test_a_script_of_many_commands_is_read_in_one_pass() -> None:
    lines = 20_000
    found = interpolated("\\echo it's here\nSELECT 'ü';\n" * lines, {})
    assert found.text == "\nSELECT 'ü';\n" * lines
    assert found.notes[-1] == f"line {2 * lines - 1}: \\echo is left out"


INSIDE = (
    "'\n\\echo a\n'",
    "E'\\'\n\\echo a\n'",
    '"\n\\echo a\n"',
    "$$\n\\echo a\n$$",
    "$a$ $$\n\\echo a\n$a$",
    "/* /* */\n\\echo a\n*/",
    "'it''s\n\\echo a\n'",
    "'\n\\echo a\n",
)


@pytest.mark.parametrize("text", INSIDE)
def test_what_stands_inside_of_quotes_is_no_command(text: str) -> None:
    assert interpolated(text, {}).text == text


OUTSIDE = ("-- it's\n", "E'\\\\'\n", "$$ $$\n", "/* /* */ */\n", "a$b$\n", "'it''s'\n")


@pytest.mark.parametrize("before", OUTSIDE)
def test_what_stands_behind_quotes_is_a_command(before: str) -> None:
    assert interpolated(f"{before}\\echo a\n", {}).text == f"{before}\n"


def test_a_stale_plan_beside_the_usual_one_is_left_alone_with_a_note() -> None:
    (only,) = loaded(project("a") | {"sqitch-old.plan": plan("b")})
    assert only.notes[-1] == (
        "sqitch-old.plan: is another plan beside sqitch.plan, which Sqitch reads, and is left alone"
    )


CONF = """\
[core]
    engine = pg
    target = prod
[deploy "variables"]
    Owner = deployer
    place = deploy
[revert.variables]
    Owner = reverter
[engine "pg.variables"]
    place = engine
[target "prod.variables"]
    place = target
"""


def test_variables_of_the_configuration_are_defaults() -> None:
    files = project("r", "s") | {
        "sqitch.conf": CONF,
        "deploy/r.sql": "SELECT :'Owner', :'place';",
        "revert/r.sql": "SELECT :'Owner';",
    }
    first, second = loaded(files)
    assert first.up.statements[0].text == "SELECT 'deployer', 'target'"
    assert first.down is not None
    assert first.down.statements[0].text == "SELECT 'reverter'"
    assert first.variables == ()
    assert load_files("sqitch", first.files, version="r") == first
    assert [file.name for file in second.files] == ["deploy/s.sql"]

    first, _ = loaded(files, Owner="al", place="here")
    assert first.up.statements[0].text == "SELECT 'al', 'here'"
    assert first.variables == ("Owner", "place")
    assert "sqitch.conf" not in [file.name for file in first.files]


def test_settings_may_stand_before_the_transaction_around_a_script() -> None:
    settings = "SET client_min_messages = warning;\nSET search_path TO shop;\n"
    verify = f"{settings}BEGIN;\nSELECT 1;\nROLLBACK;\n"
    (only,) = loaded(project("a") | {"deploy/a.sql": settings + TABLE, "verify/a.sql": verify})
    assert [one.line for one in only.up.statements] == [1, 2, 4]
    assert "deploy/a.sql:3: BEGIN, and COMMIT on line 5" in only.notes[0]
    assert only.verify is not None
    assert len(only.verify.statements) == 3


REMEDIES = (
    ("\\ir other.sql", "reads another file", "Write the other file's text in its place"),
    ("ROLLBACK;", "ROLLBACK is transaction control", "keep one BEGIN and COMMIT around all"),
    ("SET LOCAL a.b = 1;\nBEGIN;\nSELECT 1;\nCOMMIT;", "BEGIN is", "a change of its own"),
)


@pytest.mark.parametrize(("line", "problem", "remedy"), REMEDIES)
def test_remedies_speak_of_sqitch(line: str, problem: str, remedy: str) -> None:
    with pytest.raises(ForbiddenSqlError) as refused:
        loaded(project("r") | {"deploy/r.sql": f"{line}\nSELECT 1;"})
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy
    assert "+migrate" not in refused.value.remedy


def test_a_byte_order_mark_is_left_out() -> None:
    (only,) = loaded(project("a") | {"deploy/a.sql": f"\ufeff{TABLE}"})
    assert len(only.up.statements) == 1


PARTS = (
    "SET client_min_messages = warning;\nBEGIN;\nINSERT INTO t VALUES (1);\nROLLBACK;\n"
    "BEGIN;\nSELECT 1 FROM t;\nCOMMIT;\nSELECT 2;\n"
)


def test_a_verify_script_of_several_transactions_is_taken_back_part_by_part() -> None:
    (only,) = loaded(project("a") | {"verify/a.sql": PARTS})
    assert only.verify is not None
    back = "ROLLBACK TO SAVEPOINT ledger_verify"
    setting = "SET client_min_messages = warning"
    assert [(one.line, one.text) for one in only.verify.statements] == [
        (1, setting),
        (3, "INSERT INTO t VALUES (1)"),
        (4, back),
        (1, setting),
        (6, "SELECT 1 FROM t"),
        (7, back),
        (1, setting),
        (8, "SELECT 2"),
    ]
    assert any("verify/a.sql:4: the transactions of the verify script" in n for n in only.notes)
    assert load_files("sqitch", only.files, version="a") == only


FOR_PSQL = [
    "\\gexec\nSELECT 1;\n",
    "\\if true\nSELECT 1;\n\\endif\n",
    "SELECT :unknown;\n",
    "BEGIN;\nSAVEPOINT a;\nSELECT 1;\nROLLBACK;\n",
    "COPY t FROM STDIN;\n1\n\\.\n",
]


@pytest.mark.parametrize("script", FOR_PSQL)
def test_a_verify_script_for_psql_stops_nothing_and_runs_with_leave(script: str) -> None:
    files = project("a") | {"verify/a.sql": script}
    (only,) = loaded(files)
    assert only.verify is None
    note = only.notes[-1]
    assert note.startswith("verify/a.sql:")
    assert "so the verify script is left out; with --allow-psql, psql runs it" in note
    sources = [SourceFile(name, text.encode()) for name, text in sorted(files.items())]
    (allowed,) = by_name(FORMATS, "sqitch", "").load(sources, Reading(programs=True))
    assert allowed.verify is not None
    assert allowed.verify.program is not None
    assert allowed.verify.program.text == script
    assert allowed.verify.holds is Holds.NO_ERROR
    assert any("psql runs the verify script" in note for note in allowed.notes)


def test_a_verify_script_that_reads_others_is_left_out_with_or_without_leave() -> None:
    files = project("a") | {"verify/a.sql": "\\ir other.sql\n"}
    sources = [SourceFile(name, text.encode()) for name, text in sorted(files.items())]
    for programs in (False, True):
        (only,) = by_name(FORMATS, "sqitch", "").load(sources, Reading(programs=programs))
        assert only.verify is None
        assert any("the verify script is left out" in note for note in only.notes)


def test_an_agent_leaves_out_what_the_folder_left_out_when_it_was_registered() -> None:
    (only,) = loaded(project("a") | {"verify/a.sql": FOR_PSQL[0]})
    refs = (migration_ref(only),)
    texts = Texts(10 * CHUNK_BYTES)
    for text in (encode_manifest(refs), *(file.content for file in only.files)):
        for message in messages(text):
            texts.take(message)
    (read,) = Library(texts).load(apply_command(refs))
    assert not refs[0].has_verify
    assert read.verify is None
