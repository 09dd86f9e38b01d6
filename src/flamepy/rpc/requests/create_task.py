"""``Creation``: making one task, once, whatever happens to the answer.

A CreateTask is never cancelled on the wire: an engine whose handler is cut in the middle may keep
a task that no client knows. A caller whose time is up leaves; the call stays in flight, and its
task is left out when other calls look for theirs (``adoption``). Times: docs/retry.md#time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import grpc

from flamepy._proto import types_pb2
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
from flamepy.rpc.retry.call_limits import RAISE, RETRY, VERIFY, check_mode
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.retry.retrier import is_disabled
from flamepy.rpc.transport.attempt import ON_WIRE, Attempt, CreateAttempt
from flamepy.rpc.transport.status import Call
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy, Task
from flamepy.wire.tasks import decode_task, encode_create_task
from flamepy.wire.times import from_millis

if TYPE_CHECKING:
    from flamepy.rpc.requests.frontend import Frontend
    from flamepy.rpc.retry.call_limits import Terms

NAME = "CreateTask"
SHORTEST = 0.001  # seconds


class Creation:
    """Creates one task exactly once, although answers may be lost.

    Args:
        frontend: makes the calls.
        session_id: where.
        payload: the input.
        on_ambiguous: what is done when it is not known whether the task was made.
        retry: for the reads that it may need.
        affinity: the keys of executors that it prefers.
    """

    def __init__(
        self,
        frontend: Frontend,
        session_id: str,
        payload: bytes | None,
        on_ambiguous: str,
        retry: RetryPolicy | None,
        affinity: Collection[bytes] = (),
    ) -> None:
        if on_ambiguous != VERIFY:
            check_mode(on_ambiguous)
        self._frontend = frontend
        self._session_id = session_id
        self._payload = payload
        self._mode = on_ambiguous
        self._retry = retry
        self._affinity = affinity

    async def run(self, terms: Terms, first: FailedTry | None = None) -> Task:
        """Return the task as acknowledged.

        Args:
            terms: what bounds it.
            first: a try of ``Series`` that has failed: it continues after that one.

        Raises:
            SessionNotFoundError, SessionClosedError: no task can be made here.
            AmbiguousResultError: it is not known whether it was made.
        """
        frontend, session_id, own = self._frontend, self._session_id, terms
        start = asyncio.get_running_loop().time()
        if first is not None:
            submission = first.submission
        else:
            if not frontend.claims.knows(session_id):
                await frontend.get_session(session_id, timeout=terms.timeout, retry=self._retry)
                own = replace(terms, timeout=_left(terms, start))
            submission = frontend.claims.begin(session_id, self._payload)
        attempt = CreateAttempt(
            frontend.transport,
            Call(NAME, frontend.endpoint, session_id, request=self._payload),
            encode_create_task(session_id, self._payload, frontend.workspace, self._affinity),
            partial(_acknowledged, submission),
            partial(_landed, submission),
        )
        resolve, retrier = partial(self._resolve, submission), frontend.retrier
        try:
            if first is None:
                return await retrier.run(NAME, own, attempt.run, resolve)
            return await retrier.repeat(first.error, NAME, own, attempt.run, resolve, start)
        except SessionNotFoundError as refused:
            raise await self._explained(refused, _left(terms, start)) from refused
        finally:
            if not attempt.in_flight:
                submission.ledger.end(submission)

    async def _resolve(self, submission: Submission, error: FlameError, left: float) -> Task | None:
        if self._mode == RETRY:
            return None
        if self._mode == RAISE:
            raise AmbiguousResultError(
                f"a task for session {repr_of(self._session_id)} may or may not have been made: "
                f"{error.message}",
                grpc_code=error.grpc_code,
            ) from error
        limit = _now() + left
        frontend, session_id, retry = self._frontend, self._session_id, self._retry

        def rest() -> float:
            return max(SHORTEST, limit - _now())

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
            found = await asyncio.wait_for(finding, max(SHORTEST, left))
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
class CreatedTask:
    """A task that was created: its number and the time of its creation."""

    number: int
    born: datetime


@dataclass(frozen=True, slots=True)
class FailedTry:
    """A first try that has failed."""

    submission: Submission
    error: FlameError


class Series:
    """Creates many tasks of one session, by the same rules as ``Creation`` and with less work.

    Its caller is never cancelled, and does not leave: a call that an engine does not answer
    is over after ``ON_WIRE`` seconds, or when the connection's keepalive ends.

    Args:
        frontend: makes the calls.
        session_id: where.
        terms: what bounds each of them.
        retry: see ``Creation``.
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
        self._call = Call(NAME, frontend.endpoint, session_id)

    async def begin(self) -> None:
        """Read the session if need be. Raises SessionNotFoundError."""
        if not self._frontend.claims.knows(self._session_id):
            timeout = self._terms.timeout
            await self._frontend.get_session(self._session_id, timeout=timeout, retry=self._retry)

    async def create(self, payload: bytes) -> CreatedTask:
        """Create one task; raises what ``Creation.run`` does."""
        frontend, session_id = self._frontend, self._session_id
        if frontend.transport.around is not None:
            # What a user puts around a call may cancel it, which ``Attempt`` must never be.
            creation = Creation(frontend, session_id, payload, self._mode, self._retry)
            task = await creation.run(self._terms)
            return CreatedTask(int(task.id), task.creation_time)
        if not frontend.claims.knows(session_id):  # many others were used since ``begin``
            await self.begin()
        submission = frontend.claims.begin(session_id, payload)
        request = encode_create_task(session_id, payload, frontend.workspace)
        decode = partial(_created, submission)
        attempt = Attempt(frontend.transport, self._call, request, decode)
        try:
            made = await attempt.run(ON_WIRE)
        except FlameError as error:
            if is_disabled():
                submission.ledger.end(submission)
                raise
            creation = Creation(frontend, session_id, payload, self._mode, self._retry)
            task = await creation.run(self._terms, FailedTry(submission, error))
            return CreatedTask(int(task.id), task.creation_time)
        except BaseException:
            submission.ledger.end(submission)
            raise
        submission.ledger.end(submission)
        frontend.retrier.done()
        return made


def _acknowledged(submission: Submission, reply: types_pb2.Task) -> Task:
    task = decode_task(reply)
    _take(submission, task.id, task.creation_time)
    return task


def _created(submission: Submission, reply: types_pb2.Task) -> CreatedTask:
    born = from_millis(reply.status.creation_time)
    number = reply.metadata.name or reply.metadata.id
    _take(submission, number, born)
    return CreatedTask(int(number), born)


def _landed(submission: Submission, reply: types_pb2.Task | None) -> None:
    """Give a submission the task whose reply its caller did not wait for."""
    number = "" if reply is None else reply.metadata.name or reply.metadata.id
    if reply is not None and number.isdecimal():
        born = from_millis(reply.status.creation_time)
        submission.ledger.got(int(number), born, submission)
    submission.ledger.end(submission)


def _take(submission: Submission, task_id: str, born: datetime) -> None:
    """Give a submission the task that it was answered."""
    if task_id.isdecimal() and not submission.ledger.got(int(task_id), born, submission):
        # An equal submission has adopted it: then our own task belongs to no submission.
        taken = UnavailableError(f"task {task_id} was adopted by an equal submission")
        taken.failure = Failure.LOST.value
        raise taken


def _left(terms: Terms, start: float) -> float | None:
    """Return the seconds that a creation has left which began at ``start``."""
    return None if terms.timeout is None else max(SHORTEST, terms.timeout - (_now() - start))


def _now() -> float:
    return asyncio.get_running_loop().time()
