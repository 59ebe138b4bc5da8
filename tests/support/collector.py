"""An OpenTelemetry collector for one test: takes spans over OTLP/HTTP and keeps them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

KINDS = {
    WireSpan.SPAN_KIND_INTERNAL: "INTERNAL",
    WireSpan.SPAN_KIND_SERVER: "SERVER",
    WireSpan.SPAN_KIND_CLIENT: "CLIENT",
    WireSpan.SPAN_KIND_PRODUCER: "PRODUCER",
    WireSpan.SPAN_KIND_CONSUMER: "CONSUMER",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A span as it arrived; ids in hexadecimal, `links` are (trace, span)."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, str | int]
    failed: bool

    def is_linked_to(self, other: Span) -> bool:
        """Whether one of its links leads to `other`."""
        return (other.trace, other.id) in self.links

    def is_child_of(self, other: Span) -> bool:
        """Whether it is in the same trace, below `other`."""
        return (self.trace, self.parent) == (other.trace, other.id)


@dataclass
class Collector:
    """What has arrived at `endpoint`."""

    endpoint: str = ""
    spans: list[Span] = field(default_factory=list)

    def named(self, name: str) -> list[Span]:
        """The spans of this name."""
        return [span for span in self.spans if span.name == name]

    def one(self, wanted: Callable[[Span], bool]) -> Span:
        """The only span that is wanted."""
        found = [span for span in self.spans if wanted(span)]
        assert len(found) == 1, f"{len(found)} spans of {sorted({s.name for s in self.spans})}"
        return found[0]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens on loopback until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                collector.spans += spans_in(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not worth a line on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="collector")
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spans_in(request: ExportTraceServiceRequest) -> Iterator[Span]:
    """The spans of one export."""
    for resource in request.resource_spans:
        about = {one.key: _value(one.value) for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(str(about["service.name"]), span)


def _span(service: str, span: WireSpan) -> Span:
    return Span(
        service=service,
        name=span.name,
        kind=KINDS[span.kind],
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        attributes={one.key: _value(one.value) for one in span.attributes},
        failed=span.status.code == 2,
    )


def _value(value: AnyValue) -> str | int:
    return value.int_value if value.HasField("int_value") else value.string_value
