"""The engine's calls without this library's client: a channel and the generated messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc

from flamepy._proto import frontend_pb2
from flamepy.wire.services import FRONTEND, OLD_NAMES, RENAMED

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Stubs:
    """One method per call: ``stubs.GetTask(task_id="1", session_id="s")``.

    Args:
        endpoint: of the engine.
        timeout: seconds of each call.
        newer: the engine is one after 0.6: its names are used for those of 0.6.
    """

    def __init__(self, endpoint: str, *, timeout: float = 10.0, newer: bool = False) -> None:
        self.newer = newer
        self.channel = grpc.insecure_channel(endpoint.removeprefix("http://"), options=OPTIONS)
        self.timeout = timeout

    def __getattr__(self, name: str) -> Any:
        old = OLD_NAMES.get(name, name)
        method = RENAMED[old] if old in RENAMED and (self.newer or old != name) else FRONTEND[name]
        kind = self.channel.unary_stream if method.streams else self.channel.unary_unary
        call = kind(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

        def invoke(request: Any = None, **fields: Any) -> Any:
            return call(request or method.request(**fields), timeout=self.timeout)

        setattr(self, name, invoke)
        return invoke

    def watch_tasks(self, requests: Iterator[frontend_pb2.WatchTaskRequest]) -> Any:
        """Call WatchTasks, of engines after 0.6, with a stream of requests."""
        method = RENAMED["WatchTask"]
        call = self.channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return call(requests, timeout=self.timeout)

    def __enter__(self) -> Stubs:
        return self

    def __exit__(self, *error: object) -> None:
        self.channel.close()
