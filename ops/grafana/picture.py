"""A dashboard as SVG: panels in a grid, with lines, figures and tables in them. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import floor, isfinite, log10

COLUMN, ROW, GAP, HEAD = 60, 34, 8, 46
"""Of the grid, in pixels; Grafana's has 24 columns, too."""
WIDTH = 24 * COLUMN + GAP
COLOURS = (
    "#3274d9", "#e0752d", "#299c46", "#c4162a", "#8f3bb8", "#1f9e96", "#b08800", "#7a7a7a",
)  # fmt: skip
LEGEND_ROW = 15
LETTER = 7
"""Pixels of a letter of a legend, at most."""
LEGEND_MOST = 5
"""Lines that have a legend of their own."""
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP = 52, 14, 32
SECONDS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"), (1e-6, "µs"))
BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
NUMBERS = ((1e6, " M"), (1e3, " k"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel stands, in columns and rows of the grid."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Series:
    """A line by its name: moments in seconds since 1970, and values."""

    name: str
    points: Sequence[tuple[float, float]]

    def told(self) -> list[tuple[float, float]]:
        """Those of which there is a value."""
        return [(at, value) for at, value in self.points if isfinite(value)]


@dataclass(frozen=True, slots=True)
class Chart:
    """A panel with lines."""

    title: str
    unit: str
    series: Sequence[Series]


@dataclass(frozen=True, slots=True)
class Stat:
    """A panel with figures, each with what it is called."""

    title: str
    unit: str
    values: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Table:
    """A panel with rows; `units` are those of columns that have one."""

    title: str
    columns: Sequence[str]
    units: Mapping[str, str]
    rows: Sequence[Mapping[str, str | float]]


class Picture:
    """Panels that are drawn one after the other."""

    def __init__(self, title: str, since: float, until: float) -> None:
        self._title = title
        self._since, self._until = since, until
        self._drawn: list[str] = []
        self._rows = 0

    def stat(self, place: Place, panel: Stat) -> None:
        """Draw figures side by side."""
        left, top, width, height = self._box(place, panel.title)
        shown = panel.values or [("", float("nan"))]
        each = width / len(shown)
        for number, (name, value) in enumerate(shown):
            middle = left + each * (number + 0.5)
            text = written(value, panel.unit) if panel.values else "no data"
            size = 30 if panel.values else 16
            self._text(middle, top + height * 0.66, text, size, "middle", COLOURS[0])
            if len(shown) > 1:
                self._text(middle, top + height - 10, name, 11, "middle")

    def chart(self, place: Place, panel: Chart) -> None:
        """Draw lines over time, and what each is called, with its last and its greatest value."""
        left, top, width, height = self._box(place, panel.title)
        named = [one for one in panel.series if one.told()]
        legend = LEGEND_ROW * min(len(named), LEGEND_MOST + 1)
        x, y = left + MARGIN_LEFT, top + MARGIN_TOP
        right, bottom = left + width - MARGIN_RIGHT, top + height - 35 - legend
        if not named:
            self._text(left + width / 2, top + height / 2, "no data", 16, "middle", "#8e8e8e")
            return
        most = max(value for one in named for _, value in one.told())
        ticks = scale(most, panel.unit)
        for tick in ticks:
            line = bottom - (bottom - y) * tick / ticks[-1]
            self._line(x, line, right, line)
            self._text(x - 6, line + 4, written(tick, panel.unit), 10, "end")
        for part in range(5):
            at = self._since + (self._until - self._since) * part / 4
            when = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
            anchor = ("start", "middle", "middle", "middle", "end")[part]
            self._text(x + (right - x) * part / 4, bottom + 14, when, 10, anchor)
        for number, one in enumerate(named):
            colour = COLOURS[number % len(COLOURS)]
            for run in self._runs(one.told()):
                dots = " ".join(
                    f"{x + (right - x) * (at - self._since) / (self._until - self._since):.1f},"
                    f"{bottom - (bottom - y) * min(max(value, 0), ticks[-1]) / ticks[-1]:.1f}"
                    for at, value in run
                )
                self._drawn.append(
                    f'<polyline points="{dots}" fill="none" stroke="{colour}" stroke-width="1.6" '
                    'stroke-linecap="round" stroke-linejoin="round"/>'
                )
        self._legend(left, bottom + 32, width, named, panel.unit)

    def table(self, place: Place, panel: Table) -> None:
        """Draw rows, as many as fit."""
        left, top, width, height = self._box(place, panel.title)
        if not panel.rows:
            self._text(left + width / 2, top + height / 2, "no data", 16, "middle", "#8e8e8e")
            return
        each = (width - 24) / len(panel.columns)
        for number, column in enumerate(panel.columns):
            self._text(left + 12 + each * number, top + 42, column, 11, weight="bold")
            for at, row in enumerate(panel.rows[: int((height - 60) // 18)]):
                value = row[column]
                text = written(value, panel.units.get(column, "short")) if value != "" else ""
                self._text(left + 12 + each * number, top + 62 + 18 * at, text, 12)

    def svg(self) -> str:
        """The whole picture."""
        height = HEAD + self._rows * ROW + GAP
        when = "{:%Y-%m-%d %H:%M:%S} to {:%H:%M:%S} UTC".format(
            *(datetime.fromtimestamp(one, UTC) for one in (self._since, self._until))
        )
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                f'viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif">',
                f'<rect width="{WIDTH}" height="{height}" fill="#f4f5f5"/>',
                f'<text x="{GAP}" y="30" font-size="20" fill="#24292e">'
                f"{escape(self._title)}</text>",
                f'<text x="{WIDTH - GAP}" y="30" font-size="13" text-anchor="end" '
                f'fill="#6e7781">{when}</text>',
                *self._drawn,
                "</svg>",
                "",
            ]
        )

    def _box(self, place: Place, title: str) -> tuple[float, float, float, float]:
        """A panel's frame and title: where it begins, and how large it is."""
        left, top = GAP + place.x * COLUMN, HEAD + place.y * ROW
        width, height = place.width * COLUMN - GAP, place.height * ROW - GAP
        self._rows = max(self._rows, place.y + place.height)
        self._drawn.append(
            f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="3" fill="#ffffff" '
            'stroke="#d8dadd"/>'
        )
        self._text(left + 12, top + 20, title, 13, weight="bold")
        return left, top, width, height

    def _runs(self, points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
        """The parts of a line between which there was nothing; one point alone is a dot."""
        apart = 3 * min(
            (later[0] - one[0] for one, later in pairwise(points)),
            default=1.0,
        )
        run: list[tuple[float, float]] = []
        for point in points:
            if run and point[0] - run[-1][0] > apart:
                yield _visible(run)
                run = []
            run.append(point)
        yield _visible(run)

    def _legend(
        self, left: float, top: float, width: float, named: Sequence[Series], unit: str
    ) -> None:
        self._text(left + width - 90, top - 1, "last", 10, "end")
        self._text(left + width - 20, top - 1, "max", 10, "end")
        for number, one in enumerate(named[:LEGEND_MOST]):
            line = top + LEGEND_ROW * (number + 1) - 3
            values = [value for _, value in one.told()]
            colour = COLOURS[number % len(COLOURS)]
            self._drawn.append(
                f'<rect x="{left + 14}" y="{line - 6}" width="12" height="3" fill="{colour}"/>'
            )
            room = int((width - 190) // LETTER)
            name = one.name if len(one.name) <= room else f"{one.name[: room - 1]}…"
            self._text(left + 32, line, name or "value", 11)
            self._text(left + width - 90, line, written(values[-1], unit), 11, "end")
            self._text(left + width - 20, line, written(max(values), unit), 11, "end")
        if len(named) > LEGEND_MOST:
            more = f"and {len(named) - LEGEND_MOST} more"
            self._text(left + 32, top + LEGEND_ROW * (LEGEND_MOST + 1) - 3, more, 11)

    def _line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self._drawn.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e4e7eb"/>'
        )

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: int,
        anchor: str = "start",
        colour: str = "#3d434b",
        weight: str = "normal",
    ) -> None:
        self._drawn.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{colour}">{escape(text)}</text>'
        )


def _visible(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return run * 2 if len(run) == 1 else run


def steps(most: float) -> list[float]:
    """Where a scale from 0 has its lines: round numbers, the last of them not below `most`."""
    if most <= 0:
        return [0.0, 1.0]
    power = 10.0 ** floor(log10(most))
    step = next(power * one for one in (0.2, 0.5, 1.0, 2.0, 5.0) if 5 * power * one >= most)
    number = 1
    while step * number < most:
        number += 1
    return [step * one for one in range(number + 1)]


def scale(most: float, unit: str) -> list[float]:
    """The same in steps that are round in the unit in which they are written."""
    units = {"s": SECONDS, "bytes": BYTES}.get(unit, ())
    one = next((least for least, _ in units if most >= least), 1.0)
    return [one * step for step in steps(most / one)]


def written(value: str | float, unit: str) -> str:
    """A value as people read it: `s`, `bytes`, `ops` per second, or `short`."""
    if isinstance(value, str):
        return value
    if not isfinite(value):
        return "-"
    match unit:
        case "s":
            return _scaled(value, SECONDS, " ")
        case "bytes":
            return _scaled(value, BYTES, " ")
        case "ops":
            return f"{_rounded(value)}/s"
        case _:
            return _scaled(value, NUMBERS, "")


def _scaled(value: float, scale: Sequence[tuple[float, str]], between: str) -> str:
    if value == 0:
        return "0"
    for least, name in scale:
        if abs(value) >= least * 0.9995:
            return f"{_rounded(value / least)}{between}{name}"
    return _rounded(value)


def _rounded(value: float) -> str:
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "0" if float(text) == 0 else text
