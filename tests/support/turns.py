"""The event loop's turns: what can happen without time passing has happened after them."""

from __future__ import annotations

import asyncio

TURNS = 50
"""More than any chain of callbacks in the code under test is long."""


async def settled() -> None:
    """Let every task go on as far as it can without waiting for a clock or another process.

    What has not happened then does not happen by itself, so that absence needs no sleep.
    """
    for _ in range(TURNS):
        await asyncio.sleep(0)
