"""`ledger audit watch`: the process that audits again and again."""

from __future__ import annotations

import asyncio
import logging

from ledger import telemetry
from ledger.cli.app.output import Output, say
from ledger.monitoring.logs import write_logs
from ledger.monitoring.pages import watched
from ledger.monitoring.process import observe_memory
from ledger.runtime import open_ledger
from ledger.service.audit_rounds import GRANT, AuditRounds
from ledger.settings import Settings
from ledger.stopper import Stopper, run_until
from migrations.clock import SYSTEM_CLOCK

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

MUTE = f"; it may not record what it finds, so nobody is notified: {GRANT}"


async def run(settings: Settings, every_h: float, output: Output) -> None:
    """Audit until the first SIGINT or SIGTERM."""
    write_logs(settings.monitoring.log, logging.WARNING, LOG_FORMAT)
    asked = asyncio.Event()
    async with open_ledger(settings) as ledger:
        rounds = AuditRounds(ledger.audit, SYSTEM_CLOCK)

        def observe() -> None:
            rounds.observe()
            observe_memory()

        probes = {"record": lambda: rounds.trouble}
        with Stopper(asked.set):
            async with watched(settings.monitoring, telemetry.SERVICE, observe, probes):
                records = await ledger.audit.may_record()
                where = f"ledger {settings.name}, every {every_h:g} h"
                output.record(
                    "audit.watch",
                    {"name": settings.name, "every_h": every_h, "records": records},
                    f"auditing {where}{'' if records else MUTE}",
                )
                await run_until(asked, rounds.run(every_h * 3600))
    say("stopped")
