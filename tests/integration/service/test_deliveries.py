"""Every order comes again after its answer, and a real database gives the same answers."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from ledger.bus.local import LocalBroker
from ledger.bus.port import Message
from ledger.contracts.events import MigrationOrdered, ReportContradicted
from ledger.contracts.reports import AttemptFinished
from ledger.contracts.topics import REPORTS
from ledger.runtime import working
from ledger.service.request_context import RequestContext
from tests.fixtures.postgres import TenantDatabases
from tests.integration.service.test_running import PASSWORD, add, settings_of
from tests.support.house import House, found

AGAIN = 2
"""How often all orders come again, each time."""
FOLDER = {
    "1_whole": "Up\nCREATE TABLE t (id int PRIMARY KEY, v int);\nINSERT INTO t SELECT n, 0 FROM "
    "generate_series(1, 50) AS n;\n-- +migrate Down\nDROP TABLE t;",
    "2_by_statement": "Up notransaction\nCREATE INDEX CONCURRENTLY t_v ON t (v);\n"
    "CREATE INDEX CONCURRENTLY t_w ON t (v, id);\n-- +migrate Down notransaction\n"
    "DROP INDEX CONCURRENTLY t_w;\nDROP INDEX CONCURRENTLY t_v;",
    "3_in_batches": "Data table=t key=id batch=10\nUPDATE t SET v = 1 FROM batch WHERE t.id = "
    "batch.id;\n-- +migrate Down\nUPDATE t SET v = 0;",
}
FAILING = {
    "whole": "Up\nCREATE TABLE u (id int);\nSELECT 1 / 0;\n-- +migrate Down\nDROP TABLE u;",
    "by statement": "Up notransaction\nCREATE INDEX CONCURRENTLY t_x ON t (id, v);\n"
    "SELECT 1 / 0;\n-- +migrate Down notransaction\nDROP INDEX CONCURRENTLY t_x;",
    "in batches": "Data table=t key=id batch=10\nUPDATE t SET v = 1 / (t.id - 25) FROM batch "
    "WHERE t.id = batch.id;\n-- +migrate Down\nSELECT 1;",
}


class Postman:
    """Keeps every order, to deliver it again."""

    def __init__(self) -> None:
        self.orders: dict[str, tuple[LocalBroker, Message]] = {}
        self.answered: Counter[str] = Counter()

    def hear(self, broker: LocalBroker, message: Message) -> None:
        """Note an order, or that it was answered."""
        type_ = dict(message.headers).get("ce_type", b"").decode()
        if MigrationOrdered.__name__ in type_:
            self.orders[json.loads(message.value)["command"]] = (broker, message)
        elif message.topic == REPORTS and AttemptFinished.__name__ in type_:
            self.answered[json.loads(message.value)["command"]] += 1

    async def delivers_all_again(self) -> None:
        """Every order there was comes again, and is answered again."""
        for _ in range(AGAIN):
            before = Counter(self.answered)
            for broker, order in self.orders.values():
                broker.append(order)

            async def came(before: Counter[str] = before) -> bool | None:
                return True if all(self.answered[one] > before[one] for one in before) else None

            await found(came, "every order was answered again")


@pytest.fixture
def postman(monkeypatch: pytest.MonkeyPatch) -> Postman:
    """Return one who stands beside every bus of this process."""
    him, append = Postman(), LocalBroker.append

    def heard(broker: LocalBroker, message: Message) -> None:
        append(broker, message)
        him.hear(broker, message)

    monkeypatch.setattr(LocalBroker, "append", heard)
    return him


def write(house: House, name: str, text: str) -> None:
    (house.folder / f"{name}.sql").write_text(f"-- +migrate {text}\n")


@pytest.mark.parametrize("failing", [None, *FAILING], ids=["nothing fails", *FAILING])
async def test_orders_that_come_again_after_their_answer_contradict_nobody(
    house: House,
    tenant_databases: TenantDatabases,
    monkeypatch: pytest.MonkeyPatch,
    postman: Postman,
    failing: str | None,
) -> None:
    (url,) = await tenant_databases(1)
    monkeypatch.setenv(PASSWORD, url.rpartition("@")[0].rpartition(":")[2])
    await add(house, "real", url)
    for file in house.folder.iterdir():
        file.unlink()
    for name, text in FOLDER.items():
        write(house, name, text)
    if failing is not None:
        write(house, "4_fails", FAILING[failing])
    async with working(house.ledger, settings_of(house)):
        rollout = await house.start(select="id=real")
        await house.becomes(rollout, "completed" if failing is None else "halted")
        await postman.delivers_all_again()
        if failing is not None:
            await house.ledger.rollouts.retry(rollout, [], RequestContext("once more"))
            await house.at_least(2, AttemptFinished)
            await house.becomes(rollout, "halted")
            await postman.delivers_all_again()
        undo = await house.roll_back(rollout)
        await house.becomes(undo, "completed")
        await postman.delivers_all_again()
        again = await house.start(select="id=real")
        await house.becomes(again, "completed" if failing is None else "halted")
        await postman.delivers_all_again()
    assert not await house.events(ReportContradicted)
