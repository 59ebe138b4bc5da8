r"""What a psql script brings along: nothing of it leads out of its folder, or hides what runs."""

from __future__ import annotations

import pytest

from migrations.errors import ForbiddenSqlError, LoadError
from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import Verdict
from migrations.model.migration import Language, Migration, Program, SourceFile
from migrations.sql import psql_files, psql_shell
from migrations.sql.psql_files import leaves
from tests.integration.migrations.conftest import world
from tests.integration.migrations.world import World

__all__ = ["world"]

ALLOWED = frozenset({Language.PSQL})
FILE = "20260101000000_x.sql"
SECRET = "/run/secrets/acme"
GOOD = "SELECT 1;\n"


def registered(script: str, carried: dict[str, str], file: str = FILE) -> Migration:
    """As an agent builds what somebody registered, who chose every name himself."""
    files = [SourceFile(file, script.encode())]
    files += [SourceFile(f"beside:{name}", text.encode()) for name, text in carried.items()]
    reading = Reading(programs=True)
    return load_files("plain", files, version="20260101000000", name="x", reading=reading)


def program_of(script: str, carried: dict[str, str]) -> Program:
    program = registered(script, carried).up.program
    assert program is not None
    return program


def chain(length: int, last: str, times: int = 1) -> dict[str, str]:
    """Scripts that include each the next."""
    made = {f"s{one}.sql": f"\\i s{one + 1}.sql\n" * times for one in range(length)}
    return {**made, f"s{length}.sql": last}


@pytest.mark.parametrize(
    ("file", "carried"),
    [
        (FILE, "../../evil.sql"),
        (FILE, ".."),
        (FILE, "a/../../evil.sql"),
        (FILE, "/etc/cron.d/evil.sql"),
        (FILE, "//evil.sql"),
        (FILE, ""),
        (FILE, "evil\0.sql"),
        (f"../../own/{FILE}", "a.sql"),
        (f"a/../../{FILE}", "a.sql"),
        (f"/srv/{FILE}", "a.sql"),
        (f"a\0/{FILE}", "a.sql"),
    ],
)
def test_a_bundle_with_a_file_that_leads_out_is_refused(file: str, carried: str) -> None:
    with pytest.raises(LoadError, match=r"leads out of the folder|Give it another name"):
        registered("\\ir a.sql\nSELECT 1;\n", {carried: GOOD}, file)


@pytest.mark.parametrize(
    ("script", "carried"),
    [
        (f"\\copy public.from from '{SECRET}'\n", {"from": "x"}),
        (f"\\copy \"from\" from '{SECRET}'\n", {"from": "x"}),
        (f"\\copy from(a) from '{SECRET}'\n", {"from": "x"}),
        (f"\\copy t from '{SECRET}'\n", {"acme": "x"}),
        ("\\copy t from 'a.csv' \\copy t from '/srv/x'\n", {"a.csv": "1\n"}),
        ("\\i program\n\\copy t from program 'id'\n", {"program": GOOD}),
        ("\\i good.sql \\! id\n", {"good.sql": GOOD}),
        ("\\i good.sql\n\\i /srv/x\n", {"good.sql": GOOD}),
        ("\\i good.sql\n", {"good.sql": f"\\copy t from '{SECRET}'\n"}),
        ("\\i in/a.sql\n", {"in/a.sql": "\\ir b.sql\n", "in/b.sql": "\\getenv x HOME\n"}),
        ("\\i s0.sql\n", chain(12, f"\\copy t from '{SECRET}'\n")),
        ("\\i s0.sql\n", chain(49, "\\getenv x HOME\n")),
        (
            "\\i middle.sql\n",
            {"middle.sql": f"\\i open.sql\n\\copy t from '{SECRET}'\n", "open.sql": "/*\n"},
        ),
        (
            "\\i middle.sql\n",
            {"middle.sql": "\\i open.sql\n\\getenv x HOME\n", "open.sql": "COPY t FROM stdin;\n"},
        ),
        ("\\i open.sql\n\\! id\n", {"open.sql": "SELECT '\n"}),
    ],
)
def test_what_leaves_the_database_is_seen_wherever_it_stands(
    script: str, carried: dict[str, str]
) -> None:
    assert leaves(program_of(script, carried), ()) is not None


