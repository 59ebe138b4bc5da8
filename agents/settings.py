"""What one agent works with: the section that both programs read, its pool, and its name."""

from __future__ import annotations

import os
import socket

from pydantic import Field

from ledger.contracts.heartbeat import UNSIGNED_ORDERS, UNSIGNED_REPORTS
from ledger.settings import AgentSection


def default_name() -> str:
    """Host name and process id: tells agents apart, and people where to look."""
    return f"{socket.gethostname()}-{os.getpid()}"


class AgentSettings(AgentSection):
    """How one agent works. Seconds and bytes as the names say.

    `insecure_postgres` accepts databases without verified TLS, `insecure_bus` records that the bus
    was allowed to be unsafe; on a `shared_bus`, which others reach too, it counts whether orders
    and reports are signed. What is not safe is said in every heartbeat and report. An agent that
    `lives_in_leader` ends with the process that leads.
    """

    pool: str
    name: str = Field(default_factory=default_name)
    insecure_bus: bool = False
    shared_bus: bool = False
    lives_in_leader: bool = False

    @property
    def insecure(self) -> tuple[str, ...]:
        """The development flags in use, as heartbeats and reports name them."""
        flags = (
            ("bus", self.insecure_bus),
            ("postgres", self.insecure_postgres),
            (UNSIGNED_ORDERS, self.shared_bus and not self.trust),
            (UNSIGNED_REPORTS, self.shared_bus and self.key_file is None),
        )
        return tuple(name for name, on in flags if on)


def agent_settings(
    section: AgentSection,
    pool: str,
    *,
    name: str | None = None,
    insecure_bus: bool = False,
    shared_bus: bool = False,
    lives_in_leader: bool = False,
) -> AgentSettings:
    """The settings of the agent of `pool`; `name` wins over the section's."""
    shared = dict(section)
    shared["name"] = name or section.name or default_name()
    return AgentSettings(
        **shared,
        pool=pool,
        insecure_bus=insecure_bus,
        shared_bus=shared_bus,
        lives_in_leader=lives_in_leader,
    )
