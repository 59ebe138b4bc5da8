"""The notifier put together: what is told where, and the process that tells it.

It opens the ledger's database and nothing else of the ledger: no bus, no leadership, no agents. Its
role needs no more than `ledger_notifier`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from ledger import telemetry
from ledger.domain.messages import Notification, message_of
from ledger.domain.notices import NoticeSeverity, harmless
from ledger.domain.routes import Draft, Route
from ledger.monitoring.pages import watched
from ledger.monitoring.process import observe_connections, observe_memory
from ledger.notifier import services
from ledger.notifier.notifier import NotificationTarget, Notifier, Told
from ledger.notifier.thread import BlockingCall
from ledger.notifier.webhook import Webhook
from ledger.settings import Settings, SettingsError
from ledger.settings.notify import NotifyRoute, NotifyTarget
from ledger.stopper import Stopper, run_until
from ledger.store import install
from ledger.store.connections import DATABASE_TROUBLE, opened_pool
from ledger.store.log.log import EventLog
from ledger.store.notifications import Holder, NotificationTable, TargetState
from migrations.chance import SYSTEM_CHANCE
from migrations.clock import SYSTEM_CLOCK, Clock
from migrations.model.windows import window_of

CONNECTIONS = 4
NO_TARGETS = (
    "no target is named, so nobody is told anything; write [notify.targets.NAME] and "
    "[[notify.routes]] into your own settings file, or into one that --config names"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a test message: empty where the target took it."""

    target: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Who notifies, and how each target does."""

    holder: Holder
    behind: int
    targets: Mapping[str, TargetState]


def told(settings: Settings, clock: Clock = SYSTEM_CLOCK) -> Told:
    """What the settings say. Raises `SettingsError` where nobody would be told anything."""
    section = settings.notify
    if not section.targets:
        raise SettingsError(NO_TARGETS)
    return Told(
        routes=[_route(one) for one in section.routes],
        targets={name: _target(one, clock) for name, one in section.targets.items()},
        ledger=harmless(settings.name),
        link=section.link or "",
        keep=timedelta(hours=section.keep_h),
    )


async def run(settings: Settings, started: Callable[[str], None]) -> None:
    """Notify until the first SIGINT or SIGTERM; `started` hears under which name.

    Raises `SettingsError`, and what opening the ledger's database raises.
    """
    wanted = told(settings)
    if not wanted.routes:
        raise SettingsError("no route leads to a target; write [[notify.routes]], and to = NAME")
    services.silence()
    name, asked = f"{socket.gethostname()}-{os.getpid()}", asyncio.Event()
    async with opened_pool(settings.ledger_url, max_size=CONNECTIONS) as pool:
        await install.check(pool)
        notifier = Notifier(
            name, wanted, NotificationTable(pool), EventLog(pool), SYSTEM_CLOCK, SYSTEM_CHANCE
        )

        def observe() -> None:
            notifier.observe()
            observe_memory()
            observe_connections("ledger", pool.get_size, pool.get_idle_size, pool.get_max_size())

        with Stopper(asked.set):
            probes = {"notifying": notifier.silence}
            async with watched(settings.monitoring, telemetry.SERVICE, observe, probes):
                started(name)
                await run_until(asked, notifier.run())
                with suppress(*DATABASE_TROUBLE):
                    await notifier.release()


async def try_targets(settings: Settings, names: list[str]) -> list[Sent]:
    """Send a message to each of these targets, or to all; the ledger is not asked.

    Raises `SettingsError`.
    """
    wanted = told(settings)
    unknown = [one for one in names if one not in wanted.targets]
    if unknown:
        known = ", ".join(sorted(wanted.targets))
        raise SettingsError(f"{unknown[0]} is no target of the settings; there are {known}")
    services.silence()
    chosen = names or sorted(wanted.targets)
    message = _test_message(settings, SYSTEM_CLOCK.now())
    said = await asyncio.gather(
        *(
            BlockingCall(one, SYSTEM_CLOCK)(partial(wanted.targets[one].send, message))
            for one in chosen
        )
    )
    return [
        Sent(name, str(settings.notify.targets[name]), why)
        for name, why in zip(chosen, said, strict=True)
    ]


async def overview(settings: Settings) -> Overview:
    """How notifying goes. Raises what opening the ledger's database raises."""
    async with opened_pool(settings.ledger_url, max_size=1) as pool:
        await install.check(pool)
        table = NotificationTable(pool)
        holder = await table.holder()
        end, _ = await table.ends()
        behind = end - holder.position if holder.position is not None else 0
        return Overview(holder, behind, {one.target: one for one in await table.targets()})


def _test_message(settings: Settings, now: datetime) -> Notification:
    at = now.isoformat(timespec="seconds")
    document = {
        "event": "Test",
        "severity": NoticeSeverity.INFO.value,
        "count": 1,
        "headline": "a test: this is where notifications come",
        "rollout": "",
        "databases": [],
        "migrations": [],
        "errors": [],
        "places": [],
        "command": "ledger notify list",
        "first_position": 0,
        "last_position": 0,
        "first_at": at,
        "last_at": at,
        "templates": ["", ""],
    }
    key = hashlib.sha256(f"test {now.isoformat()}".encode()).hexdigest()
    return message_of(Draft("", key, "", 0, now, now, document), settings.name, "")


def _target(target: NotifyTarget, clock: Clock) -> NotificationTarget:
    if target.apprise is not None:
        return services.AppriseService(target.apprise)
    return Webhook(target.webhook or "", target.key or "", clock)


def _route(route: NotifyRoute) -> Route:
    return Route(
        to=route.to,
        events=route.events,
        severity=NoticeSeverity(route.severity) if route.severity else None,
        labels=route.labels,
        hours=tuple(map(window_of, route.hours)),
        digest_s=route.digest_s,
        title=route.title,
        text=route.text,
    )
