"""What may be told of an event, how severe it is, and what of it nobody outside gets to see."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.contracts.envelope import Metadata, Recorded, decode
from ledger.contracts.events import EVENTS, RolloutCompleted
from ledger.contracts.reports import AttemptFinished, Event, Unreadable
from ledger.domain.notices import MAX_CHARS, NoticeSeverity, harmless, notice_of
from migrations.model.attempt import Failure, FailureClass, Mode, Verdict
from tests.support.programs import misunderstood

GOLDEN = Path(__file__).parents[2] / "golden" / "events"
AT = datetime(2026, 11, 23, 9, tzinfo=UTC)


def told(event: Event, stream: str = "rollout-r1") -> Recorded:
    return Recorded(7, stream, 1, uuid4(), event, Metadata(reason="planted"), "ada", AT)


def an_example(name: str) -> Event:
    """An event of this type in which every field says something."""
    version = EVENTS[name].SCHEMA_VERSION
    return decode(name, version, (GOLDEN / f"{name}.v{version}.json").read_bytes())


@pytest.mark.parametrize("name", EVENTS)
def test_of_every_event_something_is_told_and_the_command_beside_it_exists(name: str) -> None:
    notice = notice_of(told(an_example(name)))
    assert notice.event == name
    assert notice.headline
    assert "planted" not in repr(notice)
    assert misunderstood(notice.command.split()) is None


def attempt(verdict: Verdict, kind: FailureClass | None = None) -> AttemptFinished:
    return AttemptFinished(
        database="acme",
        command=uuid4(),
        attempt=1,
        mode=Mode.UP,
        verdict=verdict,
        changed=0,
        journal_head=None,
        failure=Failure(kind=kind, message="no") if kind else None,
    )


@pytest.mark.parametrize(
    ("event", "severity", "routine"),
    [
        (attempt(Verdict.FAILED, FailureClass.UNREACHABLE), NoticeSeverity.WARNING, False),
        (attempt(Verdict.REFUSED, FailureClass.IDENTITY), NoticeSeverity.WARNING, False),
        # These are ordered again by themselves.
        (attempt(Verdict.REFUSED, FailureClass.PREFLIGHT), NoticeSeverity.INFO, True),
        (attempt(Verdict.REFUSED, FailureClass.CLOCK), NoticeSeverity.INFO, True),
        (attempt(Verdict.EXPIRED, FailureClass.EXPIRED), NoticeSeverity.INFO, True),
        (attempt(Verdict.CANCELLED, FailureClass.CANCELLED), NoticeSeverity.INFO, True),
        (attempt(Verdict.DONE), NoticeSeverity.INFO, True),
        (
            RolloutCompleted(rollout="r1", applied=3, skipped=0, failed=0),
            NoticeSeverity.INFO,
            False,
        ),
        (
            RolloutCompleted(rollout="r1", applied=3, skipped=0, failed=1),
            NoticeSeverity.WARNING,
            False,
        ),
        (
            Unreadable(type="RolloutHalted", schema_version=9, why="new"),
            NoticeSeverity.WARNING,
            False,
        ),
        (an_example("RolloutHalted"), NoticeSeverity.CRITICAL, False),
        (an_example("AttemptTimedOut"), NoticeSeverity.CRITICAL, False),
        (an_example("MigrationRegressed"), NoticeSeverity.CRITICAL, False),
        (an_example("MigrationFailed"), NoticeSeverity.WARNING, True),
        (an_example("MigrationApplied"), NoticeSeverity.INFO, True),
        (an_example("MigrationOrdered"), NoticeSeverity.INFO, True),
    ],
)
def test_an_event_is_as_severe_as_it_needs_a_person(
    event: Event, severity: NoticeSeverity, routine: bool
) -> None:
    notice = notice_of(told(event))
    assert (notice.severity, notice.routine) == (severity, routine)


def test_a_class_of_error_and_a_place_are_told_and_no_message_statement_or_blocker() -> None:
    failure = Failure(
        kind=FailureClass.SQL,
        message="planted",
        sqlstate="23505",
        statement="planted",
        file="1_a.sql",
        line=4,
        blocker="planted",
        batch="planted",
    )
    notice = notice_of(told(attempt(Verdict.FAILED).model_copy(update={"failure": failure})))
    assert (notice.error, notice.place) == ("sql SQLSTATE 23505", "1_a.sql:4")
    assert "planted" not in repr(notice)


@given(st.text(max_size=300))
def test_nothing_in_a_harmless_text_is_markup_a_mention_a_link_or_a_line(text: str) -> None:
    shown = harmless(text)
    assert shown.isascii()
    assert shown.isprintable() or not shown
    assert not set("<>&@`*[]{}|~#!\"'\n\r") & set(shown)
    assert "://" not in shown
    assert "www." not in shown.lower()
    assert not re.search(r"(?<![A-Za-z0-9_])_|_(?![A-Za-z0-9_])", shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("_italic_", r"\u005fitalic\u005f"),
        ("__both__ a_._b", r"\u005f\u005fboth\u005f\u005f a\u005f.\u005fb"),
        ("see WWW.evil.example", r"see WWW\u002eevil.example"),
        ("https://evil.example", r"https:\u002f/evil.example"),
        ("<http://x|y>", r"\u003chttp:\u002f/x\u007cy\u003e"),
        ("zero\u200bwidth \u202eback", r"zero\u200bwidth \u202eback"),
        ("a\r\nBcc: b", r"a\u000d\u000aBcc: b"),
    ],
)
def test_what_begins_markup_or_a_link_is_escaped_where_it_does(text: str, shown: str) -> None:
    assert harmless(text) == shown


@pytest.mark.parametrize("text", ["\U0001f525" * 300, "a" * 199 + "<b", "a" * 195 + "\U0001f525b"])
def test_what_is_shown_of_a_text_is_bounded_and_no_half_of_a_character(text: str) -> None:
    shown = harmless(text)
    assert len(shown) <= MAX_CHARS + len("...")
    assert re.fullmatch(r"(a|\\u(003c|1f525))+\.\.\.", shown)


def test_names_as_they_are_used_stay_readable() -> None:
    for name in (
        "acme-eu_1.prod", "a__b", "db.wwwx.com", "//server/share", "20260601090000",
        "db/0001_init.sql:12", "sql SQLSTATE 23505",
    ):  # fmt: skip
        assert harmless(name) == name
