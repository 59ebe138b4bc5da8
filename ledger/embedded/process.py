"""One server process: started in a session of its own, ended by its process id.

A session of its own keeps Ctrl-C on the terminal away from the server: whoever started it decides
when it ends. The process id is written beside the data, so that a server whose parent was killed is
found and ended by the next start in the same folder.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK

LOOPBACK = "127.0.0.1"
"""Embedded servers listen here and nowhere else."""

LISTENING_PORTS = range(20_000, 32_768)
"""Linux gives ports from 32,768 on to outgoing connections, macOS from 49,152 on."""

STOP_TIMEOUT_S = 20.0
"""How long a server may take to stop when asked, before it is killed."""

POLL_S = 0.02
"""How often a starting or stopping server is looked at."""

LAST_WORDS_BYTES = 2000
"""How much of a server's log goes into an error message."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system account a server runs as, when it is not our own."""

    name: str
    uid: int
    gid: int


def free_ports(count: int) -> list[int]:
    """Find `count` different TCP ports of the loopback address that nobody listens on.

    They lie below those that systems give to outgoing connections: one of these cannot take a port
    between here and the start of the server that it is for. Raises OSError when there are too few.
    """
    with ExitStack() as stack:
        found: list[int] = []
        first = int(SYSTEM_CHANCE.between(0, len(LISTENING_PORTS)))
        for step in range(len(LISTENING_PORTS)):
            port = LISTENING_PORTS[(first + step) % len(LISTENING_PORTS)]
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind((LOOPBACK, port))
                found.append(port)
            if len(found) == count:
                return found
        raise OSError(f"{len(found)} ports are free of {LISTENING_PORTS}, and {count} are needed")


def kept_ports(file: Path, count: int, say: Callable[[str], None]) -> list[int]:
    """The ports that `file` keeps, or `count` free ones, which it keeps from now on.

    One that somebody else has taken meanwhile is replaced, and `say` tells so: who uses it has to
    be told, too.
    """
    words = file.read_text().split() if file.exists() else []
    kept = [int(word) for word in words if word.isdecimal()][:count]
    ports = kept if len(kept) == count and all(map(_is_free, kept)) else free_ports(count)
    if kept and ports != kept:
        say(f"Another program has a port of {file.parent}: this server has {ports[0]} from now on.")
    file.write_text(" ".join(map(str, ports)))
    return ports


def _is_free(port: int) -> bool:
    with suppress(OSError, OverflowError), socket.socket() as asking:
        # As servers do it: what an ended one left behind is no hindrance.
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.bind((LOOPBACK, port))
        return True
    return False


class ServerProcess:
    """Starts one program with its output in `log`, remembers its process id in `pid_file`.

    `mark` is a word of its command line by which a server left running is told from a stranger
    that has its process id now.
    """

    def __init__(self, log: Path, pid_file: Path, mark: Path) -> None:
        self.log = log
        self._pid_file = pid_file
        self._mark = str(mark)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        return self._child.pid if self._child and self._child.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last start, once it ended."""
        return self._child.poll() if self._child else None

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        account: Account | None = None,
    ) -> None:
        """Start `command`, ending first what an earlier start in this folder left running."""
        self._end_leftover()
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                # The caller's folder may be closed to the server's account.
                cwd="/",
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self._pid_file.write_text(str(self._child.pid))

    def end_leftover(self) -> None:
        """End what an earlier start in this folder left running."""
        if self._child is None:
            self._end_leftover()

    def stop(self, ask: signal.Signals) -> None:
        """Ask the server to stop with the signal `ask`; kill it when it does not."""
        if self._child is None or self.pid is None:
            self._end_leftover()
            return
        self._child.send_signal(ask)
        try:
            self._child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the server with SIGKILL: no goodbye, no flush, as a crash does."""
        if self._child is not None and self.pid is not None:
            self._child.kill()
            self._child.wait()
            self._pid_file.unlink(missing_ok=True)

    def last_words(self) -> str:
        """Return the end of the server's log."""
        if not self.log.exists():
            return "(nothing)"
        text = self.log.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace").strip()
        return text or "(nothing)"

    def _end_leftover(self) -> None:
        if not self._pid_file.exists():
            return
        pid = int(self._pid_file.read_text() or "0")
        deadline = SYSTEM_CLOCK.monotonic() + STOP_TIMEOUT_S
        with suppress(ProcessLookupError):
            while pid and self._mark in _command_line(pid):
                late = SYSTEM_CLOCK.monotonic() > deadline
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                time.sleep(POLL_S * 10)
        self._pid_file.unlink(missing_ok=True)


def _command_line(pid: int) -> str:
    """Return the command line of a process, or nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return "" if Path("/proc/self").exists() else _asked_of_ps(pid)


def _asked_of_ps(pid: int) -> str:
    """Return the command line where there is no /proc, as on macOS."""
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
