"""Pictures of dashboards: lines where values were, in units that people read."""

from __future__ import annotations

from math import inf, nan
from xml.etree import ElementTree

import pytest

from ops.grafana.picture import Chart, Picture, Place, Series, Stat, Table, scale, steps, written

PLACE = Place(0, 0, 12, 8)
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<b>&\"'"


def drawn(*panels: Chart | Stat | Table) -> ElementTree.Element:
    picture = Picture(HOSTILE, 0.0, 100.0)
    for panel in panels:
        match panel:
            case Chart():
                picture.chart(PLACE, panel)
            case Stat():
                picture.stat(PLACE, panel)
            case Table():
                picture.table(PLACE, panel)
    return ElementTree.fromstring(picture.svg())  # noqa: S314


def texts(picture: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in picture.iter(f"{SVG}text")]


def lines(picture: ElementTree.Element) -> list[list[tuple[float, float]]]:
    found = []
    for one in picture.iter(f"{SVG}polyline"):
        dots = [dot.split(",") for dot in one.get("points", "").split()]
        found.append([(float(x), float(y)) for x, y in dots])
    return found


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0"),
        (0.0213, "s", "21.3 ms"),
        (59.0, "s", "59 s"),
        (5400.0, "s", "1.5 h"),
        (180_000.0, "s", "2.08 d"),
        (117_964_800.0, "bytes", "112 MiB"),
        (20_000.0, "short", "20 k"),
        (7.0, "short", "7"),
        (0.25, "ops", "0.25/s"),
        (nan, "s", "-"),
        (inf, "short", "-"),
        ("halted", "short", "halted"),
    ],
)
def test_a_value_is_written_in_its_unit(value: str | float, unit: str, text: str) -> None:
    assert written(value, unit) == text


@pytest.mark.parametrize("most", [0.0, 0.003, 0.9, 1.0, 7.0, 10.0, 99.0, 12_345.0])
def test_a_scale_begins_at_nothing_and_holds_the_greatest_value(most: float) -> None:
    scale = steps(most)
    assert scale[0] == 0
    assert scale[-1] >= most
    assert 2 <= len(scale) <= 7


def test_the_steps_of_a_scale_are_round_in_the_unit_that_they_are_written_in() -> None:
    assert [written(one, "s") for one in scale(75.0, "s")] == ["0", "30 s", "1 min", "1.5 min"]
    assert [written(one, "bytes") for one in scale(3e6, "bytes")][:3] == ["0", "1 MiB", "2 MiB"]


def test_a_name_that_is_too_long_for_a_legend_is_cut() -> None:
    said = texts(drawn(Chart("waits", "s", [Series("x" * 999, [(0.0, 1.0)])])))
    assert any(one.startswith("xxx") and one.endswith("…") and len(one) < 99 for one in said)


def test_a_line_is_cut_where_nothing_was_and_a_moment_alone_is_a_dot() -> None:
    points = [(0.0, 1.0), (10.0, 2.0), (20.0, nan), (80.0, 4.0)]
    first, dot = lines(drawn(Chart("waits", "s", [Series("lock", points)])))
    assert len(first) == 2
    assert first[0][1] > first[1][1], "what is more stands higher"
    assert dot[0] == dot[1]


def test_a_legend_says_the_last_and_the_greatest_value_and_how_many_it_leaves_out() -> None:
    series = [Series(f"pool {number}", [(0.0, 9.0), (50.0, 3.0)]) for number in range(9)]
    said = texts(drawn(Chart("waits", "s", series)))
    assert {"pool 0", "3 s", "9 s", "and 4 more"} <= {*said}
    assert "pool 7" not in said


def test_a_panel_without_an_answer_says_so() -> None:
    panels = (Chart("a", "s", []), Stat("b", "s", []), Table("c", ["x"], {}, []))
    assert texts(drawn(*panels)).count("no data") == 3


def test_a_table_has_its_columns_and_as_many_rows_as_fit() -> None:
    rows: list[dict[str, str | float]] = [
        {"database": f"db{number}", "took": 0.5} for number in range(99)
    ]
    said = texts(drawn(Table("named", ["database", "took"], {"took": "s"}, rows)))
    assert {"database", "took", "db0", "500 ms"} <= {*said}
    assert "db98" not in said


def test_nothing_in_a_text_is_markup() -> None:
    said = texts(drawn(Stat(HOSTILE, "short", [(HOSTILE, 1.0), ("x", 2.0)])))
    assert said.count(HOSTILE) == 3
