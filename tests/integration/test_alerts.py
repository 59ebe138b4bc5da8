"""The alerts: each fires for what it is about and is silent otherwise, as Prometheus judges it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from agents.job import JobPhase
from ledger.domain.states import Status
from migrations.model.attempt import Verdict
from tests.support.exposed import exposed
from tests.support.installed import installed

ROOT = Path(__file__).parents[2]
RULES = ROOT / "ops/alerts/rules.yaml"
RUNBOOK = ROOT / "ops/runbooks/alerts.md"
SEVERITIES = {"page", "ticket"}
MEASURED = re.compile(r"\bmigration_ledger_[a-z_]+\b(?=[\s{\[)]|$)")

VALUES: Final[dict[str, set[str]]] = {
    "migration_ledger_rollouts": set(Status),
    "migration_ledger_rollout_age_seconds": set(Status),
    "migration_ledger_agent_jobs_age_seconds": set(JobPhase),
    "migration_ledger_attempts_total": set(Verdict),
}
"""Of the labels that alerts choose by."""
LEADS = "migration_ledger_leader_leading"
STATE, POOL, ROLLOUT, TARGET = (
    "migration_ledger_state",
    "migration_ledger_pool",
    "migration_ledger_rollout_id",
    "migration_ledger_target",
)
ATTEMPTS = "migration_ledger_attempts_total"
FAILED = f'{ATTEMPTS}{{cicd_pipeline_task_run_result="failed",error_type="sql"}}'
DONE = f'{ATTEMPTS}{{cicd_pipeline_task_run_result="done"}}'
AGE = "migration_ledger_rollout_age_seconds"
JOBS = "migration_ledger_agent_jobs_age_seconds"
LAG_AGE = "migration_ledger_projection_lag_age_seconds"
AUDITED = "migration_ledger_audited"
STATEMENT = 'migration_ledger_agent_statement_age_seconds{migration_ledger_pool="eu"}'
WAITING = f'migration_ledger_orders_unanswered{{{POOL}="eu"}}'
AGENTS = f'migration_ledger_agents{{{POOL}="eu"}}'
USED = f'migration_ledger_rollout_budget_used{{{ROLLOUT}="r1"}}'
BUDGET = f'migration_ledger_rollout_budget{{{ROLLOUT}="r1"}}'


class Case(NamedTuple):
    """Series by name as promtool writes them, a sample each minute; when is looked, in minutes."""

    fires: dict[str, str]
    silent: dict[str, str]
    after: int = 10


def of_state(metric: str, state: str) -> str:
    """A series of this state, with whatever other labels the metric has."""
    labels = dict.fromkeys(sorted(exposed()[metric]), "it") | {STATE: state}
    said = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric}{{{said}}}"


CASES: Final = {
    "MigrationLedgerNoLeader": Case({LEADS: "1 1 0x20"}, {LEADS: "1x20"}),
    "MigrationLedgerTwoLeaders": Case(
        {f'{LEADS}{{instance="{one}"}}': "1x20" for one in "ab"},
        # One of them has noticed that it was replaced.
        {f'{LEADS}{{instance="{one}"}}': f"{number}x20" for number, one in enumerate("ab")},
    ),
    "MigrationLedgerCountsStale": Case(
        {"migration_ledger_counted_age_seconds": "0+60x20"},
        {"migration_ledger_counted_age_seconds": "12x20"},
    ),
    "MigrationLedgerRolloutHalted": Case(
        {of_state("migration_ledger_rollouts", "halted"): "0 1x20"},
        {of_state("migration_ledger_rollouts", "paused"): "1x20"},
    ),
    "MigrationLedgerRolloutForgotten": Case(
        {of_state(AGE, "paused"): "86000+60x20"}, {of_state(AGE, "running"): "90000+60x20"}, 20
    ),
    "MigrationLedgerBudgetNearlySpent": Case(
        {USED: "4x20", BUDGET: "5x20"}, {USED: "3x20", BUDGET: "5x20"}
    ),
    "MigrationLedgerAttemptsFail": Case({FAILED: "0 0 0 1x20"}, {FAILED: "7x20"}),
    # Of its sort it was the first.
    "MigrationLedgerAttemptsFail, first": Case({FAILED: "_ _ _ 1x20"}, {FAILED: "_ _ _ 0x20"}),
    "MigrationLedgerFailuresBurn": Case(
        {FAILED: "0+2x90", DONE: "0+10x90"},
        # It was so for five minutes, and not for an hour.
        {FAILED: "0x80 2 4 6 8 10", DONE: "0+10x90"},
        85,
    ),
    "MigrationLedgerFailuresBurnSlowly": Case(
        {FAILED: "0+1x500", DONE: "0+12x500"},
        # It was so for half an hour, and not for six.
        {FAILED: "0x360 0+1x40", DONE: "0+12x500"},
        395,
    ),
    "MigrationLedgerStatementSlow": Case(
        # The attempt is as old in both; in one its statements are young.
        {STATEMENT: "0+60x20"},
        {STATEMENT: "40x20", of_state(JOBS, "running"): "0+60x20"},
        7,
    ),
    "MigrationLedgerStatementStuck": Case({STATEMENT: "0+60x20"}, {STATEMENT: "550x20"}, 12),
    "MigrationLedgerAttemptStuck": Case(
        {of_state(JOBS, "connecting"): "0+60x20"}, {of_state(JOBS, "queued"): "0+60x20"}, 12
    ),
    "MigrationLedgerLockWait": Case(
        {of_state(JOBS, "waiting"): "0+60x20"}, {of_state(JOBS, "waiting"): "290x20"}
    ),
    "MigrationLedgerNoAgent": Case(
        {WAITING: "3x20", AGENTS: "0x20"}, {WAITING: "0x20", AGENTS: "0x20"}
    ),
    "MigrationLedgerOrderUnanswered": Case(
        {f'migration_ledger_orders_unanswered_age_seconds{{{POOL}="eu"}}': "3500+60x20"},
        {f'migration_ledger_orders_unanswered_age_seconds{{{POOL}="eu"}}': "60x20"},
    ),
    "MigrationLedgerOrdersWait": Case(
        {"migration_ledger_orders_unsent_age_seconds": "0+60x20"},
        {"migration_ledger_orders_unsent_age_seconds": "0 50 0 70 0 50 0 0 0 0 0 70 0"},
    ),
    "MigrationLedgerReportsUntaken": Case(
        {"migration_ledger_reports_untaken_age_seconds": "0+60x20"},
        {"migration_ledger_reports_untaken_age_seconds": "90x20"},
    ),
    "MigrationLedgerReportsWait": Case(
        {f'migration_ledger_agent_reports_waiting{{{POOL}="eu"}}': "1x20"},
        {f'migration_ledger_agent_reports_waiting{{{POOL}="eu"}}': "1 0 5 0 9 0 1 0 4 0 2"},
    ),
    "MigrationLedgerProjectionLags": Case(
        # Few events, and they do not come.
        {"migration_ledger_projection_lag": "9x20", LAG_AGE: "0+60x20"},
        {"migration_ledger_projection_lag": "4000x20", LAG_AGE: "3x20"},
    ),
    "MigrationLedgerClockApart": Case(
        {f'migration_ledger_agents_clock_apart_seconds{{{POOL}="eu"}}': "40x20"},
        {f'migration_ledger_agents_clock_apart_seconds{{{POOL}="eu"}}': "2x20"},
    ),
    "MigrationLedgerEventUnreadable": Case(
        {"migration_ledger_log_unreadable": "1x20"}, {"migration_ledger_log_unreadable": "0x20"}
    ),
    "MigrationLedgerNotificationsFail": Case(
        {f'migration_ledger_notifications_failing_seconds{{{TARGET}="hook"}}': "600+60x20"},
        {f'migration_ledger_notifications_failing_seconds{{{TARGET}="hook"}}': "0+60x10 0x10"},
        20,
    ),
    "MigrationLedgerDatabasesDrifted": Case(
        {"migration_ledger_databases_drifted": "1x30"},
        {"migration_ledger_databases_drifted": "1x5 0x25"},
        20,
    ),
    "MigrationLedgerDatabasesUnreachable": Case(
        {"migration_ledger_databases_unreachable": "3x30"},
        {"migration_ledger_databases_unreachable": "3x10 0x20"},
        20,
    ),
    "MigrationLedgerBackupOld": Case(
        {f'migration_ledger_databases_backup_age_seconds{{{POOL}="eu"}}': "172000+60x40"},
        {f'migration_ledger_databases_backup_age_seconds{{{POOL}="eu"}}': "90000+60x40"},
        35,
    ),
    "MigrationLedgerRecordDiffers": Case(
        {
            f'migration_ledger_audit_differences{{{AUDITED}="{one}"}}': number
            for one, number in (("chain", "0x20"), ("rows", "0 0 3x20"))
        },
        {
            f'migration_ledger_audit_differences{{{AUDITED}="{one}"}}': "0x20"
            for one in ("chain", "kept end", "rows")
        },
    ),
    "MigrationLedgerAuditOld": Case(
        {"migration_ledger_audit_age_seconds": "172500+60x20"},
        {"migration_ledger_audit_age_seconds": "0+60x20"},
    ),
    "MigrationLedgerDatabasesTroubled": Case(
        {"migration_ledger_databases_troubled": "2x90"},
        # Somebody was at it within the hour.
        {"migration_ledger_databases_troubled": "2x30 0x5 2x30"},
        70,
    ),
}


def alerts() -> list[dict[str, Any]]:
    found = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def test_every_alert_has_a_case_and_every_case_an_alert() -> None:
    assert {one["alert"] for one in alerts()} == {name.partition(",")[0] for name in CASES}


def test_each_fires_for_what_it_is_about_and_is_silent_otherwise(tmp_path: Path) -> None:
    promtool = installed("promtool")
    tests = []
    for name, case in CASES.items():
        alert = name.partition(",")[0]
        tests.append(judged(alert, case.fires, case.after, fires=True))
        tests.append(judged(alert, case.silent, case.after, fires=False))
    file = tmp_path / "alerts.yaml"
    said = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(said))
    ran = subprocess.run(
        [promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["ops/alerts/scrape.yaml", "ops/docker/prometheus.yaml"])
def test_the_configuration_for_prometheus_is_one(tmp_path: Path, name: str) -> None:
    promtool = installed("promtool")
    for file in (RULES, ROOT / name):
        shutil.copy(file, tmp_path)
    ran = subprocess.run(
        [promtool, "check", "config", str(tmp_path / Path(name).name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def judged(alert: str, series: dict[str, str], after: int, *, fires: bool) -> dict[str, Any]:
    """A test of promtool: whether anything of this alert fires then."""
    fired = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0 or vector(0)'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": fired,
                "eval_time": f"{after}m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
        ],
    }


@pytest.mark.parametrize("alert", alerts(), ids=lambda one: one["alert"])
def test_what_an_alert_asks_for_is_measured_under_that_name_with_these_labels_and_values(
    alert: dict[str, Any],
) -> None:
    shown, asked = exposed(), alert["expr"]
    bare = re.sub(r"\{[^}]*\}|\b(?:by|on) \([^)]*\)", "", asked)
    names = set(MEASURED.findall(bare))
    assert names
    assert names <= shown.keys()
    for name, selected in re.findall(r"(\w+)\{([^}]*)\}", asked):
        for label, values in re.findall(r'(\w+)=~?"([^"]*)"', selected):
            assert label in shown[name]
            assert set(values.split("|")) <= VALUES[name]
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", asked)
    used = {label.strip() for one in grouped for label in one.split(",")}
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
    assert used | named <= {label for name in names for label in shown[name]}
    if grouped and " by " in asked:
        assert named <= used, "what is not grouped by is not there to be named"


def test_the_series_of_a_case_have_labels_that_are_measured() -> None:
    shown = exposed()
    for case in CASES.values():
        for series in case.fires | case.silent:
            name, _, labels = series.partition("{")
            assert set(re.findall(r'(\w+)="', labels)) - {"instance"} <= shown[name], series


@pytest.mark.parametrize("alert", alerts(), ids=lambda one: one["alert"])
def test_an_alert_says_how_bad_it_is_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    page, _, section = alert["annotations"]["runbook_url"].partition("#")
    assert ROOT / page == RUNBOOK
    headings = re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
    assert section in anchors


@pytest.mark.parametrize("alert", alerts(), ids=lambda one: one["alert"])
def test_what_is_reckoned_is_told_in_numbers_that_people_read(alert: dict[str, Any]) -> None:
    """How much a counter grew is no whole number: Prometheus reckons up to the edges."""
    said = " ".join(alert["annotations"].values())
    if re.search(r"\b(increase|rate|delta|avg)\b|_seconds", alert["expr"]):
        assert not re.search(r"\{\{ *\$value *(\| *humanize *)?\}\}", said)


def test_every_section_of_the_runbook_is_that_of_an_alert_and_says_what_to_look_at_and_do() -> None:
    text, _, shown = RUNBOOK.read_text(encoding="utf-8").partition("## What the commands show")
    assert shown
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    wanted = {one["annotations"]["runbook_url"].partition("#")[2] for one in alerts()}
    anchors = set()
    for section in sections:
        title, _, rest = section.partition("\n")
        anchors.add(re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"))
        means, look, do, wake = (
            part.strip() for part in re.split(r"```(?:sh)?\n|\*\*Wake\*\*", rest)
        )
        assert all((means, look, do, wake)), title
        assert re.match(r"ledger(-agent)? ", look), title
    assert anchors == wanted
