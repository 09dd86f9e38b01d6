"""A stand-in for an OpenTelemetry collector: it receives OTLP over HTTP and keeps it.

As a program it prints its endpoint, serves until its standard input ends, and prints what it got as
JSON: a list of spans, names of metrics, and bodies of log records.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

SERVICES: dict[str, tuple[Any, Any]] = {
    "/v1/traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
    "/v1/logs": (ExportLogsServiceRequest, ExportLogsServiceResponse),
}


class Collector:
    """Serves on a free port from its making until ``close``; ``busy`` requests get a 503 first."""

    def __init__(self, busy: int = 0) -> None:
        self.busy = busy
        self.refused = 0
        self._guard = threading.Lock()
        self.bodies: list[bytes] = []  # of accepted requests, uncompressed
        self._received: dict[str, list[Any]] = {path: [] for path in SERVICES}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status, reply = collector.take(self.path, body)
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Keep one request; return status and reply."""
        with self._guard:
            if self.busy:
                self.busy, self.refused = self.busy - 1, self.refused + 1
                return 503, b""
            self.bodies.append(body)
            request, reply = SERVICES[path]
            self._received[path].append(request.FromString(body))
        return 200, reply().SerializeToString()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> list[dict[str, Any]]:
        """Return every span, as often as it came."""
        return list(self._spans())

    def _spans(self) -> Iterator[dict[str, Any]]:
        for request in self._copy("/v1/traces"):
            for resource in request.resource_spans:
                service = _attributes(resource.resource.attributes).get("service.name")
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield {
                            "service": service,
                            "scope": scope.scope.name,
                            "trace": span.trace_id.hex(),
                            "span": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "name": span.name,
                            "start": span.start_time_unix_nano,
                            "end": span.end_time_unix_nano,
                            "links": [one.trace_id.hex() for one in span.links],
                            "attributes": _attributes(span.attributes),
                        }

    def metrics(self) -> set[str]:
        """Return the names of the metrics."""
        return {
            metric.name
            for request in self._copy("/v1/metrics")
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def logs(self) -> list[dict[str, Any]]:
        """Return the log records."""
        return [
            {"body": one.body.string_value, "event": one.event_name, "trace": one.trace_id.hex()}
            for request in self._copy("/v1/logs")
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for one in scope.log_records
        ]

    def _copy(self, path: str) -> list[Any]:
        with self._guard:
            return list(self._received[path])


def _attributes(given: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in given}


def main() -> None:
    """Serve until standard input ends, then print what came."""
    collector = Collector()
    print(collector.endpoint, flush=True)
    sys.stdin.read()
    collector.close()
    found = {
        "spans": collector.spans(),
        "metrics": sorted(collector.metrics()),
        "logs": collector.logs(),
    }
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main()
