"""A target that is dead in the worst way: it takes the connection and never answers."""

from __future__ import annotations

import threading

import pytest

from ledger.domain.messages import Notification
from ledger.domain.routes import Route
from ledger.notifier.notifier import NotificationTarget
from ledger.service.request_context import RequestContext
from tests.integration.notifier.test_notifying import KEY, notifying, webhook
from tests.support.house import House, found
from tests.support.receivers import http_receiver


class Hanging:
    """Blocks whoever sends to it until the test is over."""

    def __init__(self) -> None:
        self.tries = 0
        self.over = threading.Event()

    def send(self, message: Notification) -> str:
        """Never answers."""
        self.tries += 1
        self.over.wait()
        return f"{message.title}: too late"


async def test_a_target_that_never_answers_slows_neither_a_migration_nor_another_target(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_KEY", KEY)
    hanging = Hanging()
    async with http_receiver() as receiver:
        targets: dict[str, NotificationTarget] = {"hanging": hanging, "hook": webhook(receiver)}
        try:
            async with (
                notifying(house, targets, (Route(("hanging", "hook"), digest_s=0),)),
                house.leading(),
                house.actor() as actor,
            ):
                rollouts = []
                for _ in range(3):
                    rollouts.append(await house.start(select="id=acme"))
                    command = await actor.ordered("acme", rollout=rollouts[-1])
                    await actor.fails(command)
                    await house.becomes(rollouts[-1], "halted")
                    await house.ledger.rollouts.abort(rollouts[-1], RequestContext("over"))

                async def told() -> bool | None:
                    halts = {
                        one.json["rollout"]
                        for one in receiver.taken
                        if one.json["event"] == "RolloutHalted"
                    }
                    return halts == set(rollouts) or None

                await found(told, "the other target is told of all halts")
                assert hanging.tries == 1, "one call hangs, and no second one is begun beside it"
        finally:
            hanging.over.set()
