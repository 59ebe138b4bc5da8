"""The registry of events: each class says where it stands, who may say it and in which version."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from ledger.contracts.events import (
    EVENT_TYPES,
    EVENTS,
    REQUESTED_BY_OPERATORS,
    SAID_BY_AUDITORS,
    SAID_BY_NOTIFIERS,
    EventType,
)
from ledger.contracts.reports import Event, Report
from ledger.contracts.streams import REPORT_STREAMS, Author, Stream
from ops import event_reference


def every_class(event: type[Event] = Event) -> set[type[Event]]:
    narrower = set(event.__subclasses__())
    return narrower.union(*(every_class(one) for one in narrower))


def test_every_class_that_says_who_its_author_is_is_in_the_registry() -> None:
    ours = {one for one in every_class() if one.__module__.startswith("ledger.")}
    assert {one for one in ours if one.AUTHOR is not None} == set(EVENTS.values())
    assert {one.__name__ for one in ours - set(EVENTS.values())} == {
        "Report",
        "ReportRepeated",
        "Unreadable",
    }


@pytest.mark.parametrize("known", EVENT_TYPES.values(), ids=lambda known: known.name)
def test_every_type_of_event_has_a_stream_a_version_and_a_sense(known: EventType) -> None:
    assert known.streams
    assert known.version >= 1
    assert known.sense.endswith(".")


def test_what_agents_say_are_reports_in_streams_of_reports_and_nothing_else_is() -> None:
    said = {one.event for one in EVENT_TYPES.values() if one.author is Author.AGENT}
    assert said == {one for one in EVENTS.values() if issubclass(one, Report)}
    for one in said:
        assert set(one.STREAMS) <= set(REPORT_STREAMS)


def test_orders_and_what_happened_are_nothing_that_a_person_may_say() -> None:
    never = {"MigrationOrdered", "InspectionOrdered", "RolloutHalted"}
    assert REQUESTED_BY_OPERATORS.isdisjoint(never)
    for name in REQUESTED_BY_OPERATORS:
        assert EVENT_TYPES[name].roles == ("ledger_operator", "ledger_service")
    for name in SAID_BY_NOTIFIERS:
        assert EVENT_TYPES[name].roles == ("ledger_notifier", "ledger_service")
    for name in SAID_BY_AUDITORS:
        assert EVENT_TYPES[name].roles == ("ledger_auditor", "ledger_service")
    for name in EVENTS.keys() - REQUESTED_BY_OPERATORS - SAID_BY_NOTIFIERS - SAID_BY_AUDITORS:
        assert EVENT_TYPES[name].roles == ("ledger_service",)


@pytest.mark.parametrize(
    ("stream", "name"),
    [
        (Stream.FLEET, "fleet"),
        (Stream.ROLLOUT, "rollout-k7m2"),
        (Stream.ROLLOUT_REPORTS, "rollout-k7m2/reports"),
        (Stream.CHECK_REPORTS, "check-k7m2/reports"),
    ],
)
def test_a_stream_is_known_by_the_form_of_its_name_and_by_no_other(
    stream: Stream, name: str
) -> None:
    assert [one for one in Stream if one.is_kind_of(name)] == [stream]
    for other in (f"{name}/x", f"x{name}", f"{name}\n", "rollout-", "rollout-a/b/reports"):
        assert not stream.is_kind_of(other)


def test_a_name_of_a_stream_is_as_long_as_the_longest_id_makes_it() -> None:
    longest = f"rollout-{'x' * 100}/reports"
    assert Stream.ROLLOUT_REPORTS.is_kind_of(longest)
    assert not Stream.ROLLOUT_REPORTS.is_kind_of(longest.replace("x", "xx", 1))


def rows_of(text: str) -> tuple[dict[str, tuple[str, str]], set[tuple[str, str]]]:
    """Version and streams of each type, and who may append it, as SQL has them; the last holds."""
    known = re.findall(r"^ +\('(\w+)', (\d+), '([^']*)'\)", text, re.MULTILINE)
    granted = re.findall(r"^ +\('(\w+)', '(ledger_\w+)'\)", text, re.MULTILINE)
    return {name: (version, streams) for name, version, streams in known}, set(granted)


def test_the_rows_of_the_database_are_those_of_the_registry() -> None:
    """A new type or version needs its rows in a new schema file, see ops/event_reference.py."""
    folder = sorted((files("ledger.store") / "schema").iterdir(), key=lambda file: file.name)
    text = "\n".join(one.read_text("utf-8") for one in folder if one.name.endswith(".sql"))
    wanted = rows_of(event_reference.rows(EVENT_TYPES.values()))
    assert len(wanted[0]) == len(EVENT_TYPES)
    assert rows_of(text) == wanted
