"""Answers of proxies and of strangers: the error, the cause and the way out, in our words."""

from __future__ import annotations

import grpc
import pytest

from flamepy.errors import (
    FlameError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.transport.status import Call, from_status

CALL = Call("CreateTask", "http://engine:8080", "s")


@pytest.mark.parametrize(
    ("status", "code", "kind", "failure", "words"),
    [
        (401, grpc.StatusCode.UNAUTHENTICATED, UnauthenticatedError, Failure.REFUSED, "cert_file"),
        (403, grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError, Failure.REFUSED, "allow"),
        (413, grpc.StatusCode.UNKNOWN, ResourceExhaustedError, Failure.TOO_LARGE, "7000000 bytes"),
        (413, grpc.StatusCode.INTERNAL, ResourceExhaustedError, Failure.TOO_LARGE, "object cache"),
        (429, grpc.StatusCode.UNAVAILABLE, UnavailableError, Failure.UNAVAILABLE, "less often"),
        (502, grpc.StatusCode.UNAVAILABLE, UnavailableError, Failure.UNAVAILABLE, "is the engine"),
        (503, grpc.StatusCode.UNAVAILABLE, UnavailableError, Failure.UNAVAILABLE, "no engine"),
        (504, grpc.StatusCode.UNAVAILABLE, UnavailableError, Failure.UNAVAILABLE, "time limit"),
    ],
)
def test_an_http_status_is_an_error_with_a_cause_and_a_way_out(
    status: int, code: grpc.StatusCode, kind: type[FlameError], failure: Failure, words: str
) -> None:
    text = f"Received http2 header with status: {status}"
    error = from_status(code, text, CALL, size=7_000_000)
    assert type(error) is kind
    assert error.failure == failure.value
    assert words in error.message
    assert f"HTTP status {status}" in error.message
    assert "CreateTask at http://engine:8080" in error.message
    assert "http2 header" not in error.message


def test_a_web_server_is_told_from_an_engine_and_not_waited_for() -> None:
    text = (
        "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:80: Failed "
        "parsing HTTP/2 (Expected SETTINGS frame as the first frame, got frame type {})"
    )
    for frame, words in ((79, "HTTP/1"), (80, "HTTP/1"), (45, "another kind")):
        error = from_status(grpc.StatusCode.UNAVAILABLE, text.format(frame), CALL)
        assert words in error.message
        assert "frame type" not in error.message
        assert error.failure == Failure.REFUSED.value
        assert not error.retryable


def test_a_silent_port_is_named_as_such_and_waited_for() -> None:
    text = (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: connection "
        "attempt timed out before receiving SETTINGS frame"
    )
    error = from_status(grpc.StatusCode.UNAVAILABLE, text, CALL)
    assert "sends nothing" in error.message
    assert error.failure == Failure.NOT_SENT.value
    assert error.retryable


def test_another_status_keeps_grpcs_words() -> None:
    text = "Received http2 header with status: 418"
    assert text in from_status(grpc.StatusCode.UNKNOWN, text, CALL).message
