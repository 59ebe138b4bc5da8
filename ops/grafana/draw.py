"""Draws the dashboards without Grafana: each panel's own questions, asked of a Prometheus.

    python -m ops.grafana.draw http://127.0.0.1:9090 [--minutes 15] [--ago 5] [NAME ...]

One picture per dashboard, `dashboard-NAME.svg`. Panels stand where the dashboard puts them and show
what Prometheus answers to what Grafana would ask, with everything chosen that can be chosen.
Colours and letters are not Grafana's: a picture shows what is on a dashboard, not how it is
painted.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.grafana.picture import Chart, Picture, Place, Series, Stat, Table

DASHBOARDS = Path(__file__).parent / "dashboards"
PICTURES = Path(__file__).parents[1] / "manual" / "pictures"
POINTS = 240
"""Of one line, as many as a panel has pixels to tell apart."""
CHOSEN = re.compile(r"\$\w+")
LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")
TIMEOUT_S = 10.0

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that answers at `url`; `since` and `until` are in seconds since 1970."""

    url: str
    since: float
    until: float

    def lines(self, expression: str) -> list[tuple[Labels, list[tuple[float, float]]]]:
        """How what is asked for went from then until then."""
        step = max((self.until - self.since) / POINTS, 1.0)
        found = self._ask("query_range", expression, start=self.since, end=self.until, step=step)
        return [
            (one["metric"], [(float(at), float(value)) for at, value in one["values"]])
            for one in found
        ]

    def values(self, expression: str) -> list[tuple[Labels, float]]:
        """What is asked for, at the end."""
        found = self._ask("query", expression, time=self.until)
        return [(one["metric"], float(one["value"][1])) for one in found]

    def _ask(self, what: str, expression: str, **when: float) -> list[Any]:
        said = urllib.parse.urlencode({"query": CHOSEN.sub(".*", expression), **when})
        address = f"{self.url}/api/v1/{what}?{said}"
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as page:  # noqa: S310
            answer: list[Any] = json.load(page)["data"]["result"]
        return answer


def draw(dashboard: Mapping[str, Any], asked: Prometheus) -> str:
    """The picture of a dashboard, as SVG."""
    picture = Picture(str(dashboard["title"]), asked.since, asked.until)
    for panel in dashboard["panels"]:
        where = panel["gridPos"]
        place = Place(where["x"], where["y"], where["w"], where["h"])
        unit = panel["fieldConfig"]["defaults"].get("unit", "short")
        match panel["type"]:
            case "stat":
                picture.stat(place, Stat(panel["title"], unit, _values(panel, asked)))
            case "timeseries":
                picture.chart(place, Chart(panel["title"], unit, _series(panel, asked)))
            case "table":
                picture.table(place, _table(panel, asked))
            case other:
                raise ValueError(f"panel {panel['title']!r} is a {other}, which is not drawn")
    return picture.svg()


def _values(panel: Mapping[str, Any], asked: Prometheus) -> list[tuple[str, float]]:
    return [
        (_name(target["legendFormat"], labels), value)
        for target in panel["targets"]
        for labels, value in asked.values(target["expr"])
    ]


def _series(panel: Mapping[str, Any], asked: Prometheus) -> list[Series]:
    return [
        Series(_name(target["legendFormat"], labels), points)
        for target in panel["targets"]
        for labels, points in asked.lines(target["expr"])
    ]


def _table(panel: Mapping[str, Any], asked: Prometheus) -> Table:
    """The answers side by side, as the panel's transformations say: one row per database."""
    rows: dict[str, dict[str, str | float]] = {}
    key = ""
    for target in panel["targets"]:
        for labels, value in asked.values(target["expr"]):
            key = key or next(iter(labels), "")
            row = rows.setdefault(labels.get(key, ""), {})
            row |= labels
            row[f"Value #{target['refId']}"] = value
    organised = panel["transformations"][-1]["options"]
    columns = organised["renameByName"]
    units = {
        one["matcher"]["options"]: one["properties"][0]["value"]
        for one in panel["fieldConfig"]["overrides"]
    }
    order = panel["options"]["sortBy"][0]["displayName"]
    shown = [{told: row.get(name, "") for name, told in columns.items()} for row in rows.values()]
    shown.sort(key=lambda row: float(row[order] or 0), reverse=True)
    return Table(panel["title"], list(columns.values()), units, shown)


def _name(legend: str, labels: Labels) -> str:
    """What Grafana would write beside it."""
    if legend in ("", "__auto"):
        return ", ".join(f"{name}={value}" for name, value in labels.items())
    return LABEL.sub(lambda found: labels.get(found[1], ""), legend).strip()


def main(given: Sequence[str] | None = None) -> None:
    """Draw those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="where Prometheus answers")
    parser.add_argument("names", nargs="*", help="dashboards; all of them, if none is named")
    parser.add_argument("--minutes", type=float, default=15.0, help="how far back")
    parser.add_argument("--ago", type=float, default=0.0, help="minutes ago that it ends")
    parser.add_argument("--to", type=Path, default=PICTURES, help="the folder of the pictures")
    options = parser.parse_intermixed_args(given)
    until = time.time() - 60 * options.ago
    asked = Prometheus(options.url.rstrip("/"), until - 60 * options.minutes, until)
    for file in sorted(DASHBOARDS.glob("*.json")):
        if not options.names or file.stem in options.names:
            picture = draw(json.loads(file.read_text(encoding="utf-8")), asked)
            (options.to / f"dashboard-{file.stem}.svg").write_text(picture, encoding="utf-8")
            print(options.to / f"dashboard-{file.stem}.svg")


if __name__ == "__main__":
    main()
