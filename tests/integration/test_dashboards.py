"""The dashboards ask for what is measured, in words that Prometheus takes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ledger.domain.tally import STATES
from tests.support.exposed import exposed
from tests.support.installed import installed

GRAFANA = Path(__file__).parents[2] / "ops/grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
NAME = re.compile(r"(?<![\w$\"~])([a-z][a-z0-9_]{3,})(?=[\s{\[)]|$)")
LABEL = re.compile(r"(\w+)(?:=~|!=|=)\"")
GROUPED = re.compile(r"\bby \(([^)]*)\)")
WORDS = {"rate", "deriv", "count", "histogram_quantile", "max", "topk"}
"""Of Prometheus's own language, where they look like names."""
CHOSEN = re.compile(r"\$\w+")


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in DASHBOARDS:
        yield file.stem, json.loads(file.read_text(encoding="utf-8"))


def questions() -> Iterator[tuple[str, str]]:
    """Of which panel, and what it asks."""
    for name, content in contents():
        for panel in content["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]


def test_there_is_one_for_each_subject_and_none_has_two_panels_in_one_place() -> None:
    assert {name for name, _ in contents()} == {"agents", "data", "fleet", "ledger", "rollout"}
    assert len({content["uid"] for _, content in contents()}) == len(DASHBOARDS)
    for _, content in contents():
        taken: set[tuple[int, int]] = set()
        assert len({panel["id"] for panel in content["panels"]}) == len(content["panels"])
        for panel in content["panels"]:
            place = panel["gridPos"]
            squares = {
                (place["x"] + right, place["y"] + down)
                for right in range(place["w"])
                for down in range(place["h"])
            }
            assert place["x"] + place["w"] <= 24
            assert not taken & squares, panel["title"]
            assert panel["description"], panel["title"]
            taken |= squares


@pytest.mark.parametrize(("panel", "asked"), list(questions()))
def test_what_a_panel_asks_for_is_measured_under_that_name_with_these_labels(
    panel: str, asked: str
) -> None:
    shown = exposed() | {"up": {"job", "instance"}}
    groups = [label.strip() for one in GROUPED.findall(asked) for label in one.split(",")]
    bare = GROUPED.sub("", asked)
    names = {one for one in NAME.findall(bare) if one not in WORDS} | (
        {"up"} if bare.startswith("count(up") else set()
    )
    assert names, panel
    assert names <= shown.keys(), panel
    labels = {label for name in names for label in shown[name]} | {"job", "instance"}
    assert {*LABEL.findall(bare), *groups} <= labels, panel
    for state in re.findall(r'migration_ledger_state=~"([a-z|]+)"', bare):
        assert set(state.split("|")) <= set(STATES)


def test_what_can_be_chosen_is_a_label_that_is_measured() -> None:
    shown = exposed()
    for name, content in contents():
        offered = {one["name"]: one for one in content["templating"]["list"]}
        used = {found[1:] for _, asked in questions() for found in CHOSEN.findall(asked)}
        for variable in offered.values():
            if variable["type"] == "query":
                said = variable["query"]["query"]
                metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", said).groups()  # type: ignore[union-attr]
                assert label in shown[metric], name
                assert variable["name"] in used


def test_prometheus_takes_every_question(tmp_path: Path) -> None:
    promtool = installed("promtool")
    rules = [
        {"record": f"asked:{number}", "expr": CHOSEN.sub("any", asked)}
        for number, (_, asked) in enumerate(questions())
    ]
    file = tmp_path / "asked.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    ran = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_provisions_them_names_the_folder_and_one_source() -> None:
    provisioned = GRAFANA / "provisioning"
    (provider,) = yaml.safe_load((provisioned / "dashboards/migration-ledger.yaml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
    assert provider["options"]["path"].endswith("/dashboards")
    (source,) = yaml.safe_load((provisioned / "datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)


def test_the_collector_uses_only_what_it_declares() -> None:
    content = yaml.safe_load((GRAFANA.parent / "otel/collector.yaml").read_text())
    for pipeline in content["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= content[part].keys()
    policies = content["processors"]["tail_sampling"]["policies"]
    assert {one["type"] for one in policies} >= {"status_code", "latency"}
    (endpoint,) = (one["endpoint"] for one in content["receivers"]["otlp"]["protocols"].values())
    assert endpoint.startswith("127.0.0.1:")
