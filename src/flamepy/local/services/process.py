"""A service as a process of its own, driven over a Unix socket by the Instance protocol.

The process gets a process group of its own, nothing on its standard input, and log files in its
working directory. Its death is noticed at any moment and reported with the exit status and the
tail of its standard error. ``executor`` drives it; the calls run on the cluster's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from flamepy.host import platforms
from flamepy.host.addresses import DIRECT, unix_target
from flamepy.local.background import in_thread
from flamepy.local.net.limits import MESSAGE_LIMIT, too_large
from flamepy.local.net.serving import Traffic
from flamepy.local.services.child import Child, Command
from flamepy.local.services.environment import Launch
from flamepy.local.services.executor import repeated
from flamepy.local.services.instance import (
    ENTER_FAILED,
    SHIM_FAILED,
    BindFailure,
    TaskNotBegun,
    TaskOutcome,
)
from flamepy.local.services.kept_logs import KeptLogs
from flamepy.local.services.logfiles import bound_logs, tail
from flamepy.local.services.reaper import Reaper
from flamepy.local.services.task_stream import TaskListener, TaskStream
from flamepy.runtime.clocks import Timeout
from flamepy.texts import text_of
from flamepy.types import Application, Dialect, SessionInfo, TaskContext
from flamepy.wire.services import INSTANCE, Method
from flamepy.wire.shim import encode_session_context, encode_task_context, of_new_shape

logger = logging.getLogger(__name__)

Metadata = tuple[tuple[str, bytes], ...]
POLL = 0.01
LEAVE_TIMEOUT = 2.0
GRACE = 2.0
# What a call gets whose process ends: a service on its way out cancels its stream of tasks.
ENDED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
OPTIONS: list[tuple[str, int | str]] = [
    # What an executor manager sends. gRPC would send the socket's path, percent-encoded, which
    # strict HTTP/2 servers (Rust's) refuse with PROTOCOL_ERROR.
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A status's text comes as metadata, of which gRPC takes 8 to 16 KiB and else drops all.
    ("grpc.max_metadata_size", MESSAGE_LIMIT),
    ("grpc.absolute_max_metadata_size", 2 * MESSAGE_LIMIT),
    ("grpc.use_local_subchannel_pool", 1),
    # The file is there from bind on, before listen: a slow server refuses once.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    DIRECT,  # a Unix socket
]


class ProcessInstance:
    """A service in its own process, called over a Unix socket; an ``instance.Instance``.

    Args:
        plan: command, environment and files.
        bind_timeout: seconds the process has to open its socket.
        reaper: ends the process if the cluster is killed.
        grace: seconds between SIGTERM and SIGKILL.
        traffic: the cluster's, which holds calls around a fork.
        kept: prepares the folder of the files that its output goes to, if they stay.
        dialect: which shape the answers to calls have; a stream of tasks has one of its own.
    """

    def __init__(
        self,
        plan: Launch,
        *,
        bind_timeout: float,
        reaper: Reaper,
        grace: float = GRACE,
        traffic: Traffic | None = None,
        kept: KeptLogs | None = None,
        dialect: Dialect = Dialect.OLD,
    ) -> None:
        self._plan = plan
        self._kept = kept
        self._is_newer = dialect is Dialect.NEXT
        self._reaper = reaper
        self._logs: asyncio.Task[None] | None = None
        self._bind_timeout = bind_timeout
        self._grace = grace
        self._child: Child | None = None
        self._starting: asyncio.Future[Child] | None = None
        self._stopped = False
        self._traffic = traffic or Traffic()
        self._connected = False
        self._channel: grpc.aio.Channel | None = None
        self._stubs: dict[str, grpc.aio.UnaryUnaryMultiCallable[Any, bytes]] = {}
        self._stream: TaskStream | None = None
        self._calls: set[grpc.aio.Call] = set()  # in flight
        self._exit: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """True while the process runs and its socket answers."""
        running = self._child is not None and not self._child.over
        return running and self._connected

    # ------------------------------------------------------------------ start

    async def start(self) -> None:
        """Start the process and wait for its socket. Raises BindFailure 11."""
        lacking = platforms.without(*platforms.SERVICE_PROCESSES)
        if lacking is not None:
            raise _failed(f"a service process {lacking}: use LocalCluster.register_service")
        try:
            await self._spawn()
        except (OSError, ValueError, RuntimeError) as error:
            # ValueError: a zero byte, "=" in a name; RuntimeError: no thread can be started.
            raise _failed(
                f"failed to start service by command <{self._plan.command}>: {_os_text(error)}"
            ) from error
        limit = asyncio.get_running_loop().time() + self._bind_timeout
        await self._wait_for_socket(limit)
        async with self._traffic:
            await self._connect(self._open(), limit)
            self._connected = True

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._traffic.users.add(self)
            self._channel = grpc.aio.insecure_channel(unix_target(self._plan.socket), OPTIONS)
        return self._channel

    async def disconnect(self) -> None:
        """Close the channel; the next call makes another."""
        channel, self._channel = self._channel, None
        self._stubs = {}
        if channel is not None:
            await channel.close()

    async def _spawn(self) -> None:
        self._starting = in_thread("flamepy-process-start", self._begin)
        self._starting.add_done_callback(self._begun)
        await asyncio.shield(self._starting)

    def _begin(self) -> Child:
        """Start the process; on a thread, since disks and the loading of a program may be slow."""
        plan = self._plan
        plan.folder.mkdir(parents=True, exist_ok=True)
        plan.scratch.mkdir(parents=True, exist_ok=True)
        if self._kept is not None:
            self._kept.prepare(plan.stdout)
        if not plan.command:
            raise FileNotFoundError(2, "No such file or directory")
        for path in (plan.stdout, plan.stderr) if self._kept is None else ():
            path.unlink(missing_ok=True)  # of an earlier service, in the application's own folder
        child = Child(
            Command(
                (plan.command, *plan.arguments),
                plan.environ,
                plan.folder,
                plan.stdout,
                plan.stderr,
            )
        )
        if self._stopped:  # so late that no caller waits any more
            child.signal_group(signal.SIGKILL)
        return child

    def _begun(self, starting: asyncio.Future[Child]) -> None:
        """Watch a process from the moment it is there, also if its start was cancelled."""
        if starting.cancelled() or starting.exception() is not None:
            return
        child = self._child = starting.result()
        self._reaper.add(child.pid)
        self._exit = asyncio.ensure_future(self._ended(child))
        if self._stopped:
            return
        self._logs = asyncio.ensure_future(bound_logs((self._plan.stdout, self._plan.stderr)))

    async def _ended(self, child: Child) -> None:
        """Wait for the end of the process and of its group; end the calls that are left."""
        await child.wait()
        self._reaper.discard(child.pid)
        self._cut()

    async def _wait_for_socket(self, limit: float) -> None:
        assert self._child is not None
        while not self._plan.socket.exists():
            if self._child.over:
                why = self._how_it_ended(" before it opened its socket")
                raise _failed(f"service {why}", died=True)
            if asyncio.get_running_loop().time() > limit:
                raise _failed(
                    f"service <{self._plan.command}> did not open its socket within "
                    f"{self._bind_timeout:g} s{self._tail()}"
                )
            await asyncio.sleep(POLL)
        with contextlib.suppress(
            OSError
        ):  # it is for this user alone, whatever mode it was made with
            self._plan.socket.chmod(0o600)

    async def _connect(self, channel: grpc.aio.Channel, limit: float) -> None:
        """Wait until a server answers at the socket: any program may have made the file there."""
        assert self._exit is not None
        ready = asyncio.ensure_future(channel.channel_ready())
        left = limit - asyncio.get_running_loop().time()
        try:
            await asyncio.wait(
                {ready, self._exit}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if not ready.done():
                ended = self._exit.done()
                why = self._how_it_ended() if ended else f"no answer{self._tail()}"
                text = f"failed to connect to service at <{self._plan.socket}>: {why}"
                raise _failed(text, died=ended)
        finally:
            ready.cancel()

    # ------------------------------------------------------------------ calls

    async def enter(self, session: SessionInfo, application: Application) -> None:
        """Call OnSessionEnter; a service that takes a stream of tasks connects meanwhile.

        Raises BindFailure 11, 12.
        """
        request = encode_session_context(session.id, application, session.common_data)
        listener = TaskListener(self._plan.socket.with_suffix(".task"))
        try:
            answer = await self._call("OnSessionEnter", request, metadata=listener.metadata)
            self._stream = await listener.accept()
        finally:
            listener.close()
        if isinstance(answer, str):
            if not self.alive:
                raise _failed(answer, died=True)
            raise BindFailure(ENTER_FAILED, f"on_session_enter failed: {answer}")
        if answer.return_code != 0:
            raise BindFailure(ENTER_FAILED, f"on_session_enter failed: {answer.message}")

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        """Send a task, by the stream or a call; the end of the process ends it.

        Raises TaskNotBegun.
        """
        request = encode_task_context(task)
        if self._stream is None:
            answer = await self._call("OnTaskInvoke", request)
        else:
            answer = await self._ask(self._stream, request)
        if isinstance(answer, str):
            return TaskOutcome(-1, message=answer)
        size = answer.ByteSize()
        if size > MESSAGE_LIMIT:
            return TaskOutcome(-1, message=too_large(size))
        output = answer.output if answer.HasField("output") else None
        message = answer.message if answer.HasField("message") else None
        return TaskOutcome(answer.return_code, output, message)

    async def _ask(self, stream: TaskStream, task: Message) -> Any:
        """Return the answer, or the text of why none came. Raises TaskNotBegun."""
        try:
            return _decoded(INSTANCE["OnTaskInvoke"], await stream.ask(task.SerializeToString()))
        except TaskNotBegun as error:
            raise TaskNotBegun(await self._broken(str(error))) from error
        except EOFError as error:
            return await self._broken(str(error))

    async def leave(self) -> None:
        """Call OnSessionLeave, for a bounded time."""
        request = INSTANCE["OnSessionLeave"].request()
        answer = await self._call("OnSessionLeave", request, timeout=LEAVE_TIMEOUT)
        text = answer if isinstance(answer, str) else answer.message
        if isinstance(answer, str) or answer.return_code != 0:
            said, command = "on_session_leave of %s: %s", self._plan.command
            kind = ("leave", command, self._plan.arguments)
            repeated.log(logging.WARNING, kind, said, command, text)

    async def _call(
        self,
        name: str,
        request: Message,
        *,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> Any:
        """Return the answer, or the text of why none came."""
        async with self._traffic:
            if not self._connected or self._exit is None:
                return f"service {self._how_it_ended()}"
            self._close_stream()  # it has the service's one thread
            method = INSTANCE[name]
            limit = None if timeout is None else Timeout(timeout)
            call = self._stub(method)(request, timeout=limit, metadata=metadata)
            return await self._answer(self._exit, method, call)

    async def _answer(
        self,
        ended: asyncio.Task[None],
        method: Method,
        call: grpc.aio.UnaryUnaryCall[Any, bytes],
    ) -> Any:
        self._calls.add(call)
        if ended.done():
            self._cut()
        try:
            return _decoded(method, await call, newer=self._is_newer)
        except grpc.aio.AioRpcError as error:
            return await self._why(error)
        except asyncio.CancelledError:
            if not (ended.done() and call.cancelled()) or _is_cancelled():
                raise
            return await self._why(None)
        finally:
            self._calls.discard(call)

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _stub(self, method: Method) -> grpc.aio.UnaryUnaryMultiCallable[Any, bytes]:
        channel = self._open()
        stub = self._stubs.get(method.name)
        if stub is None:
            stub = self._stubs[method.name] = channel.unary_unary(
                method.path, request_serializer=method.request.SerializeToString
            )
        return stub

    def _cut(self) -> None:
        """End the calls to a process that is gone, a moment later: its answer may be in flight."""
        if self._calls or self._stream is not None:
            asyncio.get_running_loop().call_later(0.5, self._cut_now)

    def _cut_now(self) -> None:
        for call in list(self._calls):
            call.cancel()
        if self._stream is not None:
            self._stream.close()  # children of the process may have it as well

    async def _why(self, error: grpc.aio.AioRpcError | None) -> str:
        if error is not None and error.code() not in ENDED:
            return str(error.details() or error.code().name)
        return await self._broken((error.details() if error is not None else None) or "no answer")

    async def _broken(self, what: str) -> str:
        """Return what is known of a service whose connection broke; it gets no more tasks."""
        assert self._exit is not None
        # A cut connection comes a moment before the exit is known.
        await asyncio.wait({self._exit}, timeout=0.5)
        self._connected = False
        if self._exit.done():
            return f"service {self._how_it_ended()}"
        return f"the connection to service <{self._plan.command}> broke ({what}); it has not ended"

    # ------------------------------------------------------------------ how it ended

    def _how_it_ended(self, when: str = "") -> str:
        child = self._child
        if child is None or not child.over:
            how = "is gone"
        elif child.returncode is None:
            how = "ended, and another part of this program collected its exit status"
        elif child.returncode < 0:
            number = -child.returncode
            how = f"was killed by signal {number} ({_signal_name(number)})"
        else:
            how = f"exited with status {child.returncode}"
        return f"<{self._plan.command}> {how}{when}{self._tail()}"

    def _tail(self) -> str:
        text = tail(self._plan.stderr)
        return f"; the end of its stderr: {text}" if text else ""

    # ------------------------------------------------------------------ stop

    async def stop(self) -> None:
        """SIGTERM to the process group, SIGKILL after the grace, then remove its files.

        One that is cancelled kills at once, and returns only when the process is gone as well.
        """
        self._connected = False
        self._stopped = True
        self._close_stream()
        try:
            await self.disconnect()
            await self._settle()
            if self._exit is not None and not self._exit.done():
                self._signal(signal.SIGTERM)
                await asyncio.wait({self._exit}, timeout=self._grace)
        finally:
            await self._settle()
            if self._exit is not None:
                if not self._exit.done():
                    self._signal(signal.SIGKILL)
                await self._exit
            if self._logs is not None:
                self._logs.cancel()
            await self._clean_soon()

    async def _settle(self) -> None:
        """Wait for a start that was cut: a process may come of it, which is then killed."""
        if self._starting is not None and not self._starting.done():
            await asyncio.wait({self._starting}, timeout=self._grace)

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.signal_group(number)

    async def _clean_soon(self) -> None:
        try:
            cleaning = in_thread("flamepy-process-clean", self._clean)
        except RuntimeError:  # no thread can be started
            self._clean()
        else:
            await cleaning

    def _clean(self) -> None:
        plan = self._plan
        plan.socket.unlink(missing_ok=True)
        if "\0" in str(plan.folder):
            return  # there can be no such folder
        shutil.rmtree(plan.folder if plan.private else plan.scratch, ignore_errors=True)
        if not plan.private:
            _remove_empty(plan.scratch.parent)
            _remove_empty(plan.scratch.parent.parent)


def _is_cancelled() -> bool:
    # Python 3.10 cannot say; there the end of a process is taken for the reason.
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is not None and cancelling() > 0


def _decoded(method: Method, raw: bytes, *, newer: bool = False) -> Any:
    """Return an answer, or why the bytes are not one."""
    try:
        if newer:
            return of_new_shape(method.name, raw)
        return method.response.FromString(raw)
    except DecodeError as error:
        return f"the service's answer is no {method.response.DESCRIPTOR.name}: {text_of(error)}"


def _failed(text: str, *, died: bool = False) -> BindFailure:
    return BindFailure(SHIM_FAILED, f"shim creation failed: {text}", died=died)


def _os_text(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.strerror} (os error {error.errno})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # files of others are in it
