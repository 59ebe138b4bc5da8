"""What goes where, how many are one message, and what a message says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ledger.contracts.templates import check_template
from ledger.domain.messages import message_of
from ledger.domain.notices import Notice, NoticeSeverity
from ledger.domain.routes import Draft, Route, collected, draft_of, wanted
from migrations.model.windows import window_of

MONDAY_NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HALTED = Notice(
    "RolloutHalted",
    NoticeSeverity.CRITICAL,
    routine=False,
    position=7,
    at=MONDAY_NOON,
    headline="a rollout stopped itself",
    rollout="r1",
    command="ledger rollout status r1",
)
FAILED = replace(
    HALTED,
    event="AttemptFinished",
    severity=NoticeSeverity.WARNING,
    headline="a database failed",
    database="acme",
    error="sql SQLSTATE 23505",
)
APPLIED = replace(FAILED, event="MigrationApplied", severity=NoticeSeverity.INFO, routine=True)


def targets(notice: Notice, *routes: Route, labelled: dict[int, bool] | None = None) -> list[str]:
    return [target for target, _ in wanted(routes, notice, labelled or {})]


@pytest.mark.parametrize(
    ("route", "wants"),
    [
        (Route(("a",)), [HALTED, FAILED]),
        (Route(("a",), events=("*",)), [HALTED, FAILED]),
        (Route(("a",), events=("Rollout*",)), [HALTED]),
        (Route(("a",), events=("MigrationApplied",)), [APPLIED]),
        (Route(("a",), events=("Migration*", "RolloutHalted")), [HALTED, APPLIED]),
        (Route(("a",), severity=NoticeSeverity.WARNING), [HALTED, FAILED]),
        (Route(("a",), severity=NoticeSeverity.CRITICAL), [HALTED]),
        (Route(("a",), events=("AttemptFinished",), severity=NoticeSeverity.CRITICAL), []),
    ],
)
def test_a_route_wants_what_it_names_and_what_is_severe_enough(
    route: Route, wants: list[Notice]
) -> None:
    assert [one for one in (HALTED, FAILED, APPLIED) if targets(one, route)] == wants
    for one in wants:
        assert one.event in set(route.types())


@pytest.mark.parametrize(
    ("hours", "at", "is_open"),
    [
        ("mon-fri 08:00-18:00 UTC", "2026-11-23T12:00", True),
        ("mon-fri 08:00-18:00 UTC", "2026-11-23T18:00", False),
        ("mon-fri 08:00-18:00 UTC", "2026-11-22T12:00", False),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-11-23T07:00", True),
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-11-23T17:30", False),
        # In summer Berlin is two hours ahead.
        ("mon-fri 08:00-18:00 Europe/Berlin", "2026-07-20T06:00", True),
        ("mon 22:00-06:00 UTC", "2026-11-24T05:59", True),
        ("mon 22:00-06:00 UTC", "2026-11-24T06:00", False),
    ],
)
def test_a_route_is_open_in_its_hours(hours: str, at: str, is_open: bool) -> None:
    notice = replace(HALTED, at=datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert bool(targets(notice, Route(("a",), hours=(window_of(hours),)))) is is_open


def test_a_target_that_two_routes_lead_to_is_told_once_and_every_route_counts() -> None:
    routes = (Route(("a", "b")), Route(("b", "c")), Route(("d",), labels={"tier": "gold"}))
    assert targets(HALTED, *routes, labelled={2: False}) == ["a", "b", "c"]
    assert targets(HALTED, *routes, labelled={2: True}) == ["a", "b", "c", "d"]


def test_a_target_is_not_told_that_itself_takes_nothing() -> None:
    notice = replace(HALTED, event="NotificationFailed", target="a")
    assert targets(notice, Route(("a", "b"))) == ["b"]


def draft(notice: Notice, number: int = 1, now: datetime = MONDAY_NOON, **route: object) -> Draft:
    made = Route(("a",), **route)  # type: ignore[arg-type]
    return draft_of(notice, UUID(int=number), "a", made, now)


def test_what_is_about_a_database_is_collected_and_what_is_about_a_rollout_is_not() -> None:
    assert draft(FAILED).topic == "r1/AttemptFinished"
    assert draft(FAILED).due_at == MONDAY_NOON + timedelta(seconds=60)
    assert draft(HALTED).topic == draft(FAILED, digest_s=0).topic == ""
    assert draft(HALTED).due_at == draft(FAILED, digest_s=0).due_at == MONDAY_NOON


def test_a_digest_counts_and_names_some_and_is_as_severe_as_its_worst() -> None:
    drafts = [
        draft(replace(FAILED, database=f"db{number}", error=f"e{number % 2}"), number)
        for number in range(9)
    ]
    worse = draft(replace(FAILED, database="db3", severity=NoticeSeverity.CRITICAL), 99)
    (digest,) = collected([*drafts[1:], worse], drafts[:1])
    assert digest.key == drafts[0].key
    assert digest.document["count"] == 10
    assert digest.document["databases"] == [f"db{number}" for number in range(5)]
    assert digest.document["severity"] == "critical"
    text = message_of(digest, "prod", "").text
    assert "databases: db0, db1, db2, db3, db4 and 5 more" in text
    assert "class: e0, e1, sql SQLSTATE 23505" in text


def test_what_comes_after_a_digest_was_due_begins_another() -> None:
    first = draft(FAILED)
    later = draft(FAILED, 2, MONDAY_NOON + timedelta(seconds=61))
    assert [one.key for one in collected([later], [first])] == [later.key]


def test_a_key_is_the_same_for_the_same_event_and_target_and_no_other() -> None:
    other = draft_of(HALTED, UUID(int=1), "b", Route(("b",)), MONDAY_NOON)
    keys = [draft(HALTED).key, draft(HALTED, 2).key, other.key]
    assert len({*keys}) == 3
    assert draft(HALTED, now=MONDAY_NOON + timedelta(days=1)).key == keys[0]


def test_a_message_names_what_happened_where_what_to_type_and_where_to_look() -> None:
    message = message_of(draft(FAILED), "prod", "https://b.example/{rollout}?db={database}")
    assert message.title == "[warning] prod: a database failed (acme in r1)"
    for line in (
        "rollout: r1",
        "database: acme",
        "class: sql SQLSTATE 23505",
        "next: ledger rollout status r1",
        "link: https://b.example/r1?db=acme",
    ):
        assert line in message.text.splitlines()
    assert message.document["title"] == message.title


def test_templates_of_a_route_are_filled_and_values_are_no_templates() -> None:
    odd = replace(FAILED, database="{rollout}")
    made = draft(odd, title="{{x}} {database}", text="{class} / {next}")
    message = message_of(made, "prod", "")
    assert message.title == "{x} {rollout}"
    assert message.text == "sql SQLSTATE 23505 / ledger rollout status r1"


@pytest.mark.parametrize("template", ["{nothing}", "{", "}", "{}", "{Rollout}", "{rollout"])
def test_a_template_that_names_nothing_is_refused_with_what_there_is(template: str) -> None:
    with pytest.raises(ValueError, match=r"\{rollout\}, \{database\}"):
        check_template(template)
