"""Settings from the settings model, and the topics of the bus."""

from __future__ import annotations

from ledger.contracts.topics import (
    CANCELS,
    CONTENT,
    HEARTBEATS,
    PARKED,
    REPORTS,
    agents_group,
    commands_topic,
    partitions_of,
)
from ledger.settings import Settings, setting_names, variable
from ops.reference.markdown import code, table

TITLES = {
    "": "The ledger",
    "kafka": "The broker",
    "rollout": "Rollouts",
    "agent": "Agents",
    "preflight": "Preflight",
    "watchdog": "Watchdog",
}
"""What the tables of the settings file are called here."""
POOL = "POOL"
"""Stands for a pool in the names of its topic and group."""


def tables() -> str:
    """A table of settings for each table of the settings file."""
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    for name, meaning in setting_names().items():
        section = name.rpartition(".")[0]
        row = (code(name), code(variable(name)), _default(name), meaning)
        sections.setdefault(section, []).append(row)
    head = ("setting", "variable", "default", "meaning")
    parts = []
    for section, rows in sections.items():
        parts += [f"## {TITLES.get(section, section)}", table(head, rows)]
    return "\n\n".join(parts)


def topics() -> str:
    """Topics with their partitions, and who does what there."""
    rows = [
        (commands_topic(POOL), "write", f"read, group `{agents_group(POOL)}`"),
        (CONTENT, "write", "read"),
        (REPORTS, "read", "write"),
        (CANCELS, "write", "read"),
        (HEARTBEATS, "read", "write"),
        (PARKED, "", "write"),
    ]
    head = ("topic", "partitions", "`ledger serve`", f"agents of {POOL}")
    return table(
        head, [(code(topic), str(partitions_of(topic)), *rights) for topic, *rights in rows]
    )


def _default(name: str) -> str:
    """A setting's default as people write it."""
    value: object = Settings()
    for part in name.split("."):
        value = getattr(value, part)
    if value is None or value == ():
        return ""
    return code(str(value).lower() if isinstance(value, bool) else str(value))
