"""In one-process mode, the command that waits for work does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ledger.cli.app.command import Session
from ledger.cli.app.output import say


@asynccontextmanager
async def at_work(session: Session) -> AsyncIterator[None]:
    """In one-process mode, lead and work until the block ends; else somebody else does."""
    from ledger.runtime import working
    from ledger.settings import Transport

    if session.settings.transport is Transport.KAFKA:
        yield
        return
    async with working(session.ledger, session.settings):
        try:
            yield
        except asyncio.CancelledError:
            say("Letting what runs finish; Ctrl-C again cuts it short.")
            raise
