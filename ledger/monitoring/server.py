"""`/healthz`, `/readyz` and `/metrics` of a program, in its own event loop.

- `/healthz` answers while the loop turns, whatever the broker or a database does: restart what does
  not answer.
- `/readyz` answers 200 or 503 with what is not ready and since when: send no work there.
- `/metrics` is for Prometheus.

Nothing can be changed here and nobody logs in: it listens on loopback unless told otherwise.
Whoever opens connections and says nothing, or takes no answer, is waited for as long as anybody,
and makes room for the next one: who keeps connections open keeps nobody from asking.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ledger.monitoring.exposition import Exposition
from ledger.monitoring.readiness import Readiness
from ledger.settings import MonitoringSection, SettingsError

logger = logging.getLogger(__name__)

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

CONNECTIONS_MAX = 32
"""At once; for one more, the one goes that was longest without an answer."""
CLOSE_WITHIN_S = 1
"""Whoever asks when the program ends is not waited for longer."""
IDLE_S = 30.0
"""Seconds from one answer on a connection to the next, be it asked for late or taken late."""
LOOKS = ("GET", "HEAD")


class _Server(uvicorn.Server):
    """One that leaves signals to the program that it is part of (`ledger.stopper`)."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class PageConnection(H11Protocol):
    """One whose request, and the taking of its answer, are waited for a while, and then no longer.

    The server's own limits count from an answer to the next byte alone.
    """

    _ends: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for it, too."""
        super().connection_made(transport)
        self._ends = self.loop.call_later(IDLE_S, transport.abort)
        ours = [one for one in self.connections if isinstance(one, PageConnection)]
        # Several may come before the first of those that are cut off is gone.
        here = [one for one in ours if not one.transport.is_closing()]
        if len(here) > CONNECTIONS_MAX:
            min(here, key=lambda one: one._ends.when()).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._ends.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._ends.cancel()
        self._ends = self.loop.call_later(IDLE_S, self.transport.abort)
        super().on_response_complete()


@asynccontextmanager
async def monitored(
    section: MonitoringSection, readiness: Readiness, exposition: Exposition
) -> AsyncIterator[int]:
    """Answer until the block ends; yields the port. Raises `SettingsError` when it is taken."""
    listener = _bound(section)
    config = uvicorn.Config(
        _application(readiness, exposition),
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        http=PageConnection,
        ws="none",
        # Later than we end it ourselves.
        timeout_keep_alive=2 * int(IDLE_S + 1),
        timeout_graceful_shutdown=CLOSE_WITHIN_S,
    )
    server = _Server(config)
    looking = asyncio.create_task(readiness.run(), name="monitoring-readiness")
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="monitoring-server")
    try:
        port = listener.getsockname()[1]
        logger.info("/healthz, /readyz and /metrics are on port %d", port)
        yield port
    finally:
        server.should_exit = True
        looking.cancel()
        await asyncio.wait([looking, serving])


def _bound(section: MonitoringSection) -> socket.socket:
    host, port = section.host, section.port or 0
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with ExitStack() as unless_bound:
            listener = unless_bound.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Whoever asks before the server is up waits for it.
            listener.listen()
            unless_bound.pop_all()
    except OSError as error:
        raise SettingsError(
            f"{host}:{port} cannot be listened on for /healthz, /readyz and /metrics "
            f"({error.strerror or error}); name another port in LEDGER_MONITORING_PORT"
        ) from None
    return listener


def _application(readiness: Readiness, exposition: Exposition) -> Any:
    def healthz(_: str) -> tuple[int, bytes, str]:
        return 200, b"ok\n", "text/plain; charset=utf-8"

    def readyz(_: str) -> tuple[int, bytes, str]:
        said = readiness.document()
        body = json.dumps(said, indent=2).encode() + b"\n"
        return 200 if said["ready"] else 503, body, "application/json"

    def metrics(accept: str) -> tuple[int, bytes, str]:
        return 200, *exposition(accept)

    pages = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        page = pages.get(scope["path"])
        if scope["type"] != "http":
            return
        if page is None:
            known = ", ".join(pages)
            status, body, kind = 404, f"there are {known}\n".encode(), "text/plain; charset=utf-8"
        elif scope["method"] not in LOOKS:
            status, body, kind = 405, b"nothing can be changed here\n", "text/plain; charset=utf-8"
        else:
            headers = dict(scope["headers"])
            status, body, kind = page(headers.get(b"accept", b"").decode("latin-1"))
        head = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if status == 405:
            head.append((b"allow", b", ".join(one.encode() for one in LOOKS)))
        await send({"type": "http.response.start", "status": status, "headers": head})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    return application
