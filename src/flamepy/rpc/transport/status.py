"""What an engine's refusal means: gRPC status or return code to a ``FlameError``, in one table.

Engines of different storage say the same with different codes (docs/protocol.md#errors), so the
text decides first and the code second. This is the only place that translates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import grpc
import grpc.aio

from flamepy.errors import (
    AlreadyExistsError,
    ApplicationNotFoundError,
    DeadlineExceededError,
    FlameError,
    FlameErrorCode,
    InternalError,
    InvalidArgumentError,
    InvalidStateError,
    NotFoundError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SessionBusyError,
    SessionClosedError,
    SessionNotFoundError,
    TaskNotFoundError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
)
from flamepy.rpc.retry.classifier import Failure, classify, is_retryable
from flamepy.rpc.transport import http_status
from flamepy.rpc.transport.retry_info import NEVER, retry_delay
from flamepy.rpc.transport.ways_out import register
from flamepy.texts import repr_of


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, for messages and for texts that are only an id."""

    name: str
    endpoint: str = ""
    session_id: str | None = None
    task_id: str | None = None
    peer: str = "the engine"
    application: str | None = None
    request: object = field(default=None, repr=False)  # for interceptors: see ``OutgoingCall``


@dataclass(frozen=True, slots=True)
class _Rule:
    text: re.Pattern[str]
    error: type[FlameError]
    calls: frozenset[str] = frozenset()


def _rule(text: str, error: type[FlameError], *calls: str) -> _Rule:
    return _Rule(re.compile(text), error, frozenset(calls))


# First match wins. Texts of the fs, none and sqlite storages.
RULES: tuple[_Rule, ...] = (
    _rule(r"database is locked", UnavailableError),
    _rule(r"Cannot close session with running tasks", SessionBusyError),
    _rule(r"UNIQUE constraint failed: (sessions\.id|applications\.name)", AlreadyExistsError),
    _rule(r"NOT NULL constraint failed: sessions\.application", ApplicationNotFoundError),
    # sqlite says the same of an unknown and of a closed session; "not found" is the safe reading.
    _rule(r"NOT NULL constraint failed: tasks\.ssn_id", SessionNotFoundError),
    _rule(r"^(Session|Application) '.*' already exists$", AlreadyExistsError),
    _rule(r"^[Ss]ession .* is not open$", SessionClosedError),
    _rule(r"^Cannot create task in closed session$", SessionClosedError),
    _rule(r"^[Ss]ession .* spec mismatch: ", InvalidArgumentError),
    _rule(r"has open sessions$|open sessions in the application$", InvalidStateError),
    _rule(
        r"^Cannot delete |open tasks in the session$|^failed to close session: no rows",
        InvalidStateError,
        "DeleteSession",
    ),
    _rule(r"^[Aa]pplication .* is (not enabled|disabled)$", InvalidStateError),
    _rule(r"^[Aa]pplication <.*>( not found)?$", ApplicationNotFoundError),
    _rule(r"^Application .* not found", ApplicationNotFoundError),
    _rule(r"no rows returned by a query", ApplicationNotFoundError, "UpdateApplication"),
    _rule(r"^Failed to delete application '.*': No such file", ApplicationNotFoundError),
    _rule(r"^application name ", InvalidArgumentError),
    _rule(r"^[Ss]ession <?.*>? not found|^session <.*>$", SessionNotFoundError),
    # Engines after 0.6, with and without workspaces.
    _rule(r"^task [^/ ]+/[^/ ]+/[^/ ]+$", TaskNotFoundError),
    _rule(r"^session [^/ ]+/[^/ ]+$", SessionNotFoundError),
    _rule(r"^workspace \S+$", NotFoundError),
    _rule(r"^session is closed$|^session task watch closed$", SessionClosedError),
    _rule(r"message length too large|larger than max", ResourceExhaustedError),
    _rule(r"^object <.*> not found", ObjectNotFoundError),
    _rule(r"^object .* larger than the cache's memory|maximum delta count", ResourceExhaustedError),
)

