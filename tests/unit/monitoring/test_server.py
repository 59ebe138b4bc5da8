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

from ledger.monitoring.readiness import Probe, Readiness
from ledger.monitoring.server import monitored
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
