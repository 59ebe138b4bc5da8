"""What people install: the built wheel in an environment of its own rolls out in one process."""

from __future__ import annotations

import asyncio
import os
import sys
import tomllib
import zipfile
from pathlib import Path

import asyncpg

from tests.acceptance.conftest import environment
from tests.fixtures.postgres import FreshDatabase, TenantDatabases
from tests.support.fleet import fleet_file, tenants_of

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PATIENCE_S = 170.0
MIGRATION = "-- +migrate Up\nCREATE TABLE made (id int);\n-- +migrate Down\nDROP TABLE made;\n"


async def test_the_wheel_brings_everything_for_a_rollout_in_one_process(
    superuser_database: FreshDatabase, tenant_databases: TenantDatabases, tmp_path: Path
) -> None:
    wheel = await built(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"ledger/store/schema/0001_log.sql", "migrations/target/journal.sql"} <= names
    assert not [name for name in names if name.startswith(("tests/", "ops/"))]
    programs = await installed(wheel, tmp_path)

    tenants = tenants_of(await tenant_databases(3))
    env = environment(await superuser_database(), "default", None, tenants)
    (tmp_path / "fleet.yaml").write_text(fleet_file("default", tenants))
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "20260101000000_made.sql").write_text(MIGRATION)

    async def ledger(*arguments: str) -> str:
        return await said(str(programs / "ledger"), *arguments, env=env, cwd=tmp_path)

    for name in ("ledger", "migration-ledger", "ledger-agent"):
        told = await said(str(programs / name), "--version", env=env, cwd=tmp_path)
        assert told.split()[-1] == VERSION
    await ledger("init", "--yes")
    await ledger("fleet", "import", "fleet.yaml", "--yes")
    assert "3 applied" in await ledger("up", "--yes")
    assert "No difference" in await ledger("replay")
    await ledger("audit", "verify")
    for tenant in tenants:
        connection = await asyncpg.connect(tenant.url)
        assert await connection.fetchval("SELECT to_regclass('made') IS NOT NULL")
        await connection.close()


async def built(folder: Path) -> Path:
    """The wheel of this tree."""
    arguments = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    await said(sys.executable, *arguments, env=dict(os.environ), cwd=folder)
    return folder / f"migration_ledger-{VERSION}-py3-none-any.whl"


async def installed(wheel: Path, folder: Path) -> Path:
    """The folder of programs of a fresh environment with the wheel and what it needs, no more."""
    place = folder / "environment"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    await said(sys.executable, "-m", "venv", str(place), env=env, cwd=folder)
    pip = (str(place / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check")
    program, _, _ = (ROOT / "constraints.txt").read_text().partition("\n# To build it\n")
    listed = folder / "program.txt"
    listed.write_text(program)
    for what in (("--require-hashes", "--requirement", str(listed)), (str(wheel),)):
        await said(*pip, "install", "--no-compile", "--no-deps", *what, env=env, cwd=folder)
    await said(*pip, "check", env=env, cwd=folder)
    return place / "bin"


async def said(*command: str, env: dict[str, str], cwd: Path) -> str:
    """What a program wrote, once it ended well."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
        cwd=cwd,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, _ = await child.communicate()
    assert child.returncode == 0, f"{command}: {out.decode()}"
    return out.decode()