_BY_CODE: dict[grpc.StatusCode, type[FlameError]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.OUT_OF_RANGE: ResourceExhaustedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.FAILED_PRECONDITION: InvalidStateError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
}

_NEEDS_APPLICATION = frozenset({"CreateSession", "OpenSession", "UpdateApplication"})
_NOT_FOUND_CALLS: dict[str, type[NotFoundError]] = {
    "GetApplication": ApplicationNotFoundError,
    "GetSession": SessionNotFoundError,
    "OpenSession": SessionNotFoundError,
    "CloseSession": SessionNotFoundError,
    "DeleteSession": SessionNotFoundError,
    "ListTask": SessionNotFoundError,
    "CreateTask": SessionNotFoundError,
    "GetObject": ObjectNotFoundError,
    "PatchObject": ObjectNotFoundError,
}


def from_status(
    code: grpc.StatusCode, text: str, call: Call, *, size: int | None = None
) -> FlameError:
    """Return the error of a gRPC status; the caller raises it ``from`` the original.

    Args:
        code: the status.
        text: its details.
        call: what was asked.
        size: bytes of the request, for refusals of its size.
    """
    stranger = http_status.meaning(text, size=size)
    if stranger is not None:
        return _stranger(stranger, code, call)
    error = _with_way_out(_translate(code, text, call), call)
    if isinstance(error, TlsError):
        return _judged(error, Failure.TLS, call)
    return _judged(error, classify(code, text, known=_match(text, call) is not None), call)


def _stranger(found: http_status.Meaning, code: grpc.StatusCode, call: Call) -> FlameError:
    """Return the error of an answer that did not come from the engine."""
    error = _make(
        found.error,
        f"{call.name} at {call.endpoint} failed: {found.reason}",
        code,
    )
    return _judged(error, found.failure, call)


def _translate(code: grpc.StatusCode, text: str, call: Call) -> FlameError:
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return _transport(code, text, call)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        message = (
            f"{call.endpoint} does not know {call.name} ({text}): is it the engine's frontend? "
            "The port above it is for executors, and the object cache has a port of its own"
        )
        return InternalError(message, grpc_code=code.name)
    if code is grpc.StatusCode.CANCELLED:
        if text == "Timeout expired":
            return _transport(grpc.StatusCode.DEADLINE_EXCEEDED, text, call)
        return FlameError(FlameErrorCode.CANCELLED, text or "cancelled", grpc_code=code.name)
    rule = _match(text, call)
    if rule is not None:
        return _make(rule.error, text, code)
    if code is grpc.StatusCode.NOT_FOUND:
        return _make(_not_found(text, call), _name_it(text, call), code)
    return _make(_BY_CODE.get(code, InternalError), text or code.name, code)


def from_rpc(error: grpc.aio.AioRpcError, call: Call, *, size: int | None = None) -> FlameError:
    """Return the error of gRPC's; the caller raises it ``from`` the original."""
    found = from_status(error.code(), error.details() or "", call, size=size)
    found.retry_after = retry_delay(error.trailing_metadata() or ())
    if found.retry_after == NEVER:
        found.retryable = False
    return found


def from_result(text: str, call: Call) -> FlameError:
    """Return the error of a ``Result`` with return code -1."""
    rule = _match(text, call)
    if rule is None:
        error: FlameError = InternalError(text)
    else:
        error = _with_way_out(_make(rule.error, text, None), call)
    return _judged(error, classify(None, text), call)


def _judged(error: FlameError, failure: Failure, call: Call) -> FlameError:
    """Note the column of the table, and what the table says of it."""
    error.failure = failure.value
    error.retryable = is_retryable(call.name, failure)
    return error


