"""What ``flamepy check-service`` does with a service: trials in their order, each a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from google.protobuf.message import Message

from flamepy.cli.checks import service_verdicts as verdicts
from flamepy.cli.checks.findings import Finding, Verdict, skipped, warned
from flamepy.cli.checks.service_trial import Trial
from flamepy.cli.checks.service_verdicts import Kind
from flamepy.local.folders import Folders, make_folders
from flamepy.local.services.environment import launch
from flamepy.local.services.reaper import Reaper
from flamepy.types import Application, ApplicationState, TaskContext
from flamepy.wire.services import INSTANCE
from flamepy.wire.shim import encode_session_context, encode_task_context

NO_FRONTEND = "http://127.0.0.1:1"  # FLAME_ENDPOINT: there is no frontend to call back
CLUSTER_SIZE = 4 * 1024 * 1024 - 64 * 1024  # bytes of the largest input that clients send
LARGE_SIZE = 64 * 1024 * 1024
MIDDLE = 0.05  # seconds between a task and SIGTERM
AFTER_LEAVE = 0.2  # seconds in which a service may end by itself


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to check, and with what.

    Attributes:
        command: program and arguments.
        input: of tasks that have to succeed; None if any answer is right.
        common_data: of sessions; None if nothing is known of it.
        timeout: seconds of a call.
        bind_timeout: seconds to the socket.
    """

    command: tuple[str, ...]
    input: bytes | None = None
    common_data: bytes | None = None
    timeout: float = 30.0
    bind_timeout: float = 30.0


async def examine(wanted: Wanted) -> AsyncGenerator[Finding, None]:
    """Yield the findings, each as soon as it is known.

    Raises:
        ConfigError: there is no folder for temporary files or sockets.
    """
    folders = make_folders()
    reaper = Reaper(folders)
    try:
        reaper.start()
        command, hint = absolute(wanted.command, Path.cwd())
        if hint is not None:
            yield hint
        examination = _Examination(wanted, command, folders, reaper)
        async with contextlib.aclosing(examination.findings()) as findings:
            async for finding in findings:
                yield finding
    finally:
        reaper.close()
        folders.remove()


def absolute(command: tuple[str, ...], here: Path) -> tuple[tuple[str, ...], Finding | None]:
    """Return a command whose files are found in any folder, and a warning if that changes it."""
    program = command[0]
    found = shutil.which(program) if "/" not in program else str(here / program)
    words = [found or program, *command[1:]]
    changed = [program] if "/" in program and not os.path.isabs(program) else []
    for number, word in enumerate(command[1:], start=1):
        # A word may be no name of a file at all; os.path.isfile refuses none.
        if not os.path.isabs(word) and not word.startswith("-") and os.path.isfile(here / word):
            words[number] = str(here / word)
            changed.append(word)
    if not changed:
        return tuple(words), None
    says = f"found in this folder: {', '.join(changed)}"
    advice = f"executors start elsewhere: register {' '.join(words)}"
    return tuple(words), warned("command", says, advice)


