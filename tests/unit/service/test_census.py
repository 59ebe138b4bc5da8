"""How often is counted."""

from __future__ import annotations

import pytest

from ledger.service.census import rest_after


@pytest.mark.parametrize(
    ("took_s", "rest_s"), [(0.0, 10.0), (0.2, 10.0), (2.0, 40.0), (6.0, 120.0), (3600.0, 120.0)]
)
def test_counting_rests_twenty_times_as_long_as_it_took_within_bounds(
    took_s: float, rest_s: float
) -> None:
    assert rest_after(took_s) == rest_s
