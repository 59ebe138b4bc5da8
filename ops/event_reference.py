"""The database's rows of event types, as the registry of events gives them for a schema file.

    python -m ops.event_reference           prints them

A test compares them with the schema files. What people read of events is in ops/reference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from ledger.contracts.events import EVENT_TYPES, EventType


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
    sys.stdout.write(rows(EVENT_TYPES.values()))
