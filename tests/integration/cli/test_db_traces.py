"""What `ledger db` waits for is in its traces, below the command and the migration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ledger.cli.app.exits import ExitCode
from tests.integration.migrations.world import session
from tests.support.program import StartLedger

GROWN = "-- +migrate Up\nALTER TABLE parcels ADD note text;\n"


async def test_a_wait_for_a_lock_is_a_span_of_the_command_that_waited(
    start_ledger: StartLedger, migrations: Path, database: str, tmp_path: Path
) -> None:
    traces = tmp_path / "traces.jsonl"
    variables = {
        "DATABASE_URL": database,
        "OTEL_TRACES_EXPORTER": "otlp_json_file",
        "OTEL_EXPORTER_OTLP_JSON_FILE_PATH": str(traces),
    }
    first = await (await start_ledger("db", "up", **variables)).end()
    assert first.code == ExitCode.OK, first.err
    assert "lock wait" not in {span["name"] for span in spans_in(traces)}
    traces.unlink()
    (migrations / "3_grown.sql").write_text(GROWN)
    async with session(database, "BEGIN", "LOCK TABLE parcels IN ACCESS SHARE MODE") as busy:
        started = await start_ledger("db", "up", "--lock-timeout", "60", **variables)
        await started.says("waiting: ")
        await busy.execute("ROLLBACK")
        ended = await started.end()
    assert ended.code == ExitCode.OK, ended.err
    spans = {span["name"]: span for span in spans_in(traces)}
    wait, migrate, command = spans["lock wait"], spans["migrate 3 up"], spans["ledger db up"]
    assert wait["parentSpanId"] == migrate["spanId"]
    assert migrate["parentSpanId"] == command["spanId"]
    (said,) = wait["attributes"]
    assert said["key"] == "migration_ledger.lock"
    assert said["value"]["stringValue"] == "AccessExclusiveLock on public.parcels"
    assert int(wait["endTimeUnixNano"]) > int(wait["startTimeUnixNano"])


def spans_in(path: Path) -> list[dict[str, Any]]:
    """All of them, of all lines of the file."""
    return [
        span
        for line in path.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
