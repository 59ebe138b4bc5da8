"""Selections over labels, ids and pools."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.domain.fleet import FleetStatus
from ledger.domain.refusals import InvalidSelection
from ledger.domain.selection import parse, select
from tests.support.spec import record

FLEET = [
    record("c", tier="gold", region="us"),
    record("a", tier="gold", region="eu"),
    record("b", "edge", tier="tin", region="us"),
    record("d"),
    replace(record("s", tier="gold"), status=FleetStatus.SUSPENDED),
    replace(record("r", tier="gold"), status=FleetStatus.RETIRED),
]


@pytest.mark.parametrize(
    ("expression", "ids"),
    [
        ("", "abcd"),
        ("  ", "abcd"),
        ("tier=gold", "ac"),
        ("tier=gold,region!=eu", "c"),
        (" tier = gold , region != eu ", "c"),
        ("region!=eu", "bcd"),
        ("tier in (gold,tin)", "abc"),
        ("tier in (gold, tin),region=us", "bc"),
        ("tier not in (gold)", "bd"),
        ("id=a", "a"),
        ("id in (d,a,nobody)", "ad"),
        ("pool=edge", "b"),
        ("pool!=edge,tier=gold", "ac"),
        ("tier=none", ""),
    ],
)
def test_active_databases_that_fulfil_every_term_are_selected_by_id(
    expression: str, ids: str
) -> None:
    assert select(FLEET, expression) == tuple(ids)
    assert select(reversed(FLEET), expression) == tuple(ids)


@pytest.mark.parametrize(
    ("expression", "column", "why"),
    [
        ("tier", 5, "`=`, `!=` or `in` is expected, but the text ends"),
        ("tier=", 6, "a value is expected, but the text ends"),
        ("=gold", 1, "a label, `id` or `pool` is expected"),
        ("tier=gold region=eu", 11, "`,` is expected, not 'region'"),
        ("tier=gold,", 11, "a label, `id` or `pool` is expected"),
        ("tier like gold", 6, "`=`, `!=` or `in` is expected, not 'like'"),
        ("tier in gold", 9, r"`\(` is expected"),
        ("tier in (gold", 14, r"`,` or `\)` is expected"),
        ("tier in ()", 10, "a value is expected"),
        ("tier in (a b)", 12, r"`,` or `\)` is expected, not 'b'"),
        ("tier not gold", 10, "is expected, not 'gold'"),
        ("tier ! gold", 6, "'!' is not expected here"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(
    expression: str, column: int, why: str
) -> None:
    with pytest.raises(InvalidSelection, match=why) as refused:
        parse(expression)
    assert refused.value.column == column
