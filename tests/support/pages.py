"""What a program of ours answers over HTTP, on a port of its own."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
import urllib.request

from tests.support.patience import PATIENCE_S


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def asked(port: int, page: str, within_s: float = PATIENCE_S) -> tuple[int, str]:
    """The status and the text; 0 where nobody answers within this time."""

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=within_s) as said:
                return said.status, said.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, TimeoutError):
            return 0, ""

    return await asyncio.to_thread(ask)
