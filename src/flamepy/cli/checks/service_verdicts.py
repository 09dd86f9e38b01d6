"""What ``flamepy check-service`` makes of what a service did. Pure.

``service_trial`` observes; here each observation becomes a ``Finding``: what came, whether that is
right, and what to do about it. FAILED is what breaks tasks or sessions on a cluster, WARNING what
costs a user a good error text or an engine an executor. The rules are in docs/services.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from flamepy.cli.checks.findings import Finding, failed, passed, skipped, warned

OUTPUT_LIMIT = 4 * 1024 * 1024  # bytes of a task's output that a cluster takes
SLOW_START = 10.0  # seconds to the socket that are worth a word
LEAVE_LIMIT = 2.0  # seconds that an embedded cluster waits for OnSessionLeave
LOG_LIMIT = 8 * 1024 * 1024  # bytes of a log file that an embedded cluster keeps
PAGE = "docs/services.md"


class Kind(enum.Enum):
    """What came of a call."""

    ANSWER = enum.auto()
    STATUS = enum.auto()  # a gRPC status in the place of an answer
    GARBAGE = enum.auto()  # bytes that are no message of the expected type
    SILENCE = enum.auto()  # nothing within the limit
    GONE = enum.auto()  # the process ended


BROKEN = (Kind.GARBAGE, Kind.SILENCE, Kind.GONE)


@dataclass(frozen=True, slots=True)
class Start:
    """A start: the seconds to the first connection, or in words why it never connected."""

    seconds: float
    problem: str | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one call; ``text`` is in words what came in the place of an answer."""

    kind: Kind
    seconds: float = 0.0
    return_code: int = 0
    message: str | None = None
    output: int | None = None  # bytes
    status: str = ""  # the name of the gRPC status
    text: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How a process ended.

    Attributes:
        alone: it ended before it was asked to.
        killed: SIGTERM did not end it in time.
        seconds: from SIGTERM to the end.
        status: as of a process: negative for a signal, None if another part collected it.
        left: processes of its group that were left when it had ended.
        escaped: processes that it started and that left its process group.
        looked: False where this system cannot say which processes there are.
        logged: bytes on standard output and standard error that are left.
        flooded: one of the two was cut to its end.
    """

    alone: bool = False
    killed: bool = False
    seconds: float = 0.0
    status: int | None = 0
    left: tuple[str, ...] = ()
    escaped: tuple[str, ...] = ()
    looked: bool = True
    logged: int = 0
    flooded: bool = False


def start(check: str, found: Start) -> Finding:
    """Judge a start."""
    if found.problem is not None:
        return failed(check, found.problem, found.advice or f"see {PAGE}#the-socket")
    says = f"its socket answers after {found.seconds:.1f} s"
    if found.seconds > SLOW_START:
        return warned(check, says, "open the socket first, and load in OnSessionEnter")
    return passed(check, says)


def old_socket(check: str, found: Start) -> Finding:
    """Judge a start where a process that was killed had left a socket."""
    if found.problem is None:
        return passed(check, "the socket of a process that was killed is replaced")
    says = f"it does not start where a socket was left: {found.problem}"
    return warned(check, says, "remove the file before the socket is bound")


def enter(check: str, reply: Reply, *, given: bool) -> Finding:
    """Judge the start of the session that the tasks need; ``given``: with the user's data."""
    if reply.kind is Kind.ANSWER and reply.return_code == 0:
        return passed(check, f"the session has begun ({_took(reply)})")
    if reply.kind is Kind.STATUS and reply.status == "UNIMPLEMENTED":
        return _unserved(check, reply, "OnSessionEnter")
    if reply.kind in BROKEN:
        return _broken(check, reply)
    advice = "its sessions get no executors" if given else "--common-data TEXT gives what it needs"
    return failed(check, f"the session is refused: {_words(reply)}", advice)


def bare_enter(check: str, reply: Reply) -> Finding:
    """Judge the start of a session without common data: it may be refused, in words."""
    if reply.kind in BROKEN:
        return _broken(check, reply)
    if reply.kind is Kind.ANSWER and reply.return_code == 0:
        return passed(check, "a session without common data has begun")
    says = f"a session without common data is refused: {_words(reply)}"
    if reply.kind is Kind.STATUS or not reply.message:
        return warned(check, says, "refuse by return_code -1 and a message, which users read")
    return passed(check, says)


def unusual(check: str, reply: Reply, what: str) -> Finding:
    """Judge a call that no executor makes: it may be answered or refused, not be fatal."""
    if reply.kind in BROKEN:
        return _broken(check, reply, f"{what}: ")
    return passed(check, f"{what}: {_words(reply)}")


def task(check: str, reply: Reply, *, must_succeed: bool = False) -> Finding:
    """Judge a task: any answer is right, unless it has to succeed."""
    if reply.kind in BROKEN:
        return _broken(check, reply)
    if reply.kind is Kind.STATUS and reply.status == "UNIMPLEMENTED":
        return _unserved(check, reply, "OnTaskInvoke")
    says = _words(reply)
    fails = reply.kind is Kind.STATUS or reply.return_code != 0
    if must_succeed and fails:
        return failed(check, says, "it was to succeed with --input")
    if reply.kind is Kind.STATUS:
        advice = "fail a task by return_code -1 and a message: a status may lose its text"
        return warned(check, says, advice)
    if fails and not reply.message:
        return warned(check, says, "give a message: users see nothing but that it failed")
    if not fails and reply.message:
        return warned(check, says, "the message of a task that succeeds is dropped")
    return passed(check, says)


