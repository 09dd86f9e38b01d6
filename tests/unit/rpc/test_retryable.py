"""``error.retryable`` comes from the table that decides what is repeated."""

from __future__ import annotations

import grpc
import pytest

from flamepy.rpc.retry.classifier import TABLE, Failure, Verdict
from flamepy.rpc.transport.status import Call, from_result, from_status

CODES = (
    ("UNAVAILABLE", "no healthy upstream"),
    ("UNAVAILABLE", "Socket closed"),
    ("UNAVAILABLE", "failed to connect to all addresses"),
    *((name, "x") for name in ("RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED", "INTERNAL")),
    *((name, "x") for name in ("INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED")),
    ("INTERNAL", "database is locked"),
    ("RESOURCE_EXHAUSTED", "message length too large"),
)


@pytest.mark.parametrize("call", TABLE)
@pytest.mark.parametrize(("code", "text"), CODES)
def test_it_says_what_the_table_says(call: str, code: str, text: str) -> None:
    error = from_status(grpc.StatusCode[code], text, Call(call, endpoint="http://x:1"))
    assert error.failure is not None
    repeated = TABLE[call][Failure(error.failure)] is Verdict.REPEAT
    assert error.retryable == repeated


def retryable(call: str, code: str, text: str = "x") -> bool:
    return from_status(grpc.StatusCode[code], text, Call(call)).retryable


def test_reads_may_be_repeated_and_writes_of_unknown_fate_not() -> None:
    for code in ("RESOURCE_EXHAUSTED", "ABORTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"):
        assert retryable("GetSession", code)
        assert not retryable("CreateTask", code)
    assert retryable("CreateTask", "UNAVAILABLE", "failed to connect to all addresses")
    assert not retryable("GetSession", "INVALID_ARGUMENT")


def test_a_busy_session_can_be_closed_later() -> None:
    text = "Cannot close session with running tasks"
    assert retryable("CloseSession", "INVALID_ARGUMENT", text)
    assert from_result(text, Call("CloseSession")).retryable
