"""Other people's programs, one process per database, eight at a time: what a shell script does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.bench.contest.servers import Server

BUILT = Path(__file__).resolve().parents[3] / "build" / "bench"
"""Where what is built for the benchmarks lies; git ignores it."""
GOOSE = "github.com/pressly/goose/v3/cmd/goose@v3.26.0"
GOOSE_TAGS = (
    "no_clickhouse no_libsql no_mssql no_mysql no_sqlite3 no_vertica no_ydb no_duckdb no_turso"
)
"""Of the databases that it knows, PostgreSQL alone: the rest would be minutes of compiling."""
AT_ONCE = 8
"""`xargs -P8`."""
DATABASE = "{}"
"""Where xargs puts a database's name."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program on this machine and how it is told to bring one database up."""

    name: str
    path: str

    def command(self, server: Server, folder: Path) -> list[str]:
        """Its arguments; the password travels in PGPASSWORD."""
        url = f"{server.url(DATABASE, password=False)}?sslmode=disable"
        match self.name:
            case "dbmate":
                options = ["--url", url, "--migrations-dir", str(folder), "--no-dump-schema"]
                return [self.path, *options, "up"]
            case "goose":
                return [self.path, "-dir", str(folder), "postgres", url, "up"]
            case _:
                raise ValueError(f"nobody here knows how to call {self.name}")


def installed() -> list[Program]:
    """Those of the programs that this machine has: beside Python, on the PATH, or built here."""
    beside = str(Path(sys.executable).parent)
    places = os.pathsep.join([beside, os.environ.get("PATH", ""), str(BUILT)])
    found = {name: shutil.which(name, path=places) for name in ("dbmate", "goose")}
    return [Program(name, path) for name, path in found.items() if path]


def build_goose() -> str:
    """Build goose where it is missing and Go is there; what came of it, empty if nothing is new."""
    if any(program.name == "goose" for program in installed()):
        return ""
    go = shutil.which("go")
    if go is None:
        return "goose is left out: neither it nor Go is on the PATH"
    command = [go, "install", f"-tags={GOOSE_TAGS}", GOOSE]
    environment = {**os.environ, "GOBIN": str(BUILT)}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode:
        return f"goose is left out: it could not be built ({ended.stderr.strip()[-300:]})"
    return f"goose was built with Go: {BUILT / 'goose'}"


def run(program: Program, server: Server, databases: Sequence[str], folder: Path) -> float:
    """Migrate all databases and return the seconds it took. Raises SystemExit when one failed."""
    xargs = ["xargs", f"-P{AT_ONCE}", "-I", DATABASE, *program.command(server, folder)]
    start = time.perf_counter()
    ended = subprocess.run(
        xargs,
        input="\n".join(databases),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PGPASSWORD": server.password},
    )
    took = time.perf_counter() - start
    if ended.returncode:
        raise SystemExit(f"{program.name} failed:\n{(ended.stderr or ended.stdout)[-2000:]}")
    return took
