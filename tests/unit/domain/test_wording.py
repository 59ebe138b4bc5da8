"""Numbers of things in words."""

from __future__ import annotations

import pytest

from ledger.domain.wording import number_of


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 databases"), (1, "1 database"), (2, "2 databases")]
)
def test_one_thing_is_not_several(count: int, said: str) -> None:
    assert number_of(count, "database") == said
