"""What one agent works with: the section that both programs read, its pool, and its name."""

from __future__ import annotations

import os
import socket

from pydantic import Field

from ledger.settings import AgentSection


def default_name() -> str:
    """Host name and process id: tells agents apart, and people where to look."""
    return f"{socket.gethostname()}-{os.getpid()}"


class AgentSettings(AgentSection):
    """How one agent works. Seconds and bytes as the names say.

    `insecure_postgres` accepts databases without verified TLS, `insecure_bus` records that the bus
    was allowed to be unsafe: both are said in every heartbeat and report.
    """

    pool: str
    name: str = Field(default_factory=default_name)
    insecure_bus: bool = False

    @property
    def insecure(self) -> tuple[str, ...]:
        """The development flags in use, as heartbeats and reports name them."""
        flags = (("bus", self.insecure_bus), ("postgres", self.insecure_postgres))
        return tuple(name for name, on in flags if on)


def agent_settings(
    section: AgentSection, pool: str, *, name: str | None = None, insecure_bus: bool = False
) -> AgentSettings:
    """The settings of the agent of `pool`; `name` wins over the section's."""
    shared = dict(section)
    shared["name"] = name or section.name or default_name()
    return AgentSettings(**shared, pool=pool, insecure_bus=insecure_bus)
