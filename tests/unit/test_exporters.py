"""Traces in a file, as OTLP/JSON, and what is said where they cannot go anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.trace import SpanKind

from ledger import exporters

TRACED = """
from ledger import exporters, telemetry
close = exporters.configure("migration-ledger", "1")
with telemetry.command_span("ledger up"), telemetry.span_of("plan"):
    pass
close()
"""


def test_spans_become_lines_of_otlp_json(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    provider = exporters.provider_of(
        "migration-ledger", "1", exporters.file_exporter(path), at_once=True
    )
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("ledger up", kind=SpanKind.INTERNAL) as above:
        tracer.start_span("plan", attributes={"n": 2**40}).end()
    first, second = map(json.loads, path.read_text().splitlines())
    (resource,) = first["resourceSpans"]
    assert {
        "key": "service.name",
        "value": {"stringValue": "migration-ledger"},
    } in resource["resource"]["attributes"]
    (plan,) = resource["scopeSpans"][0]["spans"]
    context = above.get_span_context()
    assert plan["name"] == "plan"
    # As OTLP/JSON has it: ids in hexadecimal, enumerations as numbers, 64 bits as texts.
    assert plan["traceId"] == f"{context.trace_id:032x}"
    assert plan["parentSpanId"] == f"{context.span_id:016x}"
    assert plan["kind"] == 1
    assert plan["attributes"] == [{"key": "n", "value": {"intValue": str(2**40)}}]
    (above_it,) = second["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert above_it["spanId"] == plan["parentSpanId"]


@pytest.mark.parametrize("named", [True, False], ids=["a named file", "the default"])
def test_one_variable_has_a_program_write_them_without_any_collector(
    tmp_path: Path, named: bool
) -> None:
    env = {"OTEL_TRACES_EXPORTER": "otlp_json_file", "PATH": "/usr/bin:/bin"}
    path = tmp_path / ("mine.jsonl" if named else exporters.FILE_DEFAULT)
    if named:
        env[exporters.FILE_VARIABLE] = str(path)
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", TRACED],
        env={**env, "PYTHONPATH": root},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("", "")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    (line,) = map(json.loads, path.read_text().splitlines())
    spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["name"] for span in spans] == ["plan", "ledger up"]
    assert spans[0]["parentSpanId"] == spans[1]["spanId"]


def test_a_file_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = exporters.file_exporter(tmp_path / "missing" / "traces.jsonl")
    provider = exporters.provider_of("migration-ledger", "1", exporter, at_once=True)
    for _ in range(3):
        provider.get_tracer("test").start_span("plan").end()
    (told,) = caplog.messages
    assert exporters.FILE_VARIABLE in told


def test_an_exporter_that_is_not_offered_is_told_with_those_that_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "otlp_json_file",
    }
    exporters.configure("test", "0", environ)()
    assert "write otlp or otlp_json_file or none" in caplog.text
    assert "OTEL_METRICS_EXPORTER=otlp_json_file is not offered here" in caplog.text


def test_a_program_is_called_as_the_standard_variables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    told = exporters.resource_of("migration-ledger", "1").attributes
    assert (told["service.name"], told["service.version"]) == ("migration-ledger", "1")
    assert told["deployment.environment.name"] == "prod"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ledger-eu")
    assert exporters.resource_of("migration-ledger", "1").attributes["service.name"] == "ledger-eu"
