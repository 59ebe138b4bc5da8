"""A Prometheus as it is installed: it scrapes ledger and agent, and takes rules and dashboards."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from ops.grafana import draw
from tests.support.fleet import Fleet
from tests.support.installed import installed
from tests.support.pages import free_port
from tests.support.processes import until

OPS = Path(__file__).parents[2] / "ops"
CHOSEN = re.compile(r"\$\w+")
FIRST = "20260101000000"
SECOND = "20260102000000"
NOT_HERE = {
    "agents: How long is waited": "nothing was waited for",
    "agents: What is waited for": "nothing was waited for",
    "data: ": "no data migration runs",
    "fleet: Oldest backup": "nobody has recorded one",
    "ledger: Rollouts that ended": "the one there is has halted",
    "ledger: Where the record differs": "nobody audits",
    "ledger: Notifications that wait": "nobody notifies",
    "rollout: How long is waited": "nothing was waited for",
}
"""Panels that have nothing to show after what happens here, and why."""


class Prometheus:
    """One that answers."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self._url = f"{self.address}/api/v1"

    async def asked(self, what: str, **words: str) -> Any:
        """What its API says to a question."""

        def ask() -> Any:
            url = f"{self._url}/{what}?{urllib.parse.urlencode(words)}"
            with urllib.request.urlopen(url, timeout=10) as said:  # noqa: S310
                return json.loads(said.read())["data"]

        return await asyncio.to_thread(ask)

    async def found(self, expression: str) -> list[Any]:
        """The series that an expression has now."""
        found: list[Any] = (await self.asked("query", query=expression))["result"]
        return found


@asynccontextmanager
async def prometheus(folder: Path, **jobs: int) -> AsyncIterator[Prometheus]:
    """One with the rules and the jobs of `ops/alerts`, at these ports."""
    program = installed("prometheus")
    config = yaml.safe_load((OPS / "alerts/scrape.yaml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(OPS / "alerts" / one) for one in config["rule_files"]]
    config["scrape_configs"] = [one for one in config["scrape_configs"] if one["job_name"] in jobs]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{jobs[job['job_name']]}"]}]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    running = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Prometheus(port)
    finally:
        running.kill()
        await running.wait()


def questions() -> Iterator[tuple[str, str]]:
    """Each panel of the dashboards, and what it asks with everything chosen."""
    for file in sorted((OPS / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", CHOSEN.sub(".*", target["expr"])


async def test_rules_and_dashboards_say_what_happened(fleet: Fleet, tmp_path: Path) -> None:
    own, its = free_port(), free_port()
    fleet.migration(FIRST, "SELECT 1;")
    fleet.migration(SECOND, f"SELECT 1 / (current_database() <> '{fleet.tenants[0].name}')::int;")
    jobs = {"migration-ledger": own, "migration-ledger-agent": its}
    async with prometheus(tmp_path, **jobs) as asked:
        named = str(len(fleet.tenants))
        await fleet.serve(LEDGER_MONITORING_PORT=str(own), LEDGER_MONITORING_NAMED_DATABASES=named)
        fleet.agent(LEDGER_MONITORING_PORT=str(its))

        async def is_scraped() -> bool:
            try:
                return len(await asked.found("up == 1")) == 2
            except OSError:
                return False

        await until(is_scraped, "ledger and agent are scraped")
        rollout = await fleet.start("--waves", "rest", "--budget", "0")
        await fleet.reached(rollout, "halted")

        async def is_alerted() -> bool:
            alerts = (await asked.asked("alerts"))["alerts"]
            wanted = {"RolloutHalted", "DatabasesTroubled", "AttemptsFail"}
            return {f"MigrationLedger{one}" for one in wanted} <= {
                one["labels"]["alertname"] for one in alerts
            }

        await until(is_alerted, "the halt is noticed")

        async def is_known() -> bool:
            return bool(await asked.found("rate(migration_ledger_attempts_total[5m])"))

        await until(is_known, "there are two samples")
        empty = {panel for panel, asks in questions() if not await asked.found(asks)}
        assert sorted(one for one in empty if not one.startswith(tuple(NOT_HERE))) == []
        assert [one for one in NOT_HERE if not any(panel.startswith(one) for panel in empty)] == []
        groups = (await asked.asked("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"]: rule["health"] for rule in rules if rule["health"] != "ok"} == {}
        await asyncio.to_thread(
            draw.main, [asked.address, "--minutes", "5", "--to", str(tmp_path), "rollout", "fleet"]
        )
        drawn = (tmp_path / "dashboard-rollout.svg").read_text(encoding="utf-8")
        assert {"halted", "failed", rollout} <= words_in(drawn)
        assert "polyline" in drawn
        drawn = (tmp_path / "dashboard-fleet.svg").read_text(encoding="utf-8")
        assert {one.id for one in fleet.tenants} | {"troubled", "sql"} <= words_in(drawn)


def words_in(picture: str) -> set[str]:
    """The texts of a picture that is one."""
    return {one.text or "" for one in ElementTree.fromstring(picture).iter()}  # noqa: S314
