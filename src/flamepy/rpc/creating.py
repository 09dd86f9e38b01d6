"""``Creation``: making one task, once, whatever happens to the answer.

A CreateTask is never cancelled on the wire: an engine whose handler is cut in the middle may keep
a task that nobody sees. A caller whose time is up leaves; the call goes on, and its task is left
out when others look for theirs (``claims``). Times: docs/retry.md#time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
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
from flamepy.rpc.claims import Reads, Submission
from flamepy.rpc.status import Call
from flamepy.rpc.terms import RAISE, RETRY, check_mode
from flamepy.rpc.verdicts import Failure
from flamepy.types import RetryPolicy, Task
from flamepy.wire.services import FRONTEND
from flamepy.wire.tasks import decode_task, encode_task_spec

if TYPE_CHECKING:
    from flamepy.rpc.frontend import Frontend
    from flamepy.rpc.terms import Terms

ON_WIRE = 300.0  # seconds after which a call is cut that its caller has long left


class Creation:
    """See the module.

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
        self._flying = False  # a call goes on behind us

    async def run(self, terms: Terms, retry: RetryPolicy | None) -> Task:
        """Return the task as acknowledged.

        Raises:
            SessionNotFoundError, SessionClosedError: no task can be made here.
            AmbiguousResultError: it is not known whether it was made.
        """
        self._retry = retry
        claims, start = self._frontend.claims, asyncio.get_running_loop().time()

        def left() -> float | None:
            spent = asyncio.get_running_loop().time() - start
            return None if terms.timeout is None else max(0.001, terms.timeout - spent)

        if not claims.knows(self._session_id):
            await self._frontend.get_session(self._session_id, timeout=left(), retry=retry)
        submission = claims.begin(self._session_id, self._payload)

        async def attempt(seconds: float) -> Task:
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
                self._got(decode_task(reply), submission)
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
        if not self._got(task, submission):
            # Somebody who looked for an equal one has it: then ours is one that nobody has.
            taken = UnavailableError(f"task {task.id} was adopted by an equal submission")
            taken.failure = Failure.LOST.value
            raise taken
        return task

    def _got(self, task: Task, submission: Submission) -> bool:
        if not task.id.isdecimal():
            return True
        return submission.ledger.got(int(task.id), task.creation_time, submission)

    async def _resolve(self, submission: Submission, error: FlameError, left: float) -> Task | None:
        if self._mode == RETRY:
            return None
        if self._mode == RAISE:
            raise AmbiguousResultError(
                f"a task for session {self._session_id!r} may or may not have been made: "
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
                f"the tasks of session {session_id!r} could not be read in time"
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
            f"session {self._session_id!r} is {found.state.name}: {refused.message}",
            grpc_code=refused.grpc_code,
        )
