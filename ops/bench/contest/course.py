"""What every contender gets, and what it answers with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ops.bench.contest.servers import Server

Migrate = Callable[[int], Awaitable[float]]
"""Brings all databases to the migration of this number (0, then 1) and returns the seconds."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a contender gets: a server, fresh databases on it, and a folder for its files."""

    server: Server
    databases: list[str]
    folder: Path
