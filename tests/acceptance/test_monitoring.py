"""Ledger and agent as probes and Prometheus see them: a rollout, a lost broker, a frozen one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ledger.embedded.kafka import EmbeddedKafka
from tests.acceptance.conftest import RESEND_NEVER
from tests.support.fleet import PASSWORD_VARIABLE, Fleet
from tests.support.pages import asked, free_port
from tests.support.processes import until

FIRST = "20260101000000"
SECOND = "20260102000000"


async def measured(port: int, name: str, **labels: str) -> float:
    """The one value with these labels; `KeyError` where there is none."""
    _, text = await asked(port, "/metrics")
    for line in text.splitlines():
        said, _, value = line.rpartition(" ")
        if said.partition("{")[0] == name and all(
            f'{label}="{told}"' in said for label, told in labels.items()
        ):
            return float(value)
    raise KeyError(f"{name} {labels} in\n{text}")


async def unready(port: int) -> dict[str, Any]:
    """What is not ready by its name, and since when."""
    _, said = await asked(port, "/readyz")
    return {one["name"]: one for one in json.loads(said)["conditions"] if not one["ready"]}


async def test_what_a_rollout_did_is_in_the_numbers_of_ledger_and_agent(
    breakable: Fleet, victim: EmbeddedKafka
) -> None:
    fleet, own, its = breakable, free_port(), free_port()
    fleet.migration(FIRST, "SELECT 1;")
    fleet.migration(SECOND, f"SELECT 1 / (current_database() <> '{fleet.tenants[0].name}')::int;")
    await fleet.serve(LEDGER_MONITORING_PORT=str(own), **RESEND_NEVER)
    assert (await asked(own, "/healthz")) == (200, "ok\n")
    agent = fleet.agent(LEDGER_MONITORING_PORT=str(its))

    async def is_ready() -> bool:
        statuses = {(await asked(port, "/readyz"))[0] for port in (own, its)}
        return statuses == {200}

    await until(is_ready, "both are ready")
    rollout = await fleet.start("--waves", "rest", "--budget", "0")
    await fleet.reached(rollout, "halted")

    async def is_counted() -> bool:
        told = {"migration_ledger_rollout_id": rollout, "migration_ledger_state": "failed"}
        try:
            failed = await measured(own, "migration_ledger_rollout_databases", **told)
        except KeyError:
            return False
        return failed == 1

    await until(is_counted, "the failure is counted")
    attempts, up = "migration_ledger_attempts_total", {"cicd_pipeline_task_name": "up"}
    assert await measured(own, attempts, **up, cicd_pipeline_task_run_result="done") == 5
    failed = {**up, "cicd_pipeline_task_run_result": "failed", "error_type": "sql"}
    assert await measured(own, attempts, **failed) == 1
    assert await measured(own, "migration_ledger_agents", migration_ledger_pool=fleet.pool) == 1
    budget = {"migration_ledger_rollout_id": rollout}
    assert await measured(own, "migration_ledger_rollout_budget_used", **budget) == 1
    took = "migration_ledger_attempt_duration_seconds_count"
    # An agent measures each delivery: on a slow machine a command is sent again before its answer.
    assert await measured(its, took, cicd_pipeline_task_run_result="success") >= 5
    assert await measured(its, took, cicd_pipeline_task_run_result="failure") >= 1
    assert await measured(its, "migration_ledger_agent_concurrency") == 16
    for port in (own, its):
        _, text = await asked(port, "/metrics")
        assert "process_resident_memory_bytes" in text
        assert fleet.env[PASSWORD_VARIABLE] not in text
        assert fleet.tenants[0].name not in text

    await asyncio.to_thread(victim.kill)

    async def is_unready() -> bool:
        return set(await unready(own)) == {"broker"}

    await until(is_unready, "the ledger says that the broker is gone")
    assert (await asked(own, "/healthz")) == (200, "ok\n")
    assert (await asked(its, "/healthz")) == (200, "ok\n")
    agent.freeze()
    assert (await asked(its, "/healthz", within_s=1.0))[0] == 0
    agent.thaw()
    await asyncio.to_thread(victim.start)
    await until(is_ready, "both are ready again")
