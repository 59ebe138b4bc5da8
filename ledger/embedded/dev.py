"""Local servers for one developer: everything in one folder, ended when the developer says so.

```
start() ─▶ print settings() ─▶ wait until Ctrl-C or SIGTERM ─▶ stop()
```
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from ledger.embedded.errors import FolderInUse
from ledger.embedded.jars import Announce
from ledger.embedded.kafka import EmbeddedKafka
from ledger.embedded.postgres import EmbeddedPostgres
from ledger.embedded.tenants import FLEET, SECRETS, make_tenants, names_of

LEDGER_DATABASE = "ledger"
"""The database in which a developer's ledger lives."""

CREATE_LEDGER_DATABASE = f"CREATE DATABASE {LEDGER_DATABASE}"


class DevServers:
    """An embedded PostgreSQL and, with `kafka`, an embedded broker, below `folder`.

    On it so many `tenants`, with what makes a fleet of them (`ledger.embedded.tenants`).
    A context manager that starts and stops them. `say` gets one sentence per step. Errors are those
    of `ledger.embedded.errors`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kafka: bool = False,
        tenants: int = 0,
        say: Announce = lambda sentence: None,
    ) -> None:
        self.tenants = names_of(tenants)
        self.folder = folder.absolute()
        self.postgres = EmbeddedPostgres(self.folder / "postgres", say=say)
        self.kafka = EmbeddedKafka(self.folder / "kafka", say=say) if kafka else None
        self._say = say
        self._folder_lock = ExitStack()
        self._mine = False
        # A stop that comes while another thread still starts waits for it.
        self._one_at_a_time = threading.RLock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start what was asked for and make the ledger's database if it is missing.

        Raises FolderInUse when another process serves this folder.
        """
        with self._one_at_a_time:
            self._take_folder()
            try:
                self._start_servers()
            except BaseException:
                self.stop()
                raise

    def settings(self) -> dict[str, str]:
        """Return the variables that point ledger and agents here; the first one holds a password.

        The servers are this machine's own and speak no TLS, which agents must be allowed.
        """
        settings = {
            "LEDGER_DATABASE_URL": self.postgres.url(LEDGER_DATABASE),
            "LEDGER_AGENT_INSECURE_POSTGRES": "true",
        }
        if self.tenants:
            settings["LEDGER_AGENT_SECRET_ROOTS"] = str(self.folder / SECRETS)
        if self.kafka:
            settings["LEDGER_KAFKA_BOOTSTRAP"] = self.kafka.bootstrap
        return settings

    @property
    def fleet_file(self) -> Path | None:
        """The file that describes the tenants, where there are some."""
        return self.folder / FLEET if self.tenants else None

    def stop(self) -> None:
        """Stop the servers and keep their data; those of another process are left alone."""
        with self._one_at_a_time:
            if self._mine:
                if self.kafka:
                    self.kafka.stop()
                self.postgres.stop()
                self._leave_folder()

    def ended(self) -> str:
        """What to say of a server that has ended by itself; empty while all of them run."""
        for server, name in ((self.kafka, "Apache Kafka"), (self.postgres, "PostgreSQL")):
            if server is not None and server.pid is None:
                return (
                    f"{name} has ended, and nobody told it to; its log is {server.log}. All "
                    "that was started here is stopped; `ledger dev` starts it again, and what it "
                    "held is there"
                )
        return ""

    def reset(self) -> None:
        """Delete the data of both servers, whether they are asked for now or not.

        Raises FolderInUse when another process serves this folder.
        """
        with self._one_at_a_time:
            self._take_folder()
            EmbeddedKafka(self.folder / "kafka").reset()
            self.postgres.reset()
            shutil.rmtree(self.folder / SECRETS, ignore_errors=True)
            (self.folder / FLEET).unlink(missing_ok=True)
            self._leave_folder()

    def _start_servers(self) -> None:
        self._say(f"Starting PostgreSQL 18 in {self.postgres.folder} ...")
        self.postgres.start()
        asyncio.run(self._make_ledger_database())
        if self.tenants:
            self._say(f"Making {len(self.tenants):,} tenant databases ...")
            asyncio.run(make_tenants(self.postgres.url(), self.folder, self.tenants))
        if self.kafka:
            self._say(f"Starting Apache Kafka in {self.kafka.folder} ...")
            self.kafka.start()

    def _take_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # It holds passwords and a server's data, and often lies in a checkout.
        (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        handle = self._folder_lock.enter_context((self.folder / "lock").open("w"))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            self._folder_lock.close()
            raise FolderInUse(self.folder) from busy
        self._mine = True

    def _leave_folder(self) -> None:
        self._mine = False
        self._folder_lock.close()

    async def _make_ledger_database(self) -> None:
        connection = await asyncpg.connect(self.postgres.url())
        try:
            await connection.execute(CREATE_LEDGER_DATABASE)
        except asyncpg.DuplicateDatabaseError:
            self._say("The ledger's database is there already.")
        finally:
            await connection.close()
