"""What was recorded is read for ever: one example of every event, in every version, as its bytes.

A test that fails here says that something recorded would be read as something else, or no more. An
event that has to change gets a new version, an upcaster and a new example; the old ones stay.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import BaseModel

from ledger.contracts.envelope import Metadata, decode, decode_metadata, encode
from ledger.contracts.events import EVENT_TYPES, EVENTS
from ledger.contracts.reports import Event

GOLDEN = Path(__file__).parents[2] / "golden"
EXAMPLES = {path.name: path.read_bytes() for path in sorted((GOLDEN / "events").iterdir())}
NEWEST = [f"{one.name}.v{one.version}.json" for one in EVENT_TYPES.values()]


def read(name: str) -> Event:
    found = re.fullmatch(r"([A-Za-z]+)\.v([1-9][0-9]*)\.json", name)
    assert found is not None, name
    return decode(found[1], int(found[2]), EXAMPLES[name])


def test_every_version_of_every_event_has_its_example_and_no_example_is_of_anything_else() -> None:
    versions = {
        f"{one.name}.v{version}.json"
        for one in EVENT_TYPES.values()
        for version in range(1, one.version + 1)
    }
    assert set(EXAMPLES) == versions


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_read_as_the_event_that_it_is(name: str) -> None:
    assert type(read(name)) is EVENTS[name.partition(".")[0]]


@pytest.mark.parametrize("name", NEWEST)
def test_an_example_of_today_is_written_again_byte_by_byte(name: str) -> None:
    """A field that came, went, or has another name, order or form makes other bytes."""
    again = encode(read(name), UUID(int=1), Metadata())
    assert again.body == EXAMPLES[name]
    assert f"{again.type}.v{again.schema_version}.json" == name


def fields(value: object) -> Iterator[tuple[str, object, object]]:
    """The name, default and value of each field of a value."""
    if isinstance(value, BaseModel):
        for name, known in type(value).model_fields.items():
            yield name, known.get_default(call_default_factory=True), getattr(value, name)
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield one.name, one.default, getattr(value, one.name)


def left_alone(value: object, where: str = "") -> Iterator[str]:
    """The fields that have their default, at any depth: their form would be tested by nothing."""
    for name, default, said in fields(value):
        if said == default:
            yield f"{where}{name}"
        parts = said if isinstance(said, tuple) else (said,)
        for part in parts:
            yield from left_alone(part, f"{where}{name}.")


@pytest.mark.parametrize("name", NEWEST)
def test_an_example_says_something_in_every_field(name: str) -> None:
    assert list(left_alone(read(name))) == []


def test_metadata_are_written_again_byte_by_byte_and_say_something_in_every_field() -> None:
    recorded = (GOLDEN / "metadata.json").read_bytes()
    metadata = decode_metadata(recorded)
    assert metadata.model_dump_json(exclude_none=True).encode() == recorded
    assert list(left_alone(metadata)) == []
