r"""A psql script runs on the agent: what of the agent it can reach, by words and behind them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from migrations.clock import Clock
from migrations.errors import MigrationsError
from migrations.formats import Reading
from migrations.formats.bundle import load_files
from migrations.model.attempt import Verdict
from migrations.model.migration import Language, Migration, SourceFile
from migrations.model.work import Outcome
from migrations.running import psql as running
from migrations.sql.psql_shell import reaches_out
from tests.integration.migrations.conftest import world
from tests.integration.migrations.world import World

__all__ = ["world"]

pytestmark = pytest.mark.usefixtures("psql")

ALLOWED = frozenset({Language.PSQL})
OUT = [
    r"\! env",
    r"\!env",
    r"  \!",
    r"SELECT 1 \! env",
    r"\set a 1 \! env",
    r"\set a 1 \\ \! env",
    r"\echo a\\\! env",
    r"\set a `env`",
    r"\echo `env`",
    r"\if `true`",
    r"SELECT 1 \gset `env`",
    r"\getenv pw PGPASSWORD",
    r"\setenv PAGER env",
    r"\copy t to program 'cat > /srv/x'",
    r"\copy t from program 'env'",
    r"\COPY t from program 'env'",
    r"\copy (SELECT 1) to program $$cat$$",
    r"\copy (SELECT 1 from stdin) to program 'cat'",
    r"\copy (SELECT 1 AS stdout) to '/srv/x'",
    r"\copy t from '/run/secrets/acme'",
    r"\copy t from /run/secrets/acme",
    r"\copy t from password",
    r"\o |cat",
    r"\o | cat",
    r"\out |cat",
    r"\o /srv/x",
    r"SELECT 1 \g |cat",
    r"SELECT 1 \g | cat",
    r"SELECT 1 \gx |cat",
    r"SELECT 1 \g (format=csv) |cat",
    r"SELECT 1 \g /srv/x",
    r"SELECT 1 \w |cat",
    r"SELECT 1 \write |cat",
    r"\w /srv/x",
    r"\i /srv/x",
    r"\ir x",
    r"\include x",
    r"\e",
    r"\edit",
    r"\ef f",
    r"\ev v",
    r"\s /srv/x",
    r"\cd /",
    r"\c - - attacker.example",
    r"\connect postgresql://attacker.example/x",
    r"\lo_import /run/secrets/acme",
    r"\lo_export 1 /srv/x",
    r"\password migrator",
    r"\watch 1",
    r"\command_of_a_later_release x",
    "-- copy t from stdin;\n\\! env\n\\.\n",
    "/*\ncopy t from stdin;*/\n\\! env\n\\.\n",
    "SELECT '\ncopy t from stdin;';\n\\! env\n\\.\n",
    "COPY t FROM stdin;\n1\n\\.\n\\! env\n",
    "COPY t TO stdout;\n\\! env\n",
    "SELECT $$a$$;\\! env",
    "SELECT E'\\'';\\! env --'",
    "SELECT a AS n FROM t \\gset\n:n",
    "\\set n 1\nSELECT a AS n FROM t \\gset\nSELECT :n",
    "\\set a '\\\\! env'\n:a",
    "\\set a '\\134! env'\n:a",
    "\\set a :b\n:a",
    "SELECT 1;\n:LAST_ERROR_MESSAGE",
    "/* /* */ */ \\! env",
    "\\encoding SJIS\nSELECT '\u0101' , '\\copy t from /run/secrets/acme\n';",
    "\\encoding 'Big5'",
    "\\encoding :name",
    "\n SET client_encoding = 'GBK';",
    "SET LOCAL client_encoding TO johab;",
    "SET NAMES 'UHC';",
    "set session  names gb18030;",
    "SELECT set_config('client_encoding', 'SJIS', false);",
    "DO $$ BEGIN EXECUTE 'SET client_encoding = SJIS'; END $$;",
    "ALTER ROLE app SET client_encoding = 'SJIS';",
    "SET standard_conforming_strings = off;",
    "SET client_encoding = 'UTF8'; SET standard_conforming_strings TO 0;",
    "SET client_encoding = 'UTF8'; SET client_encoding = 'SJIS';",
]
INSIDE = [
    "COPY t FROM stdin;\n1\t\\N\n\\\\! env\n\\.\nSELECT 1;\n",
    "copy t (a, b)\n  from stdin with (format csv);\n\\! no command in data\n\\.\n",
    "\\copy t from stdin\n`\n\\.\n",
    "\\copy (SELECT a, '|' FROM t) to stdout with (delimiter '|')",
    "-- a comment about t\nCOPY t FROM stdin;\n\\N\n\\.\n",
    r"SELECT '\! env', E'\\! env', $$ \! env $$, $q$ ` $q$; -- \! env",
    'SELECT "\\! env" FROM t;',
    r"/* \! env /* ` */ \o |cat */ SELECT 1;",
    "\\set name 'a\\nb'\n\\echo :name\n\\if :{?name}\nSELECT 1 \\gset\n\\else\n\\q\n\\endif",
    r"SELECT 1 \g",
    r"SELECT 1 \gx (format=unaligned)",
    r"SELECT 'ANALYZE' \gexec",
    "SELECT 1 \\bind 2 \\g\n\\o\n\\timing on\n\\dt+ public.*\n\\pset pager off\n",
    r"SELECT a ~ '^\d+\w*$' FROM t;",
    "SELECT `a`;",
    "\\set n 3\nSELECT generate_series(1, :n), a::int, b[1:2] FROM :t;",
    "SELECT a AS n FROM t \\gset\nSELECT :'n'::int, :\"n\";\n\\if :n\n\\endif",
    "\\set a 'x\\ny'\nSELECT :'a'",
    # How a dump begins.
    "SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\nSET NAMES 'utf-8';",
    "\\encoding\n\\encoding UTF8\nSHOW client_encoding; RESET client_encoding;",
    "SELECT current_setting('standard_conforming_strings'); SET client_encoding TO DEFAULT;",
]


def script(text: str) -> Migration:
    files = [SourceFile("1_a.up.sql", text.encode()), SourceFile("1_a.down.sql", b"SELECT 1;")]
    return load_files("golang-migrate", files, reading=Reading(programs=True))


def mode_of(file: Path) -> int | None:
    """Who may read it; `None` when it is gone."""
    return stat.S_IMODE(file.stat().st_mode) if file.exists() else None


@pytest.mark.parametrize("text", OUT)
def test_what_leaves_the_database_is_seen_with_its_line(text: str) -> None:
    found = reaches_out(f"SELECT 0;\n{text}\n")
    assert found is not None
    assert found[0] > 1


@pytest.mark.parametrize("text", INSIDE)
def test_what_stays_inside_is_let_through(text: str) -> None:
    assert reaches_out(text) is None


def test_looking_takes_time_that_grows_with_the_text_alone() -> None:
    assert reaches_out("\\set a 'x\n" * 20_000) is None
    assert reaches_out("\\copy " + "(" * 20_000) == (1, "\\copy")


@pytest.mark.parametrize(
    "text", [r"\! touch {file}", r"SELECT 1 \g |touch {file}", r"\set a `touch {file}`"]
)
async def test_a_script_with_a_shell_is_refused_and_runs_where_a_second_setting_allows_it(
    world: World, tmp_path: Path, text: str
) -> None:
    made = tmp_path / "made"
    migration = script("CREATE TABLE t (a int);\n" + text.replace("{file}", str(made)) + "\n")
    refused = await world.up(migration, programs=ALLOWED)
    assert refused.failure is not None
    assert "LEDGER_AGENT_PSQL_SHELL" in refused.failure.message
    assert not made.exists()
    assert not await world.has("t")
    allowed = await world.up(migration, programs=ALLOWED, psql_shell=True)
    assert allowed.verdict is Verdict.DONE, allowed.failure
    assert made.exists()


async def test_a_command_that_comes_from_the_tenants_data_starts_nothing(
    world: World, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    await world.execute(f"CREATE TABLE bait AS SELECT '\\! touch {made}'::text AS word")
    text = "SELECT word FROM bait \\gset\n:word\nCREATE TABLE t (a int);\n"
    refused = await world.up(script(text), programs=ALLOWED)
    assert refused.failure is not None
    assert "says :word and not :'word'" in refused.failure.message
    assert not made.exists()
    await world.rollback(script(text), programs=ALLOWED)
    await world.up(script(text), programs=ALLOWED, psql_shell=True)
    assert made.exists(), "with a shell the same script does start it"


async def test_a_command_that_nobody_sees_starts_nothing(world: World, tmp_path: Path) -> None:
    made = tmp_path / "made"
    computed = "'standard_' || 'conforming_strings'"
    off = f"SELECT set_config({computed}, 'off', false);"
    text = f"\\set n 1\n{off}\nSELECT '\\' '\\! touch {made}\n;\n"
    assert reaches_out(text) is None, "for whoever reads quotes by the standard"
    await world.up(script(text), programs=ALLOWED)
    assert not made.exists()
    await world.rollback(script(text), programs=ALLOWED)
    await world.up(script(text), programs=ALLOWED, psql_shell=True)
    assert made.exists(), "where a shell is allowed the same script starts it"


async def test_a_file_of_the_agents_is_not_read_behind_a_letter_that_takes_a_quote_along(
    world: World, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("CANARY\n")
    await world.execute("CREATE TABLE stolen (line text)")
    text = f"\\encoding SJIS\nSELECT '\u0101' , '\\copy stolen from {secret}\n\\r\n-- '\n"
    migration = script(text)
    refused = await world.up(migration, programs=ALLOWED)
    assert refused.failure is not None
    assert "says \\encoding" in refused.failure.message
    await world.rollback(migration, programs=ALLOWED)
    allowed = await world.up(migration, programs=ALLOWED, psql_shell=True)
    stolen = await world.fetch("SELECT line FROM stolen")
    assert stolen == [("CANARY",)], f"with leave the same script reads it: {allowed.failure}"


async def test_no_text_that_becomes_a_command_reads_the_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int | None] = []
    forget = running._forget_password

    async def watched(connected: Path, passwords: Path | None, clock: Clock) -> None:
        assert passwords is not None
        seen.append(mode_of(passwords))
        await forget(connected, passwords, clock)
        seen.append(mode_of(passwords))

    monkeypatch.setattr(running, "_forget_password", watched)
    await world.execute("CREATE TABLE stolen (line text)")
    await world.execute(
        r"CREATE TABLE bait AS SELECT '\copy stolen from ''password'''::text AS word"
    )
    text = "SELECT word FROM bait \\gset\n:word\n"
    outcome: Outcome = await world.up(script(text), programs=ALLOWED, psql_shell=True)
    assert outcome.verdict is not Verdict.DONE
    assert await world.fetch("SELECT line FROM stolen") == []
    assert seen == [0o600, None]


async def test_nothing_secret_is_in_the_environment_of_a_script(world: World) -> None:
    secret = world.settings.password
    assert secret is not None
    await world.execute("CREATE TABLE found (line text)")
    text = "\\copy found from program 'env'\n"
    outcome = await world.up(script(text), programs=ALLOWED, psql_shell=True)
    assert outcome.verdict is Verdict.DONE, outcome.failure
    lines = [row[0] for row in await world.fetch("SELECT line FROM found")]
    assert any(line.startswith("PGPASSFILE=") for line in lines)
    assert not any(secret.reveal() in line for line in lines)
    assert not any(line.startswith(("PGPASSWORD=", "LEDGER_")) for line in lines)


def test_a_script_that_reads_other_scripts_is_refused_before_it_is_registered() -> None:
    with pytest.raises(MigrationsError, match="reads another file"):
        script("\\i other.sql\n")


def test_a_declared_value_with_a_command_in_it_is_put_in_quoted_only() -> None:
    harmful = [("n", "\\! env")]
    assert reaches_out("SELECT :n", harmful) == (1, ":n and not :'n'")
    assert reaches_out("SELECT :'n'", harmful) is None
    assert reaches_out("SELECT :n", [("n", "3")]) is None
