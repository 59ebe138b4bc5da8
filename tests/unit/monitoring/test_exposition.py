"""What Prometheus reads, whatever is asked for and whatever a label says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client.parser import text_string_to_metric_families

from ledger.monitoring.exposition import Exposition, expose

HOSTILE = 'a"b\n\\c{}#,=}\u2028 1.0'
ASKED = (
    "",
    "*/*",
    "text/plain;version=0.0.4;q=nan",
    "application/openmetrics-text",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.3",
    "application/openmetrics-text;version=abc",
    "application/openmetrics-text;version=1.0.0;escaping=nothing",
    "application/openmetrics-text;version=" + "9" * 400,
    "text/plain;version=1.x",
    ";;;=;,,,",
    "a" * 9000,
)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exposition]:
    """What writes down one measurement whose label is hostile."""
    provider = MeterProvider(shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    write = expose("migration-ledger", "0")
    provider.get_meter("test").create_gauge("hostile").set(7, {"told": HOSTILE})
    yield write
    provider.shutdown()


@pytest.mark.parametrize("accept", ASKED)
def test_whatever_form_is_asked_for_there_is_an_answer(said: Exposition, accept: str) -> None:
    body, media_type = said(accept)
    assert media_type.startswith(("text/plain;", "application/openmetrics-text;"))
    assert b"\nhostile{" in body


def test_a_label_that_has_quotes_and_lines_is_read_as_it_was_told(said: Exposition) -> None:
    body, _ = said("text/plain")
    families = {one.name: one for one in text_string_to_metric_families(body.decode())}
    (sample,) = families["hostile"].samples
    assert (sample.labels, sample.value) == ({"told": HOSTILE}, 7)
