"""What derives from the registry of events in files: the reference, and the database's rows.

    python -m ops.event_reference           writes ops/events.md
    python -m ops.event_reference --sql     prints the rows for a schema file

Tests compare both with the registry (`ledger.contracts.events`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ledger.contracts.events import EVENT_TYPES, EventType
from ledger.contracts.streams import Author, Stream

PAGE = Path(__file__).with_name("events.md")

_AUTHORS = {
    Author.PERSON: "a person",
    Author.LEDGER: "the leading process",
    Author.AGENT: "an agent",
}
_HEAD = """# Events

What the log can hold: one line per type, as its class in `ledger/contracts/` says it.
Written by `python -m ops.event_reference`; a test compares it with the registry.

A person's events may be appended by the roles `ledger_operator` and `ledger_service`, all others
by `ledger_service` alone: the database refuses them otherwise, and stamps the role that appended.
The version is that of the body's form. Older ones are read for ever, and `tests/golden/` has one
recorded example of each type and version.
"""
_COLUMNS = "| event | version | said by | what happened |\n|---|---|---|---|\n"


def page() -> str:
    """The reference, as ops/events.md holds it."""
    parts = [_HEAD]
    for stream in Stream:
        rows = [one for one in EVENT_TYPES.values() if stream in one.streams]
        parts.append(f"\n## `{stream}`\n\n{_COLUMNS}")
        parts.extend(
            f"| {one.name} | {one.version} | {_AUTHORS[one.author]} | {one.sense} |\n"
            for one in rows
        )
    return "".join(parts)


def rows(types: Iterable[EventType]) -> str:
    """The rows of `ledger.event_type` and its permissions, as a schema file has them."""
    types = list(types)
    known = (f"    ('{one.name}', {one.version}, '{streams_of(one)}')" for one in types)
    granted = (f"    ('{one.name}', '{role}')" for one in types for role in one.roles)
    return "".join(
        [
            "INSERT INTO ledger.event_type (type, schema_version, streams) VALUES\n",
            *_listed(known),
            "INSERT INTO ledger.event_type_permission (type, role) VALUES\n",
            *_listed(granted),
        ]
    )


def streams_of(one: EventType) -> str:
    """One regular expression for the names of all streams that it may stand in."""
    forms = [stream.pattern.removeprefix("^").removesuffix("$") for stream in one.streams]
    return f"^({'|'.join(forms)})$"


def _listed(lines: Iterable[str]) -> Iterator[str]:
    yield ",\n".join(lines)
    yield ";\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--sql"]:
        sys.stdout.write(rows(EVENT_TYPES.values()))
    else:
        PAGE.write_text(page(), encoding="utf-8")