def small_output(finding: Finding, reply: Reply) -> Finding:
    """Judge the size of an output that is not an echo of its input."""
    if reply.output is None or reply.output <= OUTPUT_LIMIT:
        return finding
    says = f"the output has {reply.output} bytes"
    advice = f"over {OUTPUT_LIMIT} the task fails: put it into the object cache, answer its key"
    return failed(finding.check, says, advice)


def large(check: str, reply: Reply, *, size: int, required: bool) -> Finding:
    """Judge a task with a large input; ``required``: of a size that every cluster sends."""
    if reply.kind in BROKEN:
        return _broken(check, reply)
    if reply.kind is Kind.STATUS:
        says = f"an input of {_size(size)} is refused: {_words(reply)}"
        advice = "raise the limit of messages that the server receives"
        if required:
            return failed(check, says, f"{advice}: every cluster sends inputs of that size")
        return warned(check, says, f"{advice}, if a cluster with a higher one is to be used")
    return passed(check, f"an input of {_size(size)}: {_words(reply)} ({_took(reply)})")


def leave(check: str, reply: Reply) -> Finding:
    """Judge the end of a session, which must not fail."""
    if reply.kind is Kind.STATUS and reply.status == "UNIMPLEMENTED":
        return _unserved(check, reply, "OnSessionLeave")
    if reply.kind is Kind.ANSWER and reply.return_code == 0:
        if reply.seconds <= LEAVE_LIMIT:
            return passed(check, f"the session has ended ({_took(reply)})")
        advice = f"an embedded cluster waits {LEAVE_LIMIT:g} s, then ends the process"
        return warned(check, f"OnSessionLeave took {reply.seconds:.1f} s", advice)
    if reply.kind is Kind.SILENCE:
        says = f"OnSessionLeave: {_words(reply)}"
        advice = "answer it: an embedded cluster ends the process, an engine waits for ever"
        return failed(check, says, advice)
    if reply.kind is Kind.GONE:
        return failed(check, _words(reply), "answer OnSessionLeave before the process ends")
    return failed(check, _words(reply), "never fail it: an engine repeats it for ever")


def cut_task(check: str, reply: Reply) -> Finding:
    """Judge what became of a task that ran when SIGTERM came."""
    if reply.kind is Kind.ANSWER:
        return passed(check, "the task that ran at SIGTERM is answered")
    if reply.kind is Kind.GARBAGE:
        return _broken(check, reply)
    says = f"the task that ran at SIGTERM has no answer: {_words(reply)}"
    return warned(check, says, "at SIGTERM, answer the running task and begin no other")


def end(check: str, found: End) -> Finding:
    """Judge the end of a process."""
    if found.killed:
        says = f"SIGTERM does not end it within {found.seconds:.1f} s"
        advice = "end at SIGTERM: an embedded cluster kills it then, an engine leaves it for ever"
        return failed(check, says, advice)
    how = _status(found.status)
    if found.alone:
        says = f"it ends by itself after OnSessionLeave, {how}"
        return passed(check, says) if not found.status else warned(check, says, "end with status 0")
    says = f"SIGTERM ends it after {found.seconds:.1f} s, {how}"
    if found.status in (0, None, -15):
        return passed(check, says)
    return warned(check, says, "end with status 0")


def children(check: str, found: End) -> Finding:
    """Judge what is left of the processes that the service started."""
    if not found.looked:
        return skipped(check, "not looked for: this system has no /proc")
    if found.escaped:
        says = f"left running, outside of its process group: {', '.join(found.escaped)}"
        return failed(check, says, "end them with the service; this check has ended them")
    if found.left:
        says = f"left when it had ended: {', '.join(found.left)}"
        advice = "end them with the service: an engine leaves what ignores SIGTERM"
        return warned(check, says, advice)
    return passed(check, "no process is left")


def logs(check: str, found: End) -> Finding:
    """Judge how much it logs."""
    if found.flooded or found.logged > LOG_LIMIT:
        says = f"more than {_size(LOG_LIMIT)} on standard output or standard error"
        return warned(check, says, "an embedded cluster keeps the last 64 KiB of such a file")
    return passed(check, f"{_size(found.logged)} on standard output and standard error")


def _broken(check: str, reply: Reply, before: str = "") -> Finding:
    advice = {
        Kind.GARBAGE: "answer with the messages of flame.v1 (protos/flame/v1/shim.proto)",
        Kind.SILENCE: "answer each call; --timeout gives more time",
        Kind.GONE: "answer each call, with a failure if need be, and stay until SIGTERM",
    }
    return failed(check, before + _words(reply), advice[reply.kind])


def _unserved(check: str, reply: Reply, call: str) -> Finding:
    says = f"{call} is not served: {_words(reply)}"
    return failed(check, says, f"serve flame.v1.Instance/{call} (protos/flame/v1/shim.proto)")


def _words(reply: Reply) -> str:
    if reply.kind is Kind.STATUS:
        return f"gRPC status {reply.status}: {reply.text or 'no text'}"
    if reply.kind is not Kind.ANSWER:
        return reply.text
    if reply.return_code != 0:
        why = repr(reply.message) if reply.message else "no message"
        return f"fails with return_code {reply.return_code} and {why}"
    if reply.output is None:
        return "succeeds without output"
    return f"succeeds with {_size(reply.output)}"


def _status(status: int | None) -> str:
    if status is None:
        return "status unknown"
    return f"by signal {-status}" if status < 0 else f"with status {status}"


def _took(reply: Reply) -> str:
    return f"{reply.seconds:.1f} s"


def _size(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"