class _Examination:
    """The trials of one service, each a process of its own."""

    def __init__(
        self, wanted: Wanted, command: tuple[str, ...], folders: Folders, reaper: Reaper
    ) -> None:
        self._wanted = wanted
        self._folders = folders
        self._reaper = reaper
        self._application = Application(
            *("check-service", "check-service"),
            ApplicationState.ENABLED,
            datetime.now(timezone.utc),
            command=command[0],
            arguments=command[1:],
        )

    async def findings(self) -> AsyncGenerator[Finding, None]:
        """Yield what is found; without a session nothing further is tried."""
        verdict = Verdict.OK
        async with contextlib.aclosing(self._session()) as session:
            async for finding in session:
                yield finding
                if finding.check in ("start", "enter"):
                    verdict = finding.verdict
        if verdict is Verdict.FAILED:
            yield skipped("the rest", "not tried: it needs a start and a session")
            return
        for part in (self._bare, self._early, self._second, self._cut, self._old_socket):
            async with contextlib.aclosing(part()) as findings:
                async for finding in findings:
                    yield finding

    async def _session(self) -> AsyncGenerator[Finding, None]:
        """One session from its start to its end."""
        wanted = self._wanted
        async with self._trial() as trial:
            finding = verdicts.start("start", await trial.start())
            yield finding
            if finding.verdict is Verdict.FAILED:
                return
            given = wanted.common_data is not None
            data = wanted.common_data if given else b"common data"
            reply = await trial.enter(self._context(data))
            yield verdicts.enter("enter", reply, given=given)
            if reply.kind is not Kind.ANSWER:
                return
            if reply.return_code == 0:
                async with contextlib.aclosing(self._tasks(trial)) as tasks:
                    async for finding in tasks:
                        yield finding
            died = trial.gone
            if not died:
                yield verdicts.leave("leave", await trial.call("OnSessionLeave", _nothing()))
            end = await trial.end(AFTER_LEAVE)
            if not died:
                yield verdicts.end("end", end)
            yield verdicts.children("children", end)
            yield verdicts.logs("logs", end)

    async def _tasks(self, trial: Trial) -> AsyncGenerator[Finding, None]:
        """Invoke tasks one after another, until one of them is the service's end."""
        must_succeed = self._wanted.input is not None
        if trial.stream is not None:
            request = encode_task_context(TaskContext("1", "check", self._input))
            reply = await trial.by_stream(trial.stream, request)
            yield verdicts.task("task stream", reply, must_succeed=must_succeed)
            if trial.gone:
                return
        reply = await self._invoke(trial, "2", self._input)
        finding = verdicts.task("task", reply, must_succeed=must_succeed)
        yield verdicts.small_output(finding, reply)
        refuses_all = reply.kind is Kind.STATUS
        for number, check, data in (("3", "no input", None), ("4", "0 bytes", b"")):
            if not trial.gone:
                yield verdicts.task(check, await self._invoke(trial, number, data))
        for number, size, required in (("5", CLUSTER_SIZE, True), ("6", LARGE_SIZE, False)):
            if not trial.gone and not refuses_all:
                reply = await self._invoke(trial, number, bytes(size))
                yield verdicts.large("large input", reply, size=size, required=required)
        if not trial.gone:
            reply = await self._invoke(trial, "7", self._input)
            yield verdicts.task("and after", reply, must_succeed=must_succeed)

    async def _bare(self) -> AsyncGenerator[Finding, None]:
        """Enter a session without common data, and leave it without a task."""
        async with self._started("bare session") as (trial, problem):
            if problem is not None:
                yield problem
                return
            reply = await self._enter(trial, None)
            yield verdicts.bare_enter("bare session", reply)
            if reply.kind is Kind.ANSWER:
                left = await trial.call("OnSessionLeave", _nothing())
                yield verdicts.leave("bare leave", left)

    async def _early(self) -> AsyncGenerator[Finding, None]:
        """Invoke a task before there is a session."""
        async with self._started("early task") as (trial, problem):
            if problem is not None:
                yield problem
                return
            reply = await self._invoke(trial, "1", self._input)
            yield verdicts.unusual("early task", reply, "a task before the session")

    async def _second(self) -> AsyncGenerator[Finding, None]:
        """Enter a second session, and see that a task is answered still."""
        async with self._started("second enter") as (trial, problem):
            if problem is not None:
                yield problem
                return
            for _ in range(2):
                reply = await self._enter(trial, self._wanted.common_data)
                if reply.kind in verdicts.BROKEN:
                    break
            yield verdicts.unusual("second enter", reply, "another session's start")
            if reply.kind not in verdicts.BROKEN:
                reply = await self._invoke(trial, "1", self._input)
                yield verdicts.unusual("second enter", reply, "a task after it")

    async def _cut(self) -> AsyncGenerator[Finding, None]:
        """Send SIGTERM while a task runs."""
        async with self._started("SIGTERM") as (trial, problem):
            if problem is not None:
                yield problem
                return
            await self._enter(trial, self._wanted.common_data)
            task = asyncio.ensure_future(self._invoke(trial, "1", self._input))
            await asyncio.sleep(MIDDLE)
            end = await trial.end()
            yield verdicts.cut_task("SIGTERM", await task)
            yield verdicts.end("SIGTERM", end)
            yield verdicts.children("SIGTERM", end)

    async def _old_socket(self) -> AsyncGenerator[Finding, None]:
        """Start it where a process that was killed has left its socket."""
        async with self._trial(old_socket=True) as trial:
            yield verdicts.old_socket("old socket", await trial.start())

    # ------------------------------------------------------------------ parts

    @property
    def _input(self) -> bytes:
        return b"input" if self._wanted.input is None else self._wanted.input

    @contextlib.asynccontextmanager
    async def _started(self, check: str) -> AsyncIterator[tuple[Trial, Finding | None]]:
        """Give a started process, and a finding where it did not start."""
        async with self._trial() as trial:
            finding = verdicts.start(check, await trial.start())
            yield trial, finding if finding.verdict is Verdict.FAILED else None

    def _trial(self, *, old_socket: bool = False) -> Trial:
        wanted = self._wanted
        plan = launch(
            self._application,
            str(uuid.uuid4()),
            root=self._folders.work,
            sockets=self._folders.sockets,
            endpoint=NO_FRONTEND,
            cache_endpoint=None,
            environ=os.environ,
        )
        if old_socket:
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(plan.socket))
        return Trial(
            plan, reaper=self._reaper, bind_timeout=wanted.bind_timeout, timeout=wanted.timeout
        )

    async def _enter(self, trial: Trial, common_data: bytes | None) -> verdicts.Reply:
        return await trial.call("OnSessionEnter", self._context(common_data))

    def _context(self, common_data: bytes | None) -> Message:
        return encode_session_context("check", self._application, common_data)

    async def _invoke(self, trial: Trial, number: str, data: bytes | None) -> verdicts.Reply:
        context = TaskContext(number, "check", data)
        return await trial.call("OnTaskInvoke", encode_task_context(context))


def _nothing() -> Message:
    return INSTANCE["OnSessionLeave"].request()
