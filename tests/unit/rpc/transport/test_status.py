"""Every refusal that engines were recorded to give becomes the error that callers catch."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from flamepy import errors
from flamepy.errors import FlameError, FlameErrorCode, TlsError
from flamepy.rpc.transport.status import Call, from_result, from_status

RESULT = "return code -1"

# (call, gRPC code or RESULT, text, error); texts as recorded on fs, none and sqlite storage.
CASES: list[tuple[str, str, str, type[FlameError]]] = [
    # Engines after 0.6 (docs/protocol.md#dialects); nobody has recorded one.
    *(
        ("OpenSession", "INVALID_ARGUMENT", text, errors.InvalidStateError)
        for text in ("application echo is disabled", "application default/echo is disabled")
    ),
    ("CreateSession", "NOT_FOUND", "workspace team-a", errors.NotFoundError),
    ("OpenSession", "NOT_FOUND", "workspace team-a", errors.NotFoundError),
    ("GetTask", "NOT_FOUND", "task default/s1/7", errors.TaskNotFoundError),
    ("GetTask", "NOT_FOUND", "session default/s1", errors.SessionNotFoundError),
    ("WatchTask", "NOT_FOUND", "session is closed", errors.SessionClosedError),
    ("WatchTask", "NOT_FOUND", "session task watch closed", errors.SessionClosedError),
    (
        "RegisterApplication",
        RESULT,
        "Application 'app-a' already exists",
        errors.AlreadyExistsError,
    ),
    (
        "RegisterApplication",
        RESULT,
        "failed to register application: error returned from database: (code: 1555) UNIQUE "
        "constraint failed: applications.name",
        errors.AlreadyExistsError,
    ),
    (
        "RegisterApplication",
        "INVALID_ARGUMENT",
        "applilcation spec is missed",
        errors.InvalidArgumentError,
    ),
    (
        "RegisterApplication",
        "INVALID_ARGUMENT",
        "working_directory must be an absolute path, got: rel/dir",
        errors.InvalidArgumentError,
    ),
    (
        "RegisterApplication",
        "INVALID_ARGUMENT",
        "invalid input schema: EOF while parsing an object at line 1 column 1",
        errors.InvalidArgumentError,
    ),
    (
        "RegisterApplication",
        "INVALID_ARGUMENT",
        "invalid output schema: 5 is not valid under any of the schemas listed in the 'anyOf' "
        "keyword",
        errors.InvalidArgumentError,
    ),
    (
        "RegisterApplication",
        "INVALID_ARGUMENT",
        "invalid common data schema: EOF while parsing a value at line 1 column 0",
        errors.InvalidArgumentError,
    ),
    *(
        ("RegisterApplication", RESULT, text, errors.InvalidArgumentError)
        for text in (
            "application name cannot be empty",
            "application name exceeds maximum length of 253 characters",
            "application name contains invalid characters (path traversal): a/b",
            "application name contains invalid characters (path traversal): a..b",
            "application name contains invalid characters (path traversal): a\\b",
            "application name cannot start with '.' or '-': .a",
            "application name cannot start with '.' or '-': -a",
            "application name contains invalid characters (only alphanumeric, '-', '_', '.' "
            "allowed): a b",
            "application name contains invalid characters (only alphanumeric, '-', '_', '.' "
            "allowed): ü",
        )
    ),
    *(
        (call, code, text, errors.ApplicationNotFoundError)
        for call, code, text in (
            (
                "GetApplication",
                "NOT_FOUND",
                "Application nope not found: No such file or directory (os error 2)",
            ),
            ("GetApplication", "NOT_FOUND", "application <nope>"),
            ("GetApplication", "NOT_FOUND", "application <nope> not found"),
            (
                "UpdateApplication",
                RESULT,
                "Application nope not found: No such file or directory (os error 2)",
            ),
            ("UpdateApplication", RESULT, "application <nope>"),
            (
                "UpdateApplication",
                RESULT,
                "failed to update application: no rows returned by a query that expected to "
                "return at least one row",
            ),
            (
                "UnregisterApplication",
                RESULT,
                "Failed to delete application 'app-a': No such file or directory (os error 2)",
            ),
            (
                "CreateSession",
                "NOT_FOUND",
                "Application no-such-app not found: No such file or directory (os error 2)",
            ),
            (
                "OpenSession",
                "NOT_FOUND",
                "Application no-such-app not found: No such file or directory (os error 2)",
            ),
            (
                "CreateSession",
                "INTERNAL",
                "error returned from database: (code: 1299) NOT NULL constraint failed: "
                "sessions.application",
            ),
            (
                "OpenSession",
                "INTERNAL",
                "error returned from database: (code: 1299) NOT NULL constraint failed: "
                "sessions.application",
            ),
        )
    ),
    *(
        (call, RESULT, text, errors.InvalidStateError)
        for call, text in (
            ("UpdateApplication", "Cannot update application 'app-a': has open sessions"),
            ("UpdateApplication", "1 open sessions in the application"),
            ("UnregisterApplication", "Cannot unregister application 'app-a': has open sessions"),
            ("UnregisterApplication", "1 open sessions in the application"),
        )
    ),
    ("GetNode", "NOT_FOUND", "node <nope> not found", errors.NotFoundError),
    ("CreateSession", "INVALID_ARGUMENT", "session spec", errors.InvalidArgumentError),
    ("CreateTask", "INVALID_ARGUMENT", "session spec", errors.InvalidArgumentError),
    ("CreateSession", "ALREADY_EXISTS", "Session 's1' already exists", errors.AlreadyExistsError),
    (
        "CreateSession",
        "INTERNAL",
        "error returned from database: (code: 1555) UNIQUE constraint failed: sessions.id",
        errors.AlreadyExistsError,
    ),
    *(
        (call, "NOT_FOUND", text, errors.SessionNotFoundError)
        for call, text in (
            ("GetSession", "app-a-s1"),
            ("GetSession", "zzz"),
            ("GetSession", "s1"),
            ("GetSession", "r1"),
            ("OpenSession", "Session zzz not found"),
            ("OpenSession", "session <zzz>"),
            ("OpenSession", "session <s1>"),
            ("OpenSession", "session <zzz> not found"),
            ("CloseSession", "session <zzz>"),
            ("DeleteSession", "session <s1>"),
            ("CreateTask", "Session zzz not found: No such file or directory (os error 2)"),
            ("CreateTask", "zzz"),
            ("CreateTask", "r1"),
            ("GetTask", "zzz"),
            ("GetTask", "r1"),
            ("ListTask", "zzz"),
        )
    ),
    (
        "CreateTask",
        "INTERNAL",
        "error returned from database: (code: 1299) NOT NULL constraint failed: tasks.ssn_id",
        errors.SessionNotFoundError,
    ),
    *(
        ("OpenSession", "INVALID_ARGUMENT", f"session <s1> spec mismatch: {text}", kind)
        for kind in (errors.InvalidArgumentError,)
        for text in (
            "min_instances differs (expected 0, got 1)",
            "max_instances differs (expected Some(2), got Some(9))",
            "max_instances differs (expected Some(2), got None)",
            "priority differs (expected 3, got 1)",
            "application differs (expected 'echo', got 'other')",
            "resreq differs (expected Some(ResourceRequirement { cpu: 1, memory: 268435456, "
            "gpu: 0 }), got Some(ResourceRequirement { cpu: 2, memory: 268435456, gpu: 0 }))",
            "resreq differs (expected Some(ResourceRequirement { cpu: 1, memory: 268435456, "
            "gpu: 0 }), got Some(ResourceRequirement { cpu: 1, memory: 1073741824, gpu: 0 }))",
        )
    ),
    *(
        (call, "INVALID_ARGUMENT", text, errors.SessionClosedError)
        for call, text in (
            ("OpenSession", "Session s1 is not open"),
            ("OpenSession", "session <s1> is not open"),
            ("CreateTask", "Cannot create task in closed session"),
        )
    ),
    ("DeleteSession", "INTERNAL", "Cannot delete open session", errors.InvalidStateError),
    ("DeleteSession", "INTERNAL", "2 open tasks in the session", errors.InvalidStateError),
    (
        "DeleteSession",
        "INTERNAL",
        "failed to close session: no rows returned by a query that expected to return at least "
        "one row",
        errors.InvalidStateError,
    ),
    (
        "CloseSession",
        "INTERNAL",
        "Cannot close session with running tasks",
        errors.SessionBusyError,
    ),
    (
        "CreateTask",
        "OUT_OF_RANGE",
        "Error, decoded message length too large: found 4194319 bytes, the limit is: 4194304 bytes",
        errors.ResourceExhaustedError,
    ),
    ("GetTask", "INVALID_ARGUMENT", "invalid task id", errors.InvalidArgumentError),
    ("WatchTask", "INVALID_ARGUMENT", "invalid task id", errors.InvalidArgumentError),
    ("GetTask", "NOT_FOUND", "1", errors.TaskNotFoundError),
    ("GetTask", "NOT_FOUND", "-1", errors.TaskNotFoundError),
    ("WatchTask", "UNAVAILABLE", "Stream removed (Socket closed)", errors.UnavailableError),
    (
        "GetSession",
        "UNAVAILABLE",
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:8080: Failed to "
        "connect to remote host: Connection refused",
        errors.UnavailableError,
    ),
]


def translate(call: str, code: str, text: str) -> FlameError:
    bare = re.fullmatch(r"-?\d+", text) is not None
    asked = Call(call, "http://h:8080", "t1" if bare else text, text if bare else "1")
    if code == RESULT:
        return from_result(text, asked)
    return from_status(grpc.StatusCode[code], text, asked)


@pytest.mark.parametrize(("call", "code", "text", "error"), CASES)
def test_a_recorded_refusal_becomes_its_error(
    call: str, code: str, text: str, error: type[FlameError]
) -> None:
    got = translate(call, code, text)
    assert type(got) is error
    assert got.code is error.default_code
    assert text in got.message or got.message.endswith("not found")


def recorded() -> Iterator[tuple[str, str, str]]:
    folder = Path(os.environ.get("FLAME_GOLDEN") or "no-recordings")
    for path in sorted(folder.glob("*/*.json")):
        if path.name == "cache.json":
            continue  # the object cache's errors are Arrow Flight's
        for step in json.loads(path.read_text())["steps"]:
            yield from refusals(step)


def refusals(step: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    status = step.get("status") or step.get("end") or {"code": "OK"}
    response = step.get("response")
    if status["code"] not in ("OK", "still open"):
        yield step["call"], status["code"], status["message"]
    elif isinstance(response, dict) and response.get("return_code"):
        yield step["call"], RESULT, response["message"]


@pytest.mark.skipif(not os.environ.get("FLAME_GOLDEN"), reason="FLAME_GOLDEN is not set")
def test_the_table_above_has_every_recorded_refusal() -> None:
    known = {(call, code, text) for call, code, text, _ in CASES}
    seen = set(recorded())
    assert len(seen) > 50
    assert seen <= known


def answers(storage: str, scenario: str) -> dict[tuple[str, str, int], type[FlameError] | None]:
    """Return each call of a recording, with the error that a caller gets, or None."""
    path = Path(os.environ["FLAME_GOLDEN"]) / storage / f"{scenario}.json"
    seen: Counter[tuple[str, str]] = Counter()
    found: dict[tuple[str, str, int], type[FlameError] | None] = {}
    for step in json.loads(path.read_text())["steps"]:
        if "call" not in step:
            continue
        request = step.get("request") or {}
        key = (step["call"], json.dumps(request, sort_keys=True))
        seen[key] += 1
        if not isinstance(request, dict):
            request = {}  # a size, told in words
        task = request.get("task") or {}
        session_id = request.get("session_id") or task.get("session_id")
        asked = Call(step["call"], "http://h:8080", session_id, request.get("task_id"))
        found[(*key, seen[key])] = None
        for _, code, text in refusals(step):
            got = (
                from_result(text, asked)
                if code == RESULT
                else from_status(grpc.StatusCode[code], text, asked)
            )
            found[(*key, seen[key])] = type(got)
    return found


# What no client can tell apart: the storage says the same of two mistakes.
ALIKE = {
    # sqlite, of a task for an unknown and for a closed session: NOT NULL constraint ... ssn_id;
    # ``rpc.requests.frontend`` then looks at the session.
    frozenset({errors.SessionClosedError, errors.SessionNotFoundError}),
}


@pytest.mark.skipif(not os.environ.get("FLAME_GOLDEN"), reason="FLAME_GOLDEN is not set")
@pytest.mark.parametrize(
    "scenario",  # all but ``scheduling``, which has no call, and ``cache``, on fs only
    [
        *("applications", "cancelled", "cluster", "restart", "service", "sessions", "sizes"),
        "tasks",
    ],
)
def test_the_same_mistake_is_the_same_error_on_all_three_storages(scenario: str) -> None:
    recorded = [answers(storage, scenario) for storage in ("fs", "none", "sqlite")]
    common = set(recorded[0]) & set(recorded[1]) & set(recorded[2])
    assert common
    for key in sorted(common):
        refused = {one[key] for one in recorded} - {None}
        assert len(refused) <= 1 or refused in ALIKE, (key, refused)


class TestRules:
    def test_the_text_wins_over_the_code(self) -> None:
        locked = translate("CreateTask", "INTERNAL", "error: database is locked")
        assert isinstance(locked, errors.UnavailableError)
        assert locked.retryable
        assert not translate("CreateTask", "INTERNAL", "something else").retryable

    def test_an_unknown_text_falls_back_to_the_code(self) -> None:
        assert isinstance(translate("GetTask", "INTERNAL", "?"), errors.InternalError)
        denied = translate("GetTask", "PERMISSION_DENIED", "no")
        assert isinstance(denied, errors.PermissionDeniedError)
        assert denied.grpc_code == "PERMISSION_DENIED"

    def test_an_unknown_result_is_internal_with_its_text(self) -> None:
        got = from_result("disk full", Call("RegisterApplication"))
        assert type(got) is errors.InternalError
        assert got.message == "disk full"

    def test_what_is_missing_is_named_where_the_engine_only_sends_the_id(self) -> None:
        gone = from_status(grpc.StatusCode.NOT_FOUND, "7", Call("GetTask", "", "s1", "7"))
        assert gone.message == "session 's1' has no task 7"

    def test_an_unreachable_engine_is_named_with_the_reason(self) -> None:
        got = translate("GetSession", "UNAVAILABLE", "Connection refused")
        assert "http://h:8080" in got.message
        assert "Connection refused" in got.message

    def test_a_mismatch_of_tls_says_so(self) -> None:
        call = Call("ListNodes", "https://h:1")
        got = from_status(
            grpc.StatusCode.UNAVAILABLE, "Ssl handshake failed: WRONG_VERSION_NUMBER", call
        )
        assert isinstance(got, TlsError)
        assert "TLS mismatch" in got.message
        plain = from_status(
            grpc.StatusCode.UNAVAILABLE, "Socket closed", Call("ListNodes", "http://h:1")
        )
        assert "does the engine expect TLS" in plain.message

    def test_a_tls_file_that_is_none_says_so(self) -> None:
        got = from_status(
            grpc.StatusCode.UNAVAILABLE,
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to "
            "create security handshaker.",
            Call("ListNodes", "https://h:1"),
        )
        assert isinstance(got, TlsError)
        assert "tls.ca_file" in got.message

    def test_a_wrong_service_says_which_port_to_use(self) -> None:
        got = translate("ListNodes", "UNIMPLEMENTED", "Method not found!")
        assert "is it the engine's frontend?" in got.message

    def test_a_deadline_is_a_timeout_error(self) -> None:
        got = translate("GetTask", "DEADLINE_EXCEEDED", "Deadline Exceeded")
        assert isinstance(got, TimeoutError)
        assert got.code is FlameErrorCode.DEADLINE_EXCEEDED
