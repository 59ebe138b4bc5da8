"""What `ledger-agent check` finds out: broker, topics, folders of secrets, databases."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from agents.errors import ReferenceRefused
from agents.secrets import connection_settings
from agents.settings import AgentSettings
from agents.trust import signer_of
from ledger.bus.port import Bus, BusError
from ledger.contracts.registry import Connection
from ledger.contracts.topics import CANCELS, CONTENT, HEARTBEATS, PARKED, REPORTS, commands_topic
from ledger.settings.secret_rules import DEFAULT_RULES
from ledger.signing.errors import KeyUnusable
from migrations.inspection import Inspection, inspect
from migrations.target.session import ConnectionSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried, and what came of it."""

    what: str
    fine: bool
    said: str


async def check(
    bus: Bus | None, settings: AgentSettings, urls: Sequence[str], password: str | None
) -> AsyncIterator[Finding]:
    """Try everything this agent needs; `urls` are databases, `password` their reference."""
    if bus is not None:
        async for finding in _broker(bus, settings):
            yield finding
    yield _trust(settings)
    yield _key(settings)
    for finding in _folders(settings):
        yield finding
    for url in urls:
        yield await _database(url, settings, password)


async def _broker(bus: Bus, settings: AgentSettings) -> AsyncIterator[Finding]:
    try:
        await bus.start()
        yield Finding("broker", True, "answers")
        topics = [commands_topic(settings.pool), REPORTS, CONTENT, CANCELS, HEARTBEATS, PARKED]
        await bus.ensure_topics(topics)
        yield Finding("topics", True, ", ".join(topics))
    except BusError as error:
        yield Finding("broker", False, str(error))


def _trust(settings: AgentSettings) -> Finding:
    if not settings.trust:
        return Finding("orders", True, "UNSIGNED: taken from whoever can write to the broker")
    keys = ", ".join(one.key for one in settings.trust)
    return Finding("orders", True, f"of ledger {settings.trust[0].ledger}, signed by {keys}")


def _key(settings: AgentSettings) -> Finding:
    try:
        signer = signer_of(settings.key_file)
    except KeyUnusable as error:
        return Finding("reports", False, str(error))
    return Finding("reports", True, f"signed by {signer.key}" if signer else "UNSIGNED")


def _folders(settings: AgentSettings) -> Iterator[Finding]:
    rules = settings.secrets or DEFAULT_RULES
    yield Finding("where secrets go", True, "; ".join(map(str, rules)))
    if not settings.secret_roots:
        yield Finding("secrets", True, "no folders: file: references are refused")
    for root in settings.secret_roots:
        fine = root.is_dir() and os.access(root, os.R_OK | os.X_OK)
        said = "can be read" if fine else "is no folder that this user can read; correct it"
        yield Finding(f"secrets in {root}", fine, said)


async def _database(url: str, settings: AgentSettings, password: str | None) -> Finding:
    try:
        said = ConnectionSettings.from_url(
            url, allow_plaintext=settings.insecure_postgres, environ={}
        )
        place = Connection.at(
            host=said.host,
            port=said.port,
            database=said.database,
            user=said.user,
            password=password,
            sslmode=said.sslmode,
        )
        connection = connection_settings(place, said.database, settings)
        # What stands in the address is the choice of whoever typed it here.
        connection = replace(connection, password=connection.password or said.password)
    except (ValueError, ReferenceRefused) as error:
        return Finding("database", False, str(error))
    found = await inspect(connection)
    fine = found.reachable and found.failure is None
    return Finding(connection.place, fine, _seen(found))


def _seen(found: Inspection) -> str:
    if found.failure is not None:
        return found.failure.message
    version = found.server_version or 0
    facts = [
        f"PostgreSQL {version // 10_000}.{version % 10_000}",
        "TLS" if found.tls else "no TLS",
        f"journal {found.journal_head[:12]}" if found.journal_head else "no journal yet",
    ]
    if found.in_recovery:
        facts.append("a standby: migrations need the primary")
    return ", ".join(facts)
