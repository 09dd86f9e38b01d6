"""``Creation``: making one task, once, whatever happens to the answer.

A CreateTask is never cancelled on the wire: an engine whose handler is cut in the middle may keep
a task that no client knows. A caller whose time is up leaves; the call stays in flight, and its
task is left out when other calls look for theirs (``adoption``). Times: docs/retry.md#time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import grpc

from flamepy.errors import (
    AmbiguousResultError,
    DeadlineExceededError,
    FlameError,
    SessionClosedError,
    SessionNotFoundError,
    TaskNotFoundError,
    UnavailableError,
)
from flamepy.rpc.requests.adoption import Reads, Submission
from flamepy.rpc.retry.call_limits import RAISE, RETRY, check_mode
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.retry.retrier import is_disabled
from flamepy.rpc.transport.status import Call
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy, Task
from flamepy.wire.services import FRONTEND
from flamepy.wire.tasks import decode_task, encode_task_spec
from flamepy.wire.times import from_millis

if TYPE_CHECKING:
    from flamepy.rpc.requests.frontend import Frontend
    from flamepy.rpc.retry.call_limits import Terms

ON_WIRE = 300.0  # seconds after which a call is cut that its caller has long left


class Creation:
    """Creates one task exactly once, although answers may be lost.

    Args:
        frontend: makes the calls.
        session_id: where.
        payload: the input.
        on_ambiguous: what is done when it is not known whether the task was made.
    """

    def __init__(
        self, frontend: Frontend, session_id: str, payload: bytes | None, on_ambiguous: str
    ) -> None:
        check_mode(on_ambiguous)
        self._frontend = frontend
        self._session_id = session_id
        self._payload = payload
        self._mode = on_ambiguous
        self._call = Call("CreateTask", frontend.endpoint, session_id)
        self._request = FRONTEND["CreateTask"].request(task=encode_task_spec(session_id, payload))
        self._retry: RetryPolicy | None = None
        self._flying = False  # a call is in flight that we no longer await

    async def run(
        self, terms: Terms, retry: RetryPolicy | None, first: Failed | None = None
    ) -> Task:
        """Return the task as acknowledged.

        Args:
            terms: what bounds it.
            retry: for the reads that it may need.
            first: a try of ``Series`` that has failed: it continues after that one.

        Raises:
            SessionNotFoundError, SessionClosedError: no task can be made here.
            AmbiguousResultError: it is not known whether it was made.
        """
        self._retry = retry
        claims, start = self._frontend.claims, asyncio.get_running_loop().time()

        def left() -> float | None:
            spent = asyncio.get_running_loop().time() - start
            return None if terms.timeout is None else max(0.001, terms.timeout - spent)

        if first is None:
            if not claims.knows(self._session_id):
                await self._frontend.get_session(self._session_id, timeout=left(), retry=retry)
            submission = claims.begin(self._session_id, self._payload)
        else:
            submission = first.submission

        async def attempt(seconds: float) -> Task:
            nonlocal first
            if first is not None:
                error, first = first.error, None
                raise error
            return await self._attempt(submission, seconds)

        async def resolve(error: FlameError, seconds: float) -> Task | None:
            return await self._resolve(submission, error, seconds)

        try:
            own = replace(terms, timeout=left())
            return await self._frontend.retrier.run("CreateTask", own, attempt, resolve)
        except SessionNotFoundError as refused:
            raise await self._explained(refused, left()) from refused
        finally:
            if not self._flying:
                submission.ledger.end(submission)

    async def _attempt(self, submission: Submission, left: float) -> Task:
        def landed(reply: Any) -> None:
            if reply is not None:
                task = decode_task(reply)
                _is_ours(submission, task.id, task.creation_time)
            submission.ledger.end(submission)

        self._flying = True
        try:
            reply = await self._frontend.attempt(
                self._call, self._request, max(ON_WIRE, left), leave=left, detached=landed
            )
        except FlameError as error:
            self._flying = error.failure is None  # then it was left
            raise
        task = decode_task(reply)
        self._flying = False
        _take(submission, task.id, task.creation_time)
        return task

    async def _resolve(self, submission: Submission, error: FlameError, left: float) -> Task | None:
        if self._mode == RETRY:
            return None
        if self._mode == RAISE:
            raise AmbiguousResultError(
                f"a task for session {repr_of(self._session_id)} may or may not have been made: "
                f"{error.message}",
                grpc_code=error.grpc_code,
            ) from error
        limit = asyncio.get_running_loop().time() + left
        frontend, session_id, retry = self._frontend, self._session_id, self._retry

        def rest() -> float:
            return max(0.001, limit - asyncio.get_running_loop().time())

        async def get(number: int) -> Task | None:
            try:
                return await frontend.get_task(session_id, str(number), timeout=rest(), retry=retry)
            except TaskNotFoundError:
                return None

        async def total() -> int:
            found = await frontend.get_session(session_id, timeout=rest(), retry=retry)
            return found.counts.total

        async def listed() -> AsyncIterator[Task]:
            for task in await frontend.collect_tasks(session_id, timeout=rest(), retry=retry):
                yield task

        finding = submission.ledger.find(submission, Reads(get, total, listed))
        try:
            found = await asyncio.wait_for(finding, max(0.001, left))
        except asyncio.TimeoutError:  # another submission with more time reads for both
            raise DeadlineExceededError(
                f"the tasks of session {repr_of(session_id)} could not be read in time"
            ) from None
        if found is None:
            return None
        try:
            task = await get(found)
        except FlameError:
            submission.ledger.give_up(submission)
            raise
        return task

    async def _explained(self, refused: SessionNotFoundError, timeout: float | None) -> FlameError:
        """Return what a refusal means: sqlite says the same of a closed session."""
        if refused.grpc_code != grpc.StatusCode.INTERNAL.name:
            return refused
        found = await self._frontend.get_session(
            self._session_id, timeout=timeout, retry=self._retry
        )
        return SessionClosedError(
            f"session {repr_of(self._session_id)} is {found.state.name}: {refused.message}",
            grpc_code=refused.grpc_code,
        )


@dataclass(frozen=True, slots=True)
class Made:
    """A task that was made: its number and the time of its creation."""

    number: int
    born: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """A first try that has failed."""

    submission: Submission
    error: FlameError


class Series:
    """Makes many tasks of one session, by the same rules as ``Creation`` and with less ado.

    Its caller is never cancelled, and does not leave: a call that an engine does not answer
    is over after ``ON_WIRE`` seconds, or when the connection's keepalive ends.

    Args:
        frontend: makes the calls.
        session_id: where.
        terms: what bounds each of them.
        retry: see ``Creation.run``.
        on_ambiguous: see ``Creation``.
    """

    def __init__(
        self,
        frontend: Frontend,
        session_id: str,
        terms: Terms,
        retry: RetryPolicy | None,
        on_ambiguous: str,
    ) -> None:
        check_mode(on_ambiguous)
        self._frontend = frontend
        self._session_id = session_id
        self._terms = terms
        self._retry = retry
        self._mode = on_ambiguous
        self._call = Call("CreateTask", frontend.endpoint, session_id)
        self._kind: type[Any] = FRONTEND["CreateTask"].request  # Any: the table knows no fields

    async def begin(self) -> None:
        """Read the session if need be. Raises SessionNotFoundError."""
        if not self._frontend.claims.knows(self._session_id):
            timeout = self._terms.timeout
            await self._frontend.get_session(self._session_id, timeout=timeout, retry=self._retry)

    async def create(self, payload: bytes) -> Made:
        """Make one task; raises what ``Creation.run`` does."""
        frontend = self._frontend
        if not frontend.claims.knows(self._session_id):  # many others were used since ``begin``
            await self.begin()
        submission = frontend.claims.begin(self._session_id, payload)
        request = self._kind()
        request.task.session_id, request.task.input = self._session_id, payload
        try:
            reply = await frontend.attempt_whole(self._call, request, ON_WIRE)
            born = from_millis(reply.status.creation_time)
            _take(submission, reply.metadata.id, born)
        except FlameError as error:
            if is_disabled():
                submission.ledger.end(submission)
                raise
            creation = Creation(frontend, self._session_id, payload, self._mode)
            failed = Failed(submission, error)
            task = await creation.run(self._terms, self._retry, failed)
            return Made(int(task.id), task.creation_time)
        except BaseException:
            submission.ledger.end(submission)
            raise
        submission.ledger.end(submission)
        frontend.retrier.done()
        return Made(int(reply.metadata.id), born)


def _is_ours(submission: Submission, task_id: str, born: datetime) -> bool:
    """Give a submission the task that it was answered; False if another one has it."""
    return not task_id.isdecimal() or submission.ledger.got(int(task_id), born, submission)


def _take(submission: Submission, task_id: str, born: datetime) -> None:
    if not _is_ours(submission, task_id, born):
        # An equal submission has adopted it: then our own task belongs to no submission.
        taken = UnavailableError(f"task {task_id} was adopted by an equal submission")
        taken.failure = Failure.LOST.value
        raise taken
