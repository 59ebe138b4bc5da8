"""What was recorded in an older version is read in the newest one, step by step, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.contracts.envelope import EventReader, UnknownMessage, decode
from ledger.contracts.events import EVENT_TYPES
from ledger.contracts.reports import Event
from ledger.contracts.upcasters import UPCASTERS, Upcaster


class LampLit(Event, version=3):
    """Of an event that has changed twice: a colour came, then a watt became milliwatts."""

    lamp: str
    colour: str
    milliwatts: int


def with_colour(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"colour": "white"}


def in_milliwatts(body: dict[str, Any]) -> dict[str, Any]:
    return {name: said for name, said in body.items() if name != "watts"} | {
        "milliwatts": body["watts"] * 1000
    }


STEPS: dict[tuple[str, int], Upcaster] = {
    ("LampLit", 1): with_colour,
    ("LampLit", 2): in_milliwatts,
}


@pytest.mark.parametrize(
    ("version", "body"),
    [
        (1, {"lamp": "a", "watts": 5}),
        (2, {"lamp": "a", "watts": 5, "colour": "white"}),
        (3, {"lamp": "a", "milliwatts": 5000, "colour": "white"}),
    ],
)
def test_a_body_of_any_version_is_read_as_the_newest(version: int, body: dict[str, Any]) -> None:
    read = EventReader(LampLit, STEPS).read(version, json.dumps(body).encode())
    assert read == LampLit(lamp="a", colour="white", milliwatts=5000)


@pytest.mark.parametrize("version", [4, 0, -1])
def test_a_version_that_is_not_known_is_not_read(version: int) -> None:
    with pytest.raises(UnknownMessage, match="newest known is 3"):
        EventReader(LampLit, STEPS).read(version, b'{"lamp":"a","milliwatts":1,"colour":"red"}')


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"lamp":"a"}', b'{"watts":null}', b"\xff{}"])
def test_a_body_that_has_not_the_form_of_its_old_version_is_not_read(body: bytes) -> None:
    with pytest.raises(UnknownMessage, match="LampLit"):
        EventReader(LampLit, STEPS).read(2, body)


def test_a_missing_step_is_said_and_nothing_is_guessed() -> None:
    with pytest.raises(UnknownMessage, match="version 1"):
        EventReader(LampLit, {("LampLit", 2): in_milliwatts}).read(1, b'{"lamp":"a","watts":5}')


def test_every_older_version_of_every_event_has_its_step_and_no_step_is_for_nothing() -> None:
    needed = {
        (one.name, version) for one in EVENT_TYPES.values() for version in range(1, one.version)
    }
    assert set(UPCASTERS) == needed


def test_version_nought_of_a_real_event_is_not_read() -> None:
    with pytest.raises(UnknownMessage, match="newest known is 1"):
        decode("RolloutPaused", 0, b'{"rollout":"r"}')
