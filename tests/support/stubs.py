"""The engine's calls without this library's client: a channel and the generated messages."""

from __future__ import annotations

from typing import Any

import grpc

from flamepy.wire.services import FRONTEND

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Stubs:
    """One method per call: ``stubs.GetTask(task_id="1", session_id="s")``."""

    def __init__(self, endpoint: str, *, timeout: float = 10.0) -> None:
        self.channel = grpc.insecure_channel(endpoint.removeprefix("http://"), options=OPTIONS)
        self.timeout = timeout

    def __getattr__(self, name: str) -> Any:
        method = FRONTEND[name]
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

    def __enter__(self) -> Stubs:
        return self

    def __exit__(self, *error: object) -> None:
        self.channel.close()
