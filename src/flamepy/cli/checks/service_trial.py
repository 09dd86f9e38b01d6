"""One process of a service under trial: started, called and ended as an executor does it.

Unlike an executor it hides nothing: each call returns what came, whatever that is. What that is
worth, ``service_verdicts`` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from flamepy.cli.checks.service_verdicts import End, Kind, Reply, Start
from flamepy.host.addresses import unix_target
from flamepy.local.background import in_thread
from flamepy.local.services.child import Child, Command
from flamepy.local.services.environment import Launch
from flamepy.local.services.instance import TaskNotBegun
from flamepy.local.services.logfiles import NOTE, bound_logs, tail
from flamepy.local.services.process import GRACE, OPTIONS, Metadata
from flamepy.local.services.reaper import Reaper
from flamepy.local.services.task_stream import TaskListener, TaskStream
from flamepy.runtime.clocks import Timeout, monotonic
from flamepy.texts import text_of
from flamepy.types import FLAME_INSTANCE_ENDPOINT
from flamepy.wire.services import INSTANCE

POLL = 0.01
LONGEST = 500  # characters that are shown of the end of standard error
MOMENT = 0.5  # seconds between the end of a connection and that of its process
ENDED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Trial:
    """One process; use it with ``async with``, which cleans up after it.

    Args:
        plan: command, environment and files.
        reaper: ends the process if this one is killed.
        bind_timeout: seconds to the first connection.
        timeout: seconds of a call.
    """

    def __init__(
        self, plan: Launch, *, reaper: Reaper, bind_timeout: float, timeout: float
    ) -> None:
        self._plan = plan
        self._reaper = reaper
        self._bind_timeout = bind_timeout
        self._timeout = timeout
        self._child: Child | None = None
        self._ended: asyncio.Task[None] | None = None
        self._over = False
        self._logs: asyncio.Task[None] | None = None
        self._channel: grpc.aio.Channel | None = None
        self.stream: TaskStream | None = None  # until a task was sent by it

    async def __aenter__(self) -> Trial:
        return self

    async def __aexit__(self, *failure: object) -> None:
        self.close_stream()
        if self._channel is not None:
            await self._channel.close()
        if self._child is not None and not self._over:
            self._child.signal_group(signal.SIGKILL)
            await self._collect(self._child)
        self._plan.socket.unlink(missing_ok=True)

    # ------------------------------------------------------------------ start

    async def start(self) -> Start:
        """Start the process and wait for a connection."""
        began = monotonic()
        try:
            child = self._child = await in_thread("flamepy-check-start", self._begin)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            return Start(0.0, f"<{self._plan.command}> cannot be started: {why}")
        self._reaper.add(child.pid)
        self._ended = asyncio.ensure_future(child.until_end())
        self._logs = asyncio.ensure_future(bound_logs((self._plan.stdout, self._plan.stderr)))
        problem = await self._until_socket(began) or await self._connect(began)
        return Start(monotonic() - began, problem)

    def _begin(self) -> Child:
        plan = self._plan
        for folder in (plan.folder, plan.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        arguments = (plan.command, *plan.arguments)
        return Child(Command(arguments, plan.environ, plan.folder, plan.stdout, plan.stderr))

    async def _until_socket(self, began: float) -> str | None:
        while not self._plan.socket.exists():
            if self.gone:
                return f"{self._how()} before it opened its socket"
            if monotonic() - began > self._bind_timeout:
                return (
                    f"no socket within {self._bind_timeout:g} s at the path of "
                    f"{FLAME_INSTANCE_ENDPOINT}{self._tail()}"
                )
            await asyncio.sleep(POLL)
        return None

    async def _connect(self, began: float) -> str | None:
        assert self._ended is not None
        self._channel = grpc.aio.insecure_channel(unix_target(self._plan.socket), OPTIONS)
        ready = asyncio.ensure_future(self._channel.channel_ready())
        left = self._bind_timeout - (monotonic() - began)
        try:
            await asyncio.wait(
                {ready, self._ended}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if ready.done():
                return None
        finally:
            ready.cancel()
        if self.gone:
            return f"{self._how()} before it answered at its socket"
        return f"no gRPC server answers at its socket within {self._bind_timeout:g} s{self._tail()}"

    # ------------------------------------------------------------------ calls

    async def enter(self, request: Message) -> Reply:
        """Call OnSessionEnter; a service that takes a stream of tasks connects meanwhile."""
        listener = TaskListener(self._plan.socket.with_suffix(".task"))
        try:
            reply = await self.call("OnSessionEnter", request, metadata=listener.metadata)
            self.stream = await listener.accept()
        finally:
            listener.close()
        return reply

    async def call(self, name: str, request: Message, *, metadata: Metadata = ()) -> Reply:
        """Make one call and return what came of it."""
        assert self._channel is not None
        method = INSTANCE[name]
        stub: grpc.aio.UnaryUnaryMultiCallable[Any, bytes] = self._channel.unary_unary(
            method.path, request_serializer=method.request.SerializeToString
        )
        began = monotonic()
        call = stub(request, timeout=Timeout(self._timeout), metadata=metadata)
        return await self._reply(asyncio.ensure_future(_answer(call)), began, method.response)

    async def by_stream(self, stream: TaskStream, request: Message) -> Reply:
        """Send one task by the stream, and close it: calls have the service's thread from then."""
        began = monotonic()
        asking = stream.ask(request.SerializeToString())
        asked = asyncio.ensure_future(asyncio.wait_for(asking, self._timeout))
        try:
            return await self._reply(asked, began, INSTANCE["OnTaskInvoke"].response)
        finally:
            self.close_stream()

    def close_stream(self) -> None:
        """Close the stream, if there is one."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.close()

    async def _reply(
        self, answer: asyncio.Future[bytes], began: float, expected: type[Message]
    ) -> Reply:
        assert self._ended is not None
        waited: set[asyncio.Future[Any]] = {answer, self._ended}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await asyncio.wait({answer}, timeout=MOMENT)  # the answer may be in flight
        seconds = monotonic() - began
        if not answer.done():
            answer.cancel()
            return Reply(Kind.GONE, seconds, text=self._how())
        try:
            return _decoded(answer.result(), seconds, expected)
        except grpc.aio.AioRpcError as error:
            return await self._failure(error, seconds)
        except asyncio.TimeoutError:
            return self._silence(seconds)
        except (TaskNotBegun, EOFError) as error:  # of a stream that ended
            if await self._ends_soon():
                return Reply(Kind.GONE, seconds, text=self._how())
            return Reply(Kind.STATUS, seconds, status="none", text=str(error))

    async def _failure(self, error: grpc.aio.AioRpcError, seconds: float) -> Reply:
        if error.code() in ENDED and await self._ends_soon():
            return Reply(Kind.GONE, seconds, text=self._how())
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and seconds >= self._timeout:
            return self._silence(seconds)
        return Reply(Kind.STATUS, seconds, status=error.code().name, text=error.details() or "")

    def _silence(self, seconds: float) -> Reply:
        text = f"no answer within {self._timeout:g} s{self._tail()}"
        return Reply(Kind.SILENCE, seconds, text=text)

    async def _ends_soon(self) -> bool:
        assert self._ended is not None
        await asyncio.wait({self._ended}, timeout=MOMENT)
        return self.gone

    # ------------------------------------------------------------------ end

    async def end(self, wait: float = 0.0) -> End:
        """End the process as an executor does, and look for what is left of it.

        Args:
            wait: seconds that it may take to end by itself before.
        """
        child, ended = self._child, self._ended
        assert child is not None
        assert ended is not None
        await asyncio.wait({ended}, timeout=wait)
        alone, began = ended.done(), monotonic()
        child.signal_group(signal.SIGTERM)  # also to what an ended one has left
        await asyncio.wait({ended}, timeout=GRACE)
        seconds, killed = monotonic() - began, not ended.done()
        left = await self._left(child.pid)
        child.signal_group(signal.SIGKILL)
        await self._collect(child)
        return End(
            alone=alone,
            killed=killed,
            seconds=seconds,
            status=child.returncode,
            left=() if killed else left,
            escaped=await in_thread("flamepy-check-look", lambda: self._end_escaped(child.pid)),
            looked=PROC.is_dir(),
            logged=sum(_bytes(path) for path in (self._plan.stdout, self._plan.stderr)),
            flooded=any(_was_cut(path) for path in (self._plan.stdout, self._plan.stderr)),
        )

    async def _left(self, group: int) -> tuple[str, ...]:
        """Return the others of a process group that a moment after SIGTERM are still there."""
        limit = monotonic() + MOMENT
        while True:
            left = await in_thread("flamepy-check-look", lambda: members(group))
            if not left or monotonic() > limit:
                return left
            await asyncio.sleep(POLL)

    def _end_escaped(self, group: int) -> tuple[str, ...]:
        """Kill what has the environment of the service and another group; return who it was."""
        mark = f"{FLAME_INSTANCE_ENDPOINT}={self._plan.socket}".encode()
        found = []
        for pid in _processes():
            known = (None, group)  # ended; killed with its group a moment ago
            if mark in _read(pid, "environ").split(b"\0") and _group(pid) not in known:
                found.append(_name(pid))
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        return tuple(found)

    async def _collect(self, child: Child) -> None:
        if self._ended is not None:
            await self._ended
        if self._logs is not None:
            self._logs.cancel()
        await child.wait()
        self._reaper.discard(child.pid)
        self._over = True

    @property
    def gone(self) -> bool:
        """True once the process has ended, by itself or not."""
        return self._ended is not None and self._ended.done()

    def _how(self) -> str:
        """Say how the process ended, which is not collected yet."""
        assert self._child is not None
        status = self._child.peek()
        if status is None:
            how = "ended"
        elif status < 0:
            how = f"was killed by signal {-status}"
        else:
            how = f"exited with status {status}"
        return f"<{self._plan.command}> {how}{self._tail()}"

    def _tail(self) -> str:
        text = tail(self._plan.stderr)
        text = text if len(text) <= LONGEST else f"... {text[-LONGEST:]}"
        return f"; the end of its stderr: {text}" if text else ""


async def _answer(call: grpc.aio.UnaryUnaryCall[Any, bytes]) -> bytes:
    return await call


def _decoded(raw: bytes, seconds: float, expected: type[Message]) -> Reply:
    try:
        answer: Any = expected.FromString(raw)
    except DecodeError as error:
        text = f"the answer is no {expected.DESCRIPTOR.name}: {text_of(error)}"
        return Reply(Kind.GARBAGE, seconds, text=text)
    has_output = "output" in expected.DESCRIPTOR.fields_by_name and answer.HasField("output")
    return Reply(
        Kind.ANSWER,
        seconds,
        answer.return_code,
        answer.message if answer.HasField("message") else None,
        len(answer.output) if has_output else None,
    )


PROC = Path("/proc/self").parent


def members(group: int) -> tuple[str, ...]:
    """Return the processes of a group that run, but its leader, as ``PID (NAME)``."""
    return tuple(_name(pid) for pid in _processes() if pid != group and _group(pid) == group)


def _processes() -> list[int]:
    return [int(one.name) for one in PROC.glob("[0-9]*")]


def _group(pid: int) -> int | None:
    """Return a process's group, or None if it has ended."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[2]) if fields and fields[0] not in (b"Z", b"X") else None


def _name(pid: int) -> str:
    return f"{pid} ({_read(pid, 'comm').decode(errors='replace').strip() or 'gone'})"


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:  # it has ended, or belongs to another user
        return b""


def _was_cut(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(NOTE)) == NOTE
    except OSError:
        return False


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
