"""A line with a latency: a TCP proxy of ours that forwards every byte, late, and counts turns.

    client ── half a round trip ──▶ proxy ── no time ──▶ server ── half a round trip ──▶ client

The kernel takes a connection before the proxy knows of it, so the client's first bytes wait for a
whole round trip more, as they would behind a handshake. A turn is what a client says after it has
heard something, and each one costs a round trip; saying good-bye is one, too, because drivers wait
for the server to hang up.

In a process of its own, so that whoever is measured does not pay for it:

    python -m ops.bench.contest.line HOST PORT MILLISECONDS

prints the port it listens on, and ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

CHUNK_BYTES = 65_536
HOST = "127.0.0.1"


@dataclass(slots=True)
class Session:
    """What has gone over one connection."""

    round_trips: int = 1
    """Connecting is one."""
    said_bytes: int = 0
    heard_bytes: int = 0
    _client_spoke: bool = False

    def take(self, data: bytes, *, of_client: bool) -> None:
        """Note what passes."""
        if of_client and not self._client_spoke:
            self.round_trips += 1
        self._client_spoke = of_client
        if of_client:
            self.said_bytes += len(data)
        else:
            self.heard_bytes += len(data)


@dataclass(slots=True)
class Line:
    """A running proxy; `round_trip_s` may be nothing. `sessions` is kept if that is asked for."""

    port: int
    sessions: list[Session] = field(default_factory=list)


@asynccontextmanager
async def delayed_line(
    host: str, port: int, round_trip_s: float, *, noted: bool = False
) -> AsyncIterator[Line]:
    """Forward to the server at `host` and `port` until the block ends."""
    line = Line(0)
    running: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session()
        if noted:
            line.sessions.append(session)
        task = asyncio.create_task(_between(reader, writer, host, port, round_trip_s, session))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(serve, HOST, 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        # What was aborted ends in the next turn of the loop.
        await asyncio.sleep(0)


async def _between(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    host: str,
    port: int,
    round_trip_s: float,
    session: Session,
) -> None:
    """One connection, until both sides have hung up."""
    ends = [writer]
    try:
        there, back = await asyncio.open_connection(host, port)
        ends.append(back)
        half = round_trip_s / 2
        outward = _carry(reader, back, half, session, of_client=True, first_s=round_trip_s)
        async with asyncio.TaskGroup() as group:
            group.create_task(outward)
            group.create_task(_carry(there, writer, half, session, of_client=False))
    except* OSError:
        pass  # One of the two is gone, and so is what was between them.
    finally:
        for end in ends:
            end.transport.abort()


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    delay_s: float,
    session: Session,
    *,
    of_client: bool,
    first_s: float = 0.0,
) -> None:
    """Forward one direction in order, each piece as long after it came as the line is long."""
    clock = asyncio.get_running_loop().time
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    connected = clock() + first_s

    async def deliver() -> None:
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(due - clock())
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    delivering = asyncio.create_task(deliver())
    try:
        while True:
            try:
                data = await reader.read(CHUNK_BYTES)
            except ConnectionError:
                data = b""
            if data:
                session.take(data, of_client=of_client)
            pieces.put_nowait((max(clock(), connected) + delay_s, data))
            if not data:
                break
        await delivering
    finally:
        delivering.cancel()


@contextmanager
def line_process(host: str, port: int, round_trip_ms: float) -> Iterator[int]:
    """The proxy in a process of its own; its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, host, str(port), str(round_trip_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield int(process.stdout.readline() if process.stdout else 0)


async def _run(host: str, port: int, round_trip_ms: float) -> None:
    async with delayed_line(host, port, round_trip_ms / 1000) as line:
        print(line.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Forward until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("round_trip_ms", type=float)
    given = parser.parse_args()
    asyncio.run(_run(given.host, given.port, given.round_trip_ms))


if __name__ == "__main__":
    main()
