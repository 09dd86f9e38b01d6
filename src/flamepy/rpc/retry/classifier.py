"""Which call may be repeated after which failure, as data; docs/retry.md is printed from it.

An engine's text decides first and its code second: INTERNAL ``database is locked`` wrote nothing,
INTERNAL of any other text may have. Pure: ``retrier`` acts on it, ``status`` reads its columns.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import grpc


class Failure(enum.Enum):
    """A column of the table; the values are ``FlameError.failure``."""

    NOT_SENT = "not sent"
    LOST = "connection lost"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    EXHAUSTED = "resource exhausted"
    ABORTED = "aborted"
    LOCKED = "database is locked"
    INTERNAL = "internal or unknown"
    LATE = "application not found after a reconnect"
    BUSY = "running tasks"
    BROKEN = "mutex ptr"
    TOO_LARGE = "too large"
    TLS = "TLS"
    REFUSED = "any other answer"


class Verdict(enum.Enum):
    """What is done after a failure."""

    REPEAT = "repeat"
    RESOLVE = "resolve"  # by reading whether it happened
    NEVER = "never"


MEANING: Mapping[Failure, str] = {
    Failure.NOT_SENT: "nothing answers at the endpoint; waiting for it costs no attempt",
    Failure.LOST: "the connection broke while the call was in flight",
    Failure.UNAVAILABLE: "UNAVAILABLE from a server that answers, a proxy for instance",
    Failure.DEADLINE: "DEADLINE_EXCEEDED or CANCELLED `Timeout expired` before the call's end",
    Failure.EXHAUSTED: "RESOURCE_EXHAUSTED, but for the size of a message",
    Failure.ABORTED: "ABORTED",
    Failure.LOCKED: "the text `database is locked`: nothing was written",
    Failure.INTERNAL: "INTERNAL, UNKNOWN, CANCELLED, DATA_LOSS of any other text; twice at most",
    Failure.LATE: "an application is not found within 5 s after the engine came back: its own are "
    "registered late",
    Failure.BUSY: "`Cannot close session with running tasks`; `close(wait=)` tries again",
    Failure.BROKEN: "`mutex ptr`: the engine answers so until it is restarted",
    Failure.TOO_LARGE: "a message above its limit",
    Failure.TLS: "TLS meets plain text, or a certificate is not trusted",
    Failure.REFUSED: "INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, UNIMPLEMENTED, ...",
}

TWICE = frozenset({Failure.INTERNAL})  # repeated at most so often: it is rarely cured by time
FREE = frozenset({Failure.NOT_SENT})  # cost neither an attempt nor a token

_R, _L, _N = Verdict.REPEAT, Verdict.RESOLVE, Verdict.NEVER
_READ = (_R, _R, _R, _R, _R, _R, _R, _R, _N, _N, _N, _N, _N, _N)
_READ_APPLICATION = (_R, _R, _R, _R, _R, _R, _R, _R, _R, _N, _N, _N, _N, _N)
_WRITE = (_R, _L, _L, _L, _L, _L, _R, _L, _N, _N, _N, _N, _N, _N)
_WRITE_SESSION = (_R, _L, _L, _L, _L, _L, _R, _L, _R, _N, _N, _N, _N, _N)

_ROWS: Mapping[str, tuple[Verdict, ...]] = {
    "RegisterApplication": _WRITE,
    "UpdateApplication": _WRITE,
    "UnregisterApplication": _WRITE,
    "GetApplication": _READ_APPLICATION,
    "ListApplication": _READ,
    "ListExecutor": _READ,
    "ListNodes": _READ,
    "GetNode": _READ,
    "CreateSession": _WRITE_SESSION,
    "OpenSession": _READ_APPLICATION,
    "CloseSession": _WRITE,
    "DeleteSession": _WRITE,
    "GetSession": _READ,
    "ListSession": _READ,
    "CreateTask": _WRITE,
    "GetTask": _READ,
    "ListTask": _READ,
    "WatchTask": _READ,
    "PutObject": _READ,
    "UpdateObject": _WRITE,
    "PatchObject": _WRITE,
    "GetObject": _READ,
    "DeleteObjects": _READ,
    "ListObjects": _READ,
}

TABLE: Mapping[str, Mapping[Failure, Verdict]] = {
    call: dict(zip(Failure, row, strict=True)) for call, row in _ROWS.items()
}

HOW: Mapping[str, str] = {
    "RegisterApplication": "GetApplication: with our attributes it was us; so is `already exists` "
    "after it was sent again",
    "UpdateApplication": "GetApplication: with our attributes it was us",
    "UnregisterApplication": "GetApplication: not found is done, also when it was sent again",
    "CreateSession": "GetSession: ours if open and empty, with our attributes; else OpenSession",
    "CloseSession": "GetSession: closed is done; not found is reported",
    "DeleteSession": "GetSession: not found, or created at another time, is done",
    "CreateTask": "GetTask above the highest number known before ([why](#tasks-of-unknown-fate))",
    "OpenSession": "open or create: the same however often",
    "WatchTask": "opened again, for ever, with GetTask after each end",
    "PutObject": "the key is chosen here: the same object however often; uploads as well",
    "UpdateObject": "GetObject: ours if it ends with our mark; not changed since: sent again; "
    "else reported",
    "PatchObject": "GetObject: among the patches if one ends with our mark; else sent again",
    "DeleteObjects": "the same however often",
}


# Sent again after a doubt these are refused if the first one was late: that is looked up as well.
LATE_WRITES = frozenset({"RegisterApplication", "UnregisterApplication", "DeleteSession"})


def verdict(call: str, failure: Failure) -> Verdict:
    """Return what is done about a failed call."""
    return TABLE[call][failure]


def is_retryable(call: str, failure: Failure) -> bool:
    """Return True if the same call, made again later, may succeed and does no harm.

    A write of unknown fate is neither: it is looked up first, and where that was not enough a
    second one may be one too many.
    """
    if failure is Failure.BUSY:
        return True  # ``close(wait=)`` tries again, no call does by itself
    return TABLE.get(call, {}).get(failure) is Verdict.REPEAT


def may_cut(call: str) -> bool:
    """Return True for a call that may be broken off and sent again, by a fork for instance."""
    return TABLE[call][Failure.LOST] is Verdict.REPEAT


# First match wins, whatever the code.
_TEXTS: tuple[tuple[re.Pattern[str], Failure], ...] = (
    (re.compile(r"database is locked"), Failure.LOCKED),
    (re.compile(r"Cannot close session with running tasks"), Failure.BUSY),
    (re.compile(r"\bmutex ptr\b"), Failure.BROKEN),
    (re.compile(r"message length too large|larger than max"), Failure.TOO_LARGE),
)
# gRPC's own words for a call that never left; a proxy's are different.
_NOT_SENT = re.compile(
    r"^(failed to connect to all addresses|DNS resolution failed|[Nn]ame resolution failure"
    r"|connections to all backends failing|empty address list)"
)
_LOST = re.compile(
    r"Socket closed|Connection reset|end of TCP stream|closed unexpectedly|recvmsg|sendmsg"
    r"|Broken pipe|GOAWAY|RST_STREAM|[Kk]eepalive|ping timeout|[Tt]ransport closed|EOF"
    r"|max connection age|[Cc]onnection (timed out|aborted|dropped)"
)
_CODES: Mapping[grpc.StatusCode, Failure] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Failure.DEADLINE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Failure.EXHAUSTED,
    grpc.StatusCode.OUT_OF_RANGE: Failure.TOO_LARGE,
    grpc.StatusCode.ABORTED: Failure.ABORTED,
    grpc.StatusCode.INTERNAL: Failure.INTERNAL,
    grpc.StatusCode.UNKNOWN: Failure.INTERNAL,
    grpc.StatusCode.DATA_LOSS: Failure.INTERNAL,
    grpc.StatusCode.CANCELLED: Failure.INTERNAL,  # not by us: that is no status
}


def classify(code: grpc.StatusCode | None, text: str, *, known: bool = False) -> Failure:
    """Return the column of a failure.

    Args:
        code: gRPC's, not of a TlsError; None for a ``Result`` with return code -1.
        text: the engine's or gRPC's.
        known: the text is one that ``status`` has a meaning for.
    """
    if code is grpc.StatusCode.UNAVAILABLE:
        if _NOT_SENT.search(text):
            return Failure.NOT_SENT
        return Failure.LOST if _LOST.search(text) else Failure.UNAVAILABLE
    if code is grpc.StatusCode.CANCELLED and text == "Timeout expired":
        return Failure.DEADLINE
    for pattern, failure in _TEXTS:
        if pattern.search(text):
            return failure
    if known or code is None:
        return Failure.REFUSED
    failure = _CODES.get(code, Failure.REFUSED)
    if failure is Failure.INTERNAL and _LOST.search(text):
        return Failure.LOST
    return failure


def markdown() -> str:
    """Return the tables of docs/retry.md."""
    lines = ["| failure | what it is |", "|---|---|"]
    lines += [f"| {failure.value} | {MEANING[failure]} |" for failure in Failure]
    shown = [one for one in Failure if any(row[one] is not Verdict.NEVER for row in TABLE.values())]
    lines += ["", f"| call | {' | '.join(one.value for one in shown)} |"]
    lines.append(f"|---|{'---|' * len(shown)}")
    for call, row in TABLE.items():
        cells = [row[one].value + (" x2" if one in TWICE else "") for one in shown]
        lines.append(f"| {call} | {' | '.join(cells)} |")
    never = [one.value for one in Failure if one not in shown]
    lines += [
        "",
        f"Never after: {', '.join(never)}.",
        "",
        "| call | how it is resolved |",
        "|---|---|",
    ]
    lines += [f"| {call} | {how} |" for call, how in HOW.items()]
    return "\n".join(lines) + "\n"
