"""What travels on the bus, whatever carries it: a message to send, and one that arrived."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `headers` are UTF-8 names with raw bytes, in order, without repeats."""

    topic: str
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Received:
    """What arrived, and where it stood."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> bytes | None:
        """The last header of that name, or `None`."""
        found = [value for header, value in self.headers if header == name]
        return found[-1] if found else None
