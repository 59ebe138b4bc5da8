"""Which rehearsal counts for a rollout: the newest that tried all that goes, or failed at it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.contracts.events import RehearsalRecorded
from ledger.domain.rehearsals import (
    KnownRehearsal,
    NotRehearsed,
    RehearsalRule,
    refuse_unrehearsed,
    that_counts,
)
from ledger.domain.wording import age_text

NOW = datetime(2026, 11, 30, tzinfo=UTC)
RULE = RehearsalRule(max_age_days=7)


def tried(*versions: str, days: float = 0, failed: tuple[str, ...] = ()) -> KnownRehearsal:
    event = RehearsalRecorded(
        bundle="a" * 64,
        succeeded=not failed,
        versions=versions,
        failed=failed,
        server_version=180006,
        duration_ms=1,
    )
    return KnownRehearsal(NOW - timedelta(days=days), event)


def test_one_that_went_well_and_tried_more_than_goes_is_enough() -> None:
    refuse_unrehearsed(RULE, [tried("1", "2", "3", days=6.9)], ["2", "3"], NOW)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ([], "this bundle was never rehearsed"),
        ([tried("1")], "did not try 2"),
        ([tried("1", "2", days=7.1)], "is 7.1 days old, and may be 7"),
        ([tried("1", "2"), tried("1", "2", failed=("2",))], r"failed \(at 2\)"),
        ([tried("2", failed=("2",)), tried("1")], r"failed \(at 2\)"),
        ([tried("1", "2"), tried("2", "3", failed=("2",))], r"failed \(at 2\)"),
    ],
)
def test_whatever_does_not_count_is_refused_with_its_reason(
    known: list[KnownRehearsal], why: str
) -> None:
    with pytest.raises(NotRehearsed, match=why):
        refuse_unrehearsed(RULE, known, ["2"], NOW)


def test_a_later_one_of_less_takes_nothing_from_one_that_tried_all() -> None:
    whole = tried("1", "2", days=1)
    assert that_counts([whole, tried("1", failed=("1",))], ["2"]) is whole
    refuse_unrehearsed(RULE, [whole, tried("1", failed=("1",))], ["2"], NOW)


def test_an_age_is_told_in_its_largest_unit() -> None:
    ages = [age_text(seconds) for seconds in (-1, 59.9, 60, 7200, 86_400, 3 * 86_400)]
    assert ages == ["0 s", "59 s", "1 min", "2 h", "1 day", "3 days"]
