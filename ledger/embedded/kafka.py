"""A real Apache Kafka broker in one folder, on the loopback address: broker and controller in one.

Settings that only a single node needs stand in `_properties`; topics are never made by asking for
them, as on every broker that we recommend.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from ledger.embedded.errors import ServerFailed
from ledger.embedded.jars import Announce, java, kafka_jars
from ledger.embedded.process import LOOPBACK, POLL_S, ServerProcess, kept_ports
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK

START_TIMEOUT_S = 180.0
"""How long the broker may take until it serves (3 to 4 s on two free cores, a minute on busy)."""

JVM_OPTIONS = ("-Xmx320m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""A broker for a few thousand messages: quick to start, about 360 MB resident."""

STARTED = b"Kafka Server started"
"""What the broker logs when it serves requests; an open port says less."""

LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


class EmbeddedKafka:
    """One Apache Kafka broker in `folder`; `start` fetches and makes what is missing.

    Clients are told to come to `advertised_port`, when it is given: a proxy in front of the broker
    then sees all of their traffic. All calls block; from a running event loop use
    `asyncio.to_thread`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        advertised_port: int | None = None,
        say: Announce = lambda sentence: None,
    ) -> None:
        self.folder = folder.absolute()
        self.host = LOOPBACK
        self.port = port or 0
        self._controller_port = 0
        self._advertised_port = advertised_port
        self._say = say
        self._process = ServerProcess(
            self.folder / "kafka.log", self.folder / "kafka.pid", mark=self._properties_file
        )

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """The broker's log file."""
        return self._process.log

    @property
    def bootstrap(self) -> str:
        """What clients connect to: `host:port`, the advertised one."""
        return f"{self.host}:{self._advertised_port or self.port}"

    def start(self) -> None:
        """Start the broker and return when it serves requests.

        Raises ExtraMissing, DownloadRefused, EmbeddedError (download failed) or ServerFailed.
        """
        if self.pid is not None:
            return
        jars, program = kafka_jars(self._say), java()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process.end_leftover()
        self._choose_ports()
        self._properties_file.write_text(self._properties())
        if not self._data.exists():
            self._format(program, jars)
        self._start([str(program), *JVM_OPTIONS, *LOGGING, "-cp", f"{jars}/*"])

    def stop(self) -> None:
        """Stop the broker as an operator would."""
        self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a crash does; `start` recovers what it had written."""
        self._process.kill()

    def reset(self) -> None:
        """Stop the broker and delete everything in its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    def _choose_ports(self) -> None:
        if self.port and self._controller_port:
            return
        first, second = kept_ports(self.folder / "ports", 2, self._say)
        self.port = self.port or first
        self._controller_port = self._controller_port or second

    def _properties(self) -> str:
        """Return the settings of a single node that is broker and controller."""
        advertised = self._advertised_port or self.port
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{self.host}:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.host}:{self.port},"
            f"CONTROLLER://{self.host}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.host}:{advertised}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self._data),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # A killed broker may only come back when its session is over (9 s by default).
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            # Short sessions are for those who test what happens after them.
            "group.min.session.timeout.ms": "1000",
            "log.cleaner.dedupe.buffer.size": "2097152",
            # Threads and records that only keep a machine awake: one node has few clients.
            "num.network.threads": "1",
            "num.io.threads": "2",
            "background.threads": "2",
            "metadata.max.idle.interval.ms": "5000",
            # The first entry in an index of 10 MB, the default, costs milliseconds of a processor.
            "log.index.size.max.bytes": "65536",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _format(self, program: Path, jars: Path) -> None:
        """Make an empty data folder for a new cluster."""
        cluster = base64.urlsafe_b64encode(SYSTEM_CHANCE.uuid().bytes).decode().rstrip("=")
        command = [
            str(program),
            "-XX:TieredStopAtLevel=1",
            *LOGGING,
            "-cp",
            f"{jars}/*",
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            str(self._properties_file),
        ]
        with self.log.open("ab") as output:
            answer = subprocess.run(command, stdout=output, stderr=output, check=False)
        if answer.returncode:
            shutil.rmtree(self._data, ignore_errors=True)
            raise self._failed(f"its storage tool ended with exit code {answer.returncode}")

    def _start(self, command: list[str]) -> None:
        known = self.log.stat().st_size
        deadline = SYSTEM_CLOCK.monotonic() + START_TIMEOUT_S
        self._process.start(
            [*command, "kafka.Kafka", str(self._properties_file)],
            environment=os.environ,
        )
        while not self._said_since(known, STARTED):
            if self.pid is None:
                raise self._failed(f"it ended with exit code {self._process.exit_code}")
            if SYSTEM_CLOCK.monotonic() > deadline:
                self._process.kill()
                raise self._failed(f"it does not serve after {START_TIMEOUT_S:.0f} s")
            time.sleep(POLL_S * 5)

    def _said_since(self, position: int, words: bytes) -> bool:
        """Whether the log holds `words` behind `position`."""
        with self.log.open("rb") as log:
            log.seek(position)
            return words in log.read()

    def _failed(self, reason: str) -> ServerFailed:
        return ServerFailed("Apache Kafka", reason, self.log, self._process.last_words())
