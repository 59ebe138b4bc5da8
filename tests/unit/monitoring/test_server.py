"""What is answered over HTTP, asked as a probe and as Prometheus ask."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message

import pytest

from ledger.monitoring import server
from ledger.monitoring.readiness import Probe, Readiness
from ledger.monitoring.server import CONNECTIONS_MAX, monitored
from ledger.settings import MonitoringSection, SettingsError
from tests.support.manual_clock import ManualClock
from tests.support.patience import PATIENCE_S


@asynccontextmanager
async def asked(**probes: Probe) -> AsyncIterator[str]:
    readiness = Readiness(probes, ManualClock())
    section = MonitoringSection(port=0)
    async with monitored(
        section, readiness, lambda accept: (f"for {accept}".encode(), "text/x")
    ) as port:
        yield f"http://127.0.0.1:{port}"


async def answer(url: str, method: str = "GET", **headers: str) -> tuple[int, str, Message]:
    def ask() -> tuple[int, str, Message]:
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as said:  # noqa: S310
                return said.status, said.read().decode(), said.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers

    return await asyncio.to_thread(ask)


async def test_health_is_that_it_answers_whatever_is_not_ready() -> None:
    async with asked(broker=lambda: "gone") as url:
        assert (await answer(f"{url}/healthz"))[:2] == (200, "ok\n")


async def test_a_loop_that_is_blocked_answers_nothing_until_it_turns_again() -> None:
    async with asked() as url:
        tried, said = threading.Event(), []

        def probe() -> None:
            try:
                with urllib.request.urlopen(f"{url}/healthz", timeout=0.3) as answered:  # noqa: S310
                    said.append(answered.status)
            except TimeoutError:
                said.append(None)
            tried.set()

        asking = threading.Thread(target=probe)
        asking.start()
        # What holds the loop up: it does not turn before the probe has given up.
        tried.wait()
        assert said == [None]
        assert (await answer(f"{url}/healthz"))[:2] == (200, "ok\n")
        asking.join()


async def test_readiness_is_a_status_and_says_what_lacks() -> None:
    trouble = [""]
    async with asked(broker=lambda: trouble[0], fleet=str) as url:
        status, said, _ = await answer(f"{url}/readyz")
        assert status == 200
        assert json.loads(said)["ready"] is True
        trouble[0] = "it does not answer"
        status, said, headers = await answer(f"{url}/readyz")
        assert status == 503
        assert headers["content-type"] == "application/json"
        first = json.loads(said)["conditions"][0]
        assert (first["name"], first["ready"], first["why"]) == (
            "broker",
            False,
            "it does not answer",
        )


async def test_metrics_come_in_the_form_that_is_asked_for() -> None:
    async with asked() as url:
        _, said, headers = await answer(f"{url}/metrics", Accept="text/plain")
    assert said == "for text/plain"
    assert headers["content-type"] == "text/x"


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/metrics/..", "GET", 404),
        ("/healthz", "POST", 405),
        ("/metrics", "DELETE", 405),
        ("/healthz", "HEAD", 200),
    ],
)
async def test_nothing_else_is_there_and_nothing_can_be_changed(
    path: str, method: str, status: int
) -> None:
    async with asked() as url:
        got, said, headers = await answer(url + path, method)
    assert got == status
    assert not (method == "HEAD" and said)
    assert "server" not in headers


async def test_it_listens_on_this_machine_alone() -> None:
    async with asked() as url:
        port = int(url.rpartition(":")[2])
        elsewhere = socket.gethostbyname(socket.gethostname())
        if elsewhere.startswith("127."):
            elsewhere = "127.0.0.2"
        with (
            pytest.raises(ConnectionRefusedError),
            socket.create_connection((elsewhere, port), timeout=2),
        ):
            pass


async def test_a_port_that_is_taken_is_named_with_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        readiness = Readiness({}, ManualClock())
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port} .* LEDGER_MONITORING_PORT"):
            async with monitored(
                MonitoringSection(port=port), readiness, lambda _: (b"", "text/plain")
            ):
                pass


def opened(url: str, sent: bytes) -> socket.socket:
    """A connection on which this was sent."""
    port = int(url.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    connection.sendall(sent)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """What comes on a connection until it is over."""
    said = b""
    try:
        while more := connection.recv(65536):
            said += more
    except ConnectionResetError:
        pass
    return said


ANSWERED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /hea",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        ANSWERED,
        ANSWERED + b"GET /hea",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n",
    ],
)
async def test_whoever_says_nothing_more_is_waited_for_no_longer_than_others(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.2)
    async with asked() as url:
        with await asyncio.to_thread(opened, url, sent) as connection:
            said = await asyncio.to_thread(rest_of, connection)
        assert said.count(b"ok\n") == sent.count(ANSWERED)


async def test_whoever_takes_no_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    over = asyncio.Event()

    class Watched(server.PageConnection):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            over.set()

    monkeypatch.setattr(server, "IDLE_S", 0.2)
    monkeypatch.setattr(server, "PageConnection", Watched)
    size = 8_000_000
    readiness = Readiness({}, ManualClock())
    page = (b"x" * size, "text/plain")
    async with monitored(MonitoringSection(port=0), readiness, lambda _: page) as port:
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3
        with await asyncio.to_thread(opened, f"http://127.0.0.1:{port}", request) as connection:
            await over.wait()
            assert len(await asyncio.to_thread(rest_of, connection)) < 3 * size


@pytest.mark.parametrize("at_once", [1, 2 * CONNECTIONS_MAX])
async def test_however_many_connections_are_kept_open_the_next_one_is_answered(
    at_once: int,
) -> None:
    async with asked() as url:
        assert (await answer(f"{url}/healthz"))[:2] == (200, "ok\n")
        kept: list[socket.socket] = []
        try:
            while len(kept) < 3 * CONNECTIONS_MAX:
                # The loop does not turn meanwhile: so many are there when it does.
                kept += [opened(url, b"GET /hea") for _ in range(at_once)]
                assert (await answer(f"{url}/healthz"))[:2] == (200, "ok\n")
            # Who was longest without a request made room.
            for one in kept[:-CONNECTIONS_MAX]:
                assert await asyncio.to_thread(rest_of, one) == b""
        finally:
            for one in kept:
                one.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"A: a\r\n" * 20_000 + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 600,
        b"\x00" * 70_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /%ff%00%0a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://elsewhere/metrics/.. HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"PUT /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ],
)
async def test_what_is_no_request_of_ours_gets_a_short_no_and_others_their_answer(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with asked() as url:

        def ask() -> bytes:
            try:
                with opened(url, sent) as connection:
                    return rest_of(connection)
            except (ConnectionResetError, BrokenPipeError):
                return b""

        said = await asyncio.to_thread(ask)
        # Who is cut off while he still sends may not hear it.
        assert said == b"" or said.startswith(b"HTTP/1.1 4")
        assert len(said) < 500
        assert (await answer(f"{url}/healthz"))[:2] == (200, "ok\n")
    assert all(one.exc_info is None for one in caplog.records)


async def test_a_connection_is_kept_for_the_next_scrape() -> None:
    async with asked() as url:
        with await asyncio.to_thread(opened, url, ANSWERED) as connection:
            for _ in range(3):
                said = b""
                while not said.endswith(b"ok\n"):
                    said += await asyncio.to_thread(connection.recv, 65536)
                connection.sendall(ANSWERED)


async def test_signals_stay_with_the_program() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with asked() as url:
        await answer(f"{url}/healthz")
        assert {number: signal.getsignal(number) for number in before} == before


async def test_what_fails_inside_the_block_comes_out_and_nobody_listens_any_more() -> None:
    with pytest.raises(RuntimeError, match="the work broke"):
        async with asked() as url:
            raise RuntimeError("the work broke")
    with pytest.raises(urllib.error.URLError):
        await answer(f"{url}/healthz")
