"""Selections over labels, ids, pools and statuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.domain.fleet import FleetStatus
from ledger.domain.refusals import InvalidSelection, UnavailableDatabases
from ledger.domain.selection import parse
from ledger.domain.selection_words import UnknownInSelection, chosen, select
from tests.support.spec import record

FLEET = [
    record("c", tier="gold", region="us"),
    record("a", tier="gold", region="eu"),
    record("b", "edge", tier="tin", region="us"),
    record("d"),
    replace(record("s", tier="gold"), status=FleetStatus.SUSPENDED),
    replace(record("r", tier="gold", left="yes"), status=FleetStatus.RETIRED),
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
        ("tier notin (gold,tin)", "d"),
        ("region", "abc"),
        ("!region", "d"),
        ("! region , pool=main", "d"),
        ("region,tier!=tin", "ac"),
        ("id=a", "a"),
        ("id in (d,a)", "ad"),
        ("id in (b*,a)", "ab"),
        ("id!=*", ""),
        ("id=?", "abcd"),
        ("tier=g*", "ac"),
        ("tier!=g*", "bd"),
        ("tier=*", "abc"),
        ("pool=edge", "b"),
        ("pool=e*", "b"),
        ("pool!=edge,tier=gold", "ac"),
        ("status=active", "abcd"),
        ("status=suspended", ""),
        ("status!=act*", ""),
        ("tier=tin,region=eu", ""),
        ("tier in (gold,tin),tier=gold", "ac"),
        ("id in (a,b),id!=a", "b"),
        ("id=?,id=b", "b"),
        ("region,region!=eu", "bc"),
        ("!region,region!=eu", "d"),
        ("tier=t*,tier=g*", ""),
    ],
)
def test_active_databases_that_fulfil_every_term_are_selected_by_id(
    expression: str, ids: str
) -> None:
    assert select(FLEET, expression) == tuple(ids)
    assert select(reversed(FLEET), expression) == tuple(ids)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("tier=Gold", "no database has tier=Gold (the nearest is gold)"),
        ("tier!=Gold", "no database has tier=Gold (the nearest is gold)"),
        ("tier in (gold,tim)", "no database has tier=tim (the nearest is tin)"),
        ("tier notin (gold,tim)", "no database has tier=tim (the nearest is tin)"),
        ("tier=t?m", "no database has tier=t?m (the nearest is tin)"),
        ("regoin!=eu", "no database has the label 'regoin' (the nearest is region)"),
        ("regoin", "no database has the label 'regoin' (the nearest is region)"),
        ("!regoin", "no database has the label 'regoin' (the nearest is region)"),
        ("regoin=*", "no database has the label 'regoin' (the nearest is region)"),
        ("left", "no database has the label 'left'"),
        ("id in (a,bb)", "no database has id=bb (the nearest is b)"),
        ("id!=bb", "no database has id=bb (the nearest is b)"),
        ("id in (a,r)", "selection 'id in (a,r)': r is retired"),
        ("pool=egde", "no database has pool=egde (the nearest is edge)"),
        ("a", "no database has the label 'a', but one is called so: write `id=a`"),
        ("regoin=eu,teir=gold", "(the nearest is region); no database has the label 'teir'"),
    ],
)
def test_a_selection_that_names_what_no_database_has_is_refused_with_the_nearest(
    expression: str, why: str
) -> None:
    with pytest.raises(UnknownInSelection) as refused:
        select(FLEET, expression)
    assert why in str(refused.value)


def test_what_an_empty_fleet_lacks_is_no_mistake_of_a_selection() -> None:
    assert select([], "tier=gold") == ()


def test_retired_databases_and_their_labels_are_known_where_they_are_shown() -> None:
    assert [one.database for one in chosen(FLEET, "left", retired=True)] == ["r"]
    assert [one.database for one in chosen(FLEET, "status=retired", retired=True)] == ["r"]


@pytest.mark.parametrize("expression", ["id=s", "id in (a,s)", "id in (a,s),tier=gold"])
def test_a_suspended_database_that_is_named_is_not_left_out_silently(expression: str) -> None:
    with pytest.raises(UnavailableDatabases, match=r"s \(suspended\)"):
        select(FLEET, expression)


def test_many_names_that_no_database_has_are_counted_behind_the_first() -> None:
    names = ",".join(f"x{number}" for number in range(9))
    with pytest.raises(UnknownInSelection, match="and 4 more that no database has"):
        select(FLEET, f"id in ({names})")


@pytest.mark.parametrize(
    ("expression", "column", "why"),
    [
        ("tier==gold", 6, "a value is expected, not '='"),
        ("tier=", 6, "a value is expected, but the text ends"),
        ("=gold", 1, "a label, `id`, `pool` or `status` is expected"),
        ("tier=gold region=eu", 11, "`,` is expected, not 'region'"),
        ("tier=gold,", 11, "a label, `id`, `pool` or `status` is expected"),
        ("tier like gold", 6, "`=`, `!=` or `in` is expected, not 'like'"),
        ("tier in gold", 9, r"`\(` is expected"),
        ("tier in (gold", 14, r"`,` or `\)` is expected"),
        ("tier in ()", 10, "a value is expected"),
        ("tier in (a b)", 12, r"`,` or `\)` is expected, not 'b'"),
        ("tier not gold", 10, "is expected, not 'gold'"),
        ("tier notin gold", 12, r"`\(` is expected"),
        ("tier ! gold", 6, "is expected, not '!'; `!` stands before a label"),
        ("!", 2, "a label, `id`, `pool` or `status` is expected, but the text ends"),
        ("!tier=gold", 6, "`,` is expected, not '='"),
        ("id", 1, "every database has `id`; say which one"),
        ("tier=gold,!pool", 12, "every database has `pool`; say which one"),
        ("status=activ", 8, "'activ' is no status; the nearest is active"),
        ("status in (active,gone)", 19, "'gone' is no status"),
        ("tier=gold,tier=tin", 11, "says otherwise of 'tier', and all of a selection must hold"),
        ("tier=gold,region=eu,tier!=gold", 21, "says otherwise of 'tier'"),
        ("tier in (gold,tin),tier=eu", 20, "says otherwise of 'tier'"),
        ("tier in (gold,tin),tier not in (tin,gold)", 20, "says otherwise of 'tier'"),
        ("tier=gold,!tier", 11, "says otherwise of 'tier'"),
        ("tier,!tier", 6, "says otherwise of 'tier'"),
        ("!tier,tier=g*", 7, "says otherwise of 'tier'"),
        ("id=a*,id=b", 7, "says otherwise of 'id'"),
        ("id=b,id!=b*", 6, "says otherwise of 'id'"),
        ("status=active,status=retired", 15, "says otherwise of 'status'"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(
    expression: str, column: int, why: str
) -> None:
    with pytest.raises(InvalidSelection, match=why) as refused:
        parse(expression)
    assert refused.value.column == column
