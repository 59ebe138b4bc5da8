"""Moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.cli.app.moments import moment_in, moments_between
from ledger.cli.app.output import distance, moment_shown
from ledger.errors import WrongArgument

NOW = datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        ("30 min", NOW - timedelta(minutes=30)),
        ("2h ago", NOW - timedelta(hours=2)),
        ("1.5d", NOW - timedelta(hours=36)),
        ("1w", NOW - timedelta(days=7)),
        ("today", datetime(2026, 11, 30, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 11, 29, tzinfo=UTC)),
        ("0:30", datetime(2026, 11, 30, 0, 30, tzinfo=UTC)),
        ("2026-11-29", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-29 14:05", datetime(2026, 11, 29, 14, 5, tzinfo=UTC)),
        ("2026-11-29T14:05:06Z", datetime(2026, 11, 29, 14, 5, 6, tzinfo=UTC)),
        ("2026-11-29T14:05+01:00", datetime(2026, 11, 29, 13, 5, tzinfo=UTC)),
    ],
)
def test_a_moment_is_so_long_ago_or_a_date_in_utc(text: str, moment: datetime) -> None:
    assert moment_in("--since", text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "-1h", "25:00", "2026-13-01", "999999w", "1y"])
def test_what_is_no_moment_is_refused_with_the_ways_to_write_one(text: str) -> None:
    with pytest.raises(WrongArgument, match=r"write how long ago \(90s, 30m, 2h, 3d, 1w\)"):
        moment_in("--until", text, NOW)


def test_times_are_told_with_their_zone_and_how_far_they_are() -> None:
    assert moment_shown(NOW - timedelta(minutes=3), NOW) == "2026-11-30 00:59:03Z (3 min ago)"
    assert distance(NOW, NOW) == "now"
    assert distance(NOW + timedelta(hours=5), NOW) == "in 5 h"
    assert distance(NOW - timedelta(days=40), NOW) == "40 d ago"


@pytest.mark.parametrize("text", ["2026-11-30 01:02:04", "23:59", "2026-12-01", "9999-12-31"])
def test_a_moment_that_is_still_to_come_is_refused_with_what_time_it_is(text: str) -> None:
    with pytest.raises(WrongArgument, match=r"still to come, it is 2026-11-30 01:02:03Z now"):
        moment_in("--since", text, NOW)


@pytest.mark.parametrize(
    ("since", "until"), [("1h", "2h"), ("2h", "2h"), ("2026-11-30", "2026-11-29"), ("now", "1s")]
)
def test_a_beginning_that_is_not_before_the_end_is_refused(since: str, until: str) -> None:
    with pytest.raises(WrongArgument, match=r"is not before --until .* nothing is between them"):
        moments_between(since, until, NOW)


def test_a_beginning_before_the_end_and_either_alone_are_taken() -> None:
    hour = timedelta(hours=1)
    assert moments_between("2h", "1h", NOW) == (NOW - 2 * hour, NOW - hour)
    assert moments_between(None, "1h", NOW) == (None, NOW - hour)
    assert moments_between("1h", None, NOW) == (NOW - hour, None)
