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
from uuid import uuid4
from xml.etree import ElementTree

import yaml

from ledger.store.stores import open_stores
from ops.grafana import draw
from tests.support.exposed import exposed
from tests.support.fleet import Fleet
from tests.support.installed import installed
from tests.support.pages import free_port
from tests.support.processes import until
from tests.support.raw_event import NewEvent

OPS = Path(__file__).parents[2] / "ops"
CHOSEN = re.compile(r"\$\w+")
FIRST = "20260101000000"
SECOND = "20260102000000"
NOT_HERE = {
    "agents: How long is waited": "nothing was waited for",
    "agents: What is waited for": "nothing was waited for",
    "data: ": "no data migration runs",
    "ledger: Rollouts that ended": "the one there is has halted",
    "rollout: How long is waited": "nothing was waited for",
}
"""Panels that have nothing to show after what happens here, and why."""
MEASURED = re.compile(r"\bmigration_ledger_[a-z_]+\b(?=[\s{\[)]|$)")
SELECTED = re.compile(r"\{[^}]*\}|\b(?:by|on) \([^)]*\)")
CHANGED_ROW = "UPDATE ledger.fleet_database SET pool = 'x' WHERE database = $1"
RULES = yaml.safe_load((OPS / "alerts/rules.yaml").read_text(encoding="utf-8"))
NOTIFY = """\
[notify.targets.hook]
webhook = "http://127.0.0.1:{}/"
key = "env:HOOK_KEY"
[[notify.routes]]
to = "hook"
"""


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


def beside(fleet: Fleet, audits: int, tells: int) -> None:
    """Start what audits, and what notifies a target that takes nothing, at these ports."""
    file = fleet.folder.parent / "notify.toml"
    file.write_text(NOTIFY.format(free_port()))
    fleet.start_beside("audit", "watch", "--every-h", "0.001", LEDGER_MONITORING_PORT=str(audits))
    said = {"LEDGER_MONITORING_PORT": str(tells), "HOOK_KEY": "k"}
    fleet.start_beside("--config", str(file), "notify", "run", **said)


async def asked_in_vain(asked: Prometheus) -> list[str]:
    """What alerts ask for and Prometheus has not, or has with other labels than are registered."""
    known = exposed()
    lacking = []
    for rule in (rule for group in RULES["groups"] for rule in group["rules"]):
        for name in set(MEASURED.findall(SELECTED.sub("", rule["expr"]))):
            series = await asked.found(name)
            labels = {label for one in series for label in one["metric"]}
            if not series or known[name] - labels:
                lacking.append(f"{rule['alert']}: {name} {sorted(known[name] - labels)}")
    return lacking


async def alerted(asked: Prometheus, *names: str) -> None:
    """Wait until these alerts are pending, or fire."""

    for name in names:

        async def is_alerted(alert: str = f"MigrationLedger{name}") -> bool:
            alerts = (await asked.asked("alerts"))["alerts"]
            return any(one["labels"]["alertname"] == alert for one in alerts)

        await until(is_alerted, f"{name} is noticed")


async def test_rules_and_dashboards_say_what_happened(fleet: Fleet, tmp_path: Path) -> None:
    own, its, audits, tells = (free_port() for _ in range(4))
    fleet.migration(FIRST, "SELECT 1;")
    fleet.migration(SECOND, f"SELECT 1 / (current_database() <> '{fleet.tenants[0].name}')::int;")
    await fleet.ledger("fact", "record", fleet.tenants[0].id, "backup")
    jobs = {
        "migration-ledger": own,
        "migration-ledger-agent": its,
        "migration-ledger-audit": audits,
        "migration-ledger-notify": tells,
    }
    async with prometheus(tmp_path, **jobs) as asked:
        named = str(len(fleet.tenants))
        await fleet.serve(LEDGER_MONITORING_PORT=str(own), LEDGER_MONITORING_NAMED_DATABASES=named)
        fleet.agent(LEDGER_MONITORING_PORT=str(its))
        beside(fleet, audits, tells)

        async def is_scraped() -> bool:
            try:
                return len(await asked.found("up == 1")) == len(jobs)
            except OSError:
                return False

        await until(is_scraped, "all of them are scraped")
        rollout = await fleet.start("--waves", "rest", "--budget", "0")
        await fleet.reached(rollout, "halted")

        await alerted(asked, "RolloutHalted", "DatabasesTroubled", "AttemptsFail")

        async def is_known() -> bool:
            return bool(await asked.found("rate(migration_ledger_attempts_total[5m])"))

        await until(is_known, "there are two samples")
        empty = {panel for panel, asks in questions() if not await asked.found(asks)}
        assert sorted(one for one in empty if not one.startswith(tuple(NOT_HERE))) == []
        assert [one for one in NOT_HERE if not any(panel.startswith(one) for panel in empty)] == []
        assert await asked_in_vain(asked) == []
        groups = (await asked.asked("rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"]: rule["health"] for rule in rules if rule["health"] != "ok"} == {}
        await asyncio.to_thread(
            draw.main,
            [asked.address, "--minutes", "5", "--to", str(tmp_path), "rollout", "fleet", "ledger"],
        )
        drawn = (tmp_path / "dashboard-rollout.svg").read_text(encoding="utf-8")
        assert {"halted", "failed", rollout} <= words_in(drawn)
        assert "polyline" in drawn
        drawn = (tmp_path / "dashboard-fleet.svg").read_text(encoding="utf-8")
        assert {one.id for one in fleet.tenants} | {"troubled", "sql"} <= words_in(drawn)
        drawn = (tmp_path / "dashboard-ledger.svg").read_text(encoding="utf-8")
        assert {"hook", "kept end"} <= words_in(drawn)


async def test_alerts_of_what_should_not_be_are_pending_when_it_is(
    fleet: Fleet, tmp_path: Path
) -> None:
    own, its, audits, tells = (free_port() for _ in range(4))
    jobs = {"migration-ledger": own, "migration-ledger-agent": its}
    beside(fleet, audits, tells)
    await fleet.ledger("status")  # which projects the fleet
    async with prometheus(tmp_path, **jobs, **{"migration-ledger-audit": audits}) as asked:
        await fleet.serve(LEDGER_MONITORING_PORT=str(own))
        fleet.agent(LEDGER_MONITORING_PORT=str(its), WRONG_CLOCK_S="45")
        async with open_stores(fleet.ledger_url) as stores:
            garbled = NewEvent(uuid4(), "DatabaseSuspended", 1, b"garbage", b"{}")
            await stores.log.append("fleet", [garbled])
            await stores.pool.execute(CHANGED_ROW, fleet.tenants[1].id)
        await alerted(asked, "ClockApart", "EventUnreadable", "RecordDiffers")


def words_in(picture: str) -> set[str]:
    """The texts of a picture that is one."""
    return {one.text or "" for one in ElementTree.fromstring(picture).iter()}  # noqa: S314
