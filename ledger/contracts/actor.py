"""Who asked for something, how that is known, and from where: part of an event's metadata.

What a program says of the person who runs it is told, not proven: anybody can say it. Proven is the
role that logged in to the ledger's database, which the log stamps on every event (`recorded_by`).
So a name counts as proven only where it is that role's, whatever the metadata say.
"""

from __future__ import annotations

from enum import StrEnum

from ledger.contracts.registry import WireValue

PART_MAX_CHARS = 200
"""Of each part; whoever writes it cuts longer ones. Nobody refuses to read them."""


class Knowledge(StrEnum):
    """How it is known who somebody is."""

    TOLD = "told"
    """By the program that ran, from its surroundings: a user of the system or of a CI service."""
    PROVEN = "proven"
    """By the database, which let this role log in."""

    @classmethod
    def _missing_(cls, value: object) -> Knowledge | None:
        """A claim of another kind is no more than told."""
        return cls.TOLD if isinstance(value, str) else None


class Actor(WireValue):
    """Whoever asked: `name` as told by `source`, on `host`, with `program` and its version.

    `source` is `system` for a user of the operating system, or the name of a CI service; then `run`
    is the address of the run there, and `job` what it calls the job.
    """

    name: str
    known: Knowledge = Knowledge.TOLD
    source: str = "system"
    host: str = ""
    program: str = ""
    run: str = ""
    job: str = ""

    @property
    def place(self) -> str:
        """From where it was asked: the job and the run, the host, and the program."""
        service = self.source if self.source != "system" else ""
        job = f"job {self.job}" if self.job else ""
        host = f"on {self.host}" if self.host else ""
        return ", ".join(part for part in (service, job, self.run, host, self.program) if part)


def known_by(actor: Actor, recorded_by: str) -> Knowledge:
    """How `actor` is known, when the database stamped `recorded_by` on the event."""
    return Knowledge.PROVEN if actor.name == recorded_by else Knowledge.TOLD
