"""The table of docs/retry.md: each cell, as written there and as acted on."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path

import grpc
import pytest

from flamepy.errors import FlameError, FlameErrorCode
from flamepy.rpc.retry.call_limits import Terms
from flamepy.rpc.retry.classifier import TABLE, Failure, Verdict, classify, may_cut
from flamepy.rpc.retry.retrier import Retrier
from flamepy.rpc.transport.status import Call, from_result, from_status
from flamepy.types import RetryPolicy
from flamepy.wire.services import FRONTEND

ROOT = Path(__file__).parents[4]
QUICK = RetryPolicy(attempts=4, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0)

# R repeat, L look first, . never; in the order of Failure.
EXPECTED = {
    "RegisterApplication": "RLLLLLRL......",
    "UpdateApplication": "RLLLLLRL......",
    "UnregisterApplication": "RLLLLLRL......",
    "GetApplication": "RRRRRRRRR.....",
    "ListApplication": "RRRRRRRR......",
    "ListExecutor": "RRRRRRRR......",
    "ListNodes": "RRRRRRRR......",
    "GetNode": "RRRRRRRR......",
    "CreateSession": "RLLLLLRLR.....",
    "OpenSession": "RRRRRRRRR.....",
    "CloseSession": "RLLLLLRL......",
    "DeleteSession": "RLLLLLRL......",
    "GetSession": "RRRRRRRR......",
    "ListSession": "RRRRRRRR......",
    "CreateTask": "RLLLLLRL......",
    "GetTask": "RRRRRRRR......",
    "ListTask": "RRRRRRRR......",
    "WatchTask": "RRRRRRRR......",
    "PutObject": "RRRRRRRR......",
    "UpdateObject": "RLLLLLRL......",
    "PatchObject": "RLLLLLRL......",
    "GetObject": "RRRRRRRR......",
    "DeleteObjects": "RRRRRRRR......",
    "ListObjects": "RRRRRRRR......",
}
OBJECTS = {one for one in EXPECTED if "Object" in one}
CELLS = [
    (call, failure, letter)
    for call, row in EXPECTED.items()
    for failure, letter in zip(Failure, row, strict=True)
]


def failed(failure: Failure) -> FlameError:
    error = FlameError(FlameErrorCode.INTERNAL, failure.value)
    error.failure = failure.value
    return error


def test_every_call_of_the_engine_has_a_row() -> None:
    assert set(TABLE) == set(FRONTEND) | OBJECTS == set(EXPECTED)


@pytest.mark.parametrize(("call", "failure", "letter"), CELLS, ids=lambda one: str(one))
def test_a_cell(call: str, failure: Failure, letter: str) -> None:
    """What is done after one failure: made again, looked up and made again, or raised."""
    done: list[str] = []

    async def attempt(left: float) -> str:
        done.append("try")
        if done.count("try") == 1:
            raise failed(failure)
        return "answer"

    async def resolve(error: FlameError, left: float) -> str | None:
        assert error.failure == failure.value
        done.append("look")
        return None

    async def go() -> str:
        return await Retrier(QUICK).run(call, Terms(QUICK, 5.0, 5.0), attempt, resolve)

    if letter == ".":
        with pytest.raises(FlameError):
            asyncio.run(go())
        assert done == ["try"]
    else:
        assert asyncio.run(go()) == "answer"
        assert done == (["try", "try"] if letter == "R" else ["try", "look", "try"])
    meaning = {"R": Verdict.REPEAT, "L": Verdict.RESOLVE, ".": Verdict.NEVER}
    assert TABLE[call][failure] is meaning[letter]


def test_the_page_is_printed_from_the_table() -> None:
    printed = runpy.run_path(str(ROOT / "scripts" / "print_retry_table.py"))["printed"]
    page = (ROOT / "docs" / "retry.md").read_text()
    assert printed(page) == page
    assert "| CreateTask | repeat | resolve |" in page


C = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "text", "failure"),
    [
        (C.UNAVAILABLE, "failed to connect to all addresses; last error: refused", "not sent"),
        (C.UNAVAILABLE, "DNS resolution failed for x:1: unknown", "not sent"),
        (C.UNAVAILABLE, "failed to connect to all addresses; recvmsg: reset", "not sent"),
        (C.UNAVAILABLE, "Socket closed", "connection lost"),
        (C.UNAVAILABLE, "Stream removed (recvmsg:Connection reset by peer)", "connection lost"),
        (C.UNAVAILABLE, "GOAWAY received", "connection lost"),
        (C.UNAVAILABLE, "max connection age", "connection lost"),
        (C.UNAVAILABLE, "upstream connect error: connection refused", "unavailable"),
        (C.UNAVAILABLE, "Received http2 header with status: 503", "unavailable"),
        (C.UNAVAILABLE, "failed to connect ...: CERTIFICATE_VERIFY_FAILED", "TLS"),
        (C.UNAVAILABLE, "failed to connect ...: WRONG_VERSION_NUMBER", "TLS"),
        (C.UNAVAILABLE, "failed to connect ...: Failed to create security handshaker.", "TLS"),
        (C.DEADLINE_EXCEEDED, "Deadline Exceeded", "deadline"),
        (C.CANCELLED, "Timeout expired", "deadline"),
        (C.CANCELLED, "", "internal or unknown"),
        (C.RESOURCE_EXHAUSTED, "quota", "resource exhausted"),
        (C.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)", "too large"),
        (C.OUT_OF_RANGE, "Error, decoded message length too large: found 5 bytes", "too large"),
        (C.ABORTED, "", "aborted"),
        (C.INTERNAL, "from database: (code: 5) database is locked", "database is locked"),
        (C.INTERNAL, "(code: 517) database is locked", "database is locked"),
        (C.UNKNOWN, "database is locked", "database is locked"),
        (C.INTERNAL, "Cannot close session with running tasks", "running tasks"),
        (C.INTERNAL, "mutex ptr", "mutex ptr"),
        (C.INTERNAL, "No space left on device", "internal or unknown"),
        (C.INTERNAL, "Received RST_STREAM with error code 2", "connection lost"),
        (C.UNKNOWN, "", "internal or unknown"),
        (C.INTERNAL, "UNIQUE constraint failed: sessions.id", "any other answer"),
        (C.INTERNAL, "Cannot delete open session", "any other answer"),
        (C.NOT_FOUND, "x", "any other answer"),
        (C.INVALID_ARGUMENT, "x", "any other answer"),
        (C.UNIMPLEMENTED, "x", "any other answer"),
        (C.PERMISSION_DENIED, "x", "any other answer"),
    ],
)  # fmt: skip
def test_a_status_falls_into_its_column(code: grpc.StatusCode, text: str, failure: str) -> None:
    assert from_status(code, text, Call("DeleteSession")).failure == failure


def test_a_result_is_an_answer_unless_the_database_was_locked() -> None:
    call = Call("RegisterApplication")
    assert from_result("anything", call).failure == "any other answer"
    assert from_result("database is locked", call).failure == "database is locked"
    assert classify(None, "mutex ptr") is Failure.BROKEN


def test_a_fork_cuts_what_may_be_repeated() -> None:
    cut = {call for call in TABLE if may_cut(call)}
    assert cut == {call for call, row in EXPECTED.items() if row[1] == "R"}