def _with_way_out(error: FlameError, call: Call) -> FlameError:
    """Add how an unknown application becomes known, and its name where the text lacks it."""
    if isinstance(error, ApplicationNotFoundError) and call.name in _NEEDS_APPLICATION:
        if call.application is not None and call.application not in error.message:
            error.message = f"application {repr_of(call.application)} not found ({error.message})"
        error.message += register(call.application)
    return error


def _match(text: str, call: Call) -> _Rule | None:
    for rule in RULES:
        if (not rule.calls or call.name in rule.calls) and rule.text.search(text):
            return rule
    return None


def _make(kind: type[FlameError], text: str, code: grpc.StatusCode | None) -> FlameError:
    return kind(text, grpc_code=code.name if code else None)  # type: ignore[arg-type]  # subclasses fix the code


def _not_found(text: str, call: Call) -> type[NotFoundError]:
    if call.name in ("GetTask", "WatchTask"):
        if call.task_id is None:  # a stream of several tasks
            return SessionNotFoundError if text == call.session_id else TaskNotFoundError
        return TaskNotFoundError if text == call.task_id else SessionNotFoundError
    return _NOT_FOUND_CALLS.get(call.name, NotFoundError)


def _name_it(text: str, call: Call) -> str:
    """Say what was not found where the engine's text is only an id."""
    if text == call.task_id:
        return f"session {repr_of(call.session_id)} has no task {text}"
    if text == call.session_id:
        return f"session {repr_of(text)} not found"
    return text


def _transport(code: grpc.StatusCode, text: str, call: Call) -> FlameError:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{call.name} at {call.endpoint} did not answer in time"
        return DeadlineExceededError(message, grpc_code=code.name)
    start = f"cannot reach {call.peer} at {call.endpoint} for {call.name}"
    for rule, advice in _TLS_FAILURES:
        if rule.search(text):
            return TlsError(f"{start}: {text} ({advice})", grpc_code=code.name)
    return UnavailableError(f"{start}: {_reason(text, call)}", grpc_code=code.name)


# gRPC's words, old and new and of other builds, for what is wrong with TLS: asking again does not
# help. First wins.
_TLS_FAILURES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(words, re.IGNORECASE), advice)
    for words, advice in (
        (
            r"certificate has expired|certificate is not yet valid",
            "the engine's certificate is not valid now: renew it, or set this machine's clock",
        ),
        (
            r"CERTIFICATE[ _]VERIFY[ _]FAILED",
            "its certificate is not trusted: set tls.ca_file to the authority that signed it",
        ),
        (
            r"Hostname Verification Check failed|not in peer certificate",
            "its certificate is for another name: use the host name that it is for",
        ),
        (
            r"WRONG[ _]VERSION[ _]NUMBER",
            "TLS mismatch: this endpoint is https, and the engine does not use TLS: write http://",
        ),
        (
            r"ALERT[ _](CERTIFICATE|UNKNOWN[ _]CA|BAD[ _]CERT|HANDSHAKE[ _]FAIL|ACCESS[ _]DENIED)"
            r"|CERTIFICATE[ _]REQ",
            "the engine does not accept this client: set tls.cert_file and tls.key_file to a "
            "certificate that its client authority signed",
        ),
        (
            r"Failed to create security handshaker",
            "a TLS file of this client cannot be used: tls.ca_file and tls.cert_file must be PEM "
            "certificates, tls.key_file the certificate's key, not encrypted",
        ),
    )
)
CLOSED = ("Socket closed", "Connection reset", "end of TCP stream", "closed unexpectedly")


def _reason(text: str, call: Call) -> str:
    if any(word in text for word in CLOSED):
        # Engines say no more than this to a client that speaks no TLS, or has no certificate.
        expects = "TLS, that is https"
        if call.endpoint.startswith("https"):
            expects = "another client certificate, tls.cert_file"
        return f"{text} (if this persists: does the engine expect {expects}?)"
    return text or "no reason given"
