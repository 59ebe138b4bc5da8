"""Words that several places say alike. Pure."""

from __future__ import annotations

IN_QUEUE = "an agent has it in its queue"
"""What is said of a database that only waits until its agent is through with others."""


def number_of(count: int, noun: str) -> str:
    """`1 database`, `2 databases`; for the nouns of this program, which all add an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