@pytest.mark.parametrize(
    "inner",
    [
        "\\getenv x HOME\n",
        f"\\copy t from '{SECRET}'\n",
        "\\copy t from program 'id'\n",
        "\\o /srv/x\nSELECT 1;\n\\o\n",
        "\\! id\n",
        "SELECT 1 \\g |cat\n",
    ],
)
@pytest.mark.parametrize(
    "line",
    [
        "\\i evil.sql \\i good.sql\n",
        "\\i good.sql \\i evil.sql\n",
        "\\i evil.sql \\echo a\n",
        "\\if false \\i good.sql \\endif \\i evil.sql\n",
        "SELECT 1; \\i evil.sql\n\\i good.sql\n",
        "\\i evil.sql\n\\i good.sql\n",
        "\\ir evil.sql \\\\ \\ir good.sql\n",
    ],
)
def test_nothing_that_stands_beside_an_include_hides_what_it_includes(
    line: str, inner: str
) -> None:
    """Refused either way: when it is read, or without leave to leave the database."""
    try:
        program = program_of(line, {"evil.sql": inner, "good.sql": GOOD})
    except LoadError:
        return
    assert leaves(program, ()) is not None


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("\\i '\\057run\\057secrets\\057acme'\n", "\\057run\\057secrets\\057acme"),
        ("\\i '\\057x'\n", "\\057x"),
        ("\\ir '\\x2fx'\n", "\\x2fx"),
        ("\\set x /srv/x\n\\i ::x\n", "::x"),
        ("\\set x /srv/x\n\\i :x\n", ":x"),
        ("\\set x /srv/x\n\\i :'x'\n", ":'x'"),
        ('\\set x /srv/x\n\\i :"x"\n', ':"x"'),
        ("\\i :{?x}\n", ":{?x}"),
        ('\\i "evil.sql"\n', '"evil.sql"'),
        ("\\i evil.sql;\n", "evil.sql;"),
        ("\\i evil.sql good.sql\n", "evil.sql good.sql"),
        ("\\i `echo /srv/x`\n", "`echo /srv/x`"),
        ("\\ir ./~root/x\n", "~root/x"),
        ("\\ir ./~/x\n", "~/x"),
    ],
)
def test_a_name_of_which_psql_makes_another_is_refused_when_it_is_read(
    script: str, name: str
) -> None:
    with pytest.raises(LoadError):
        registered(script, {name: GOOD, "evil.sql": GOOD, "good.sql": GOOD})


@pytest.mark.parametrize("line", ["\\i evil.sql \\i good.sql\n", "\\i good.sql\n\\i evil.sql\n"])
def test_our_schema_is_found_in_whatever_is_included(line: str) -> None:
    evil = "UPDATE migration_ledger.journal SET note = 'x';\n"
    with pytest.raises((ForbiddenSqlError, LoadError)):
        registered(line, {"evil.sql": evil, "good.sql": GOOD})
    nested = {"middle.sql": "\\i open.sql\n" + evil, "open.sql": "/*\n"}
    with pytest.raises(ForbiddenSqlError, match="migration_ledger"):
        registered("\\i middle.sql\n", nested)


def test_each_script_is_read_a_few_times_however_often_it_is_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[str] = []
    words = psql_shell.words

    def counted(text: str) -> object:
        read.append(text)
        return words(text)

    monkeypatch.setattr(psql_files, "words", counted)
    program = program_of("\\i s0.sql\n", chain(10, GOOD, times=3))
    assert leaves(program, ()) is None
    assert len(program.files) == 11
    assert len(read) < 200, "and not 3 to the power of 10"


@pytest.mark.parametrize("length", [51, 1_500])
def test_scripts_that_include_scripts_without_measure_are_refused_with_a_sentence(
    length: int,
) -> None:
    with pytest.raises(LoadError, match="include") as caught:
        registered("\\i s0.sql\n", chain(length, GOOD))
    assert caught.value.line == 1


@pytest.mark.usefixtures("psql")
@pytest.mark.parametrize(
    "line",
    [
        "\\copy public.t(a) from 'data.csv';",
        "\\copy public.t (a) from 'data.csv' with (format csv)",
        '\\copy "t" from data.csv',
    ],
)
async def test_what_is_carried_is_read_without_leave(world: World, line: str) -> None:
    script = f"CREATE TABLE t (a int);\n{line}\n\\i in/a.sql\n"
    carried = {"data.csv": "1\n", "in/a.sql": "\\ir b.sql\n", "in/b.sql": "INSERT INTO t SELECT 2;"}
    outcome = await world.up(registered(script, carried), programs=ALLOWED)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    assert await world.fetch("SELECT a FROM t ORDER BY a") == [(1,), (2,)]


@pytest.mark.usefixtures("psql")
@pytest.mark.parametrize(
    ("script", "carried"),
    [
        ("\\copy public.from from '/etc/hostname'\n", {"from": "x"}),
        ("\\i s0.sql\n", chain(12, "\\copy t from '/etc/hostname'\n")),
        ("\\i program\n\\copy t from program 'id'\n", {"program": GOOD}),
    ],
)
async def test_what_is_not_carried_is_refused_before_the_database_is_touched(
    world: World, script: str, carried: dict[str, str]
) -> None:
    await world.execute('CREATE TABLE public."from" (a text); CREATE TABLE t (a text)')
    outcome = await world.up(registered(script, carried), programs=ALLOWED)
    assert outcome.failure is not None
    assert "LEDGER_AGENT_PSQL_SHELL" in outcome.failure.message
    assert await world.fetch('SELECT a FROM public."from" UNION SELECT a FROM t') == []
