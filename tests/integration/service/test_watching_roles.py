"""Whoever watches a ledger needs no more than the roles that the manual names."""

from __future__ import annotations

from ledger.service.audit_rounds import AuditRounds
from ledger.service.census import COUNTED
from migrations.clock import SYSTEM_CLOCK
from tests.integration.service.conftest import LogIn
from tests.integration.service.test_census import counting
from tests.support.house import House


async def test_who_leads_may_count_everything(house: House, log_in: LogIn) -> None:
    await house.start()
    async with log_in("ledger_service") as theirs:
        census = counting(theirs)
        await census.count()
    assert census.trouble == ""
    assert [one for one in COUNTED if census.values(one)]


async def test_who_may_only_read_may_audit(house: House, log_in: LogIn) -> None:
    await house.start()
    async with log_in("ledger_viewer") as theirs:
        rounds = AuditRounds(theirs.ledger.audit, SYSTEM_CLOCK)
        for _ in range(2):
            await rounds.audit()
    assert rounds.differences == {"chain": 0, "kept end": 0, "rows": 0}
