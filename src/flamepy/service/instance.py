"""``FlameInstance``: a typed service, one function that gets and returns Python objects."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from flamepy.core.cache import ObjectRef, get_object, update_object
from flamepy.core.service import FlameService, SessionContext, TaskContext
from flamepy.core.service import run as run_service
from flamepy.core.types import FLAME_INSTANCE_ENDPOINT as FLAME_INSTANCE_ENDPOINT
from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.service.payload import dump, load
from flamepy.texts import described, repr_of

F = TypeVar("F", bound=Callable[..., Any])


class FlameInstance(FlameService):
    """A service whose tasks call one function, the entrypoint.

    ::

        instance = FlameInstance()

        @instance.entrypoint
        def double(number: int) -> int:
            return 2 * number

        if __name__ == "__main__":
            instance.run()

    Requests are handled one at a time, on one thread. An ``async def`` entrypoint runs on an event
    loop that lives as long as the process, so that clients and pools may be kept between tasks.

    Attributes:
        session_id: the session that this process serves; None between sessions.
        task_id: the task that is being done; None between tasks.
    """

    def __init__(self) -> None:
        self.session_id: str | None = None
        self.task_id: str | None = None
        self._entrypoint: Callable[..., Any] | None = None
        self._takes_request = False
        self._ref: ObjectRef | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def entrypoint(self, func: F) -> F:
        """Make a function the entrypoint; a later one takes its place.

        Args:
            func: takes the request, or nothing; plain or ``async def``. None as its result leaves
                the task's output unset.

        Raises:
            AssertionError: it has more than one parameter, or one of another kind.
        """
        parameters = list(inspect.signature(func).parameters.values())
        if len(parameters) > 1:
            raise AssertionError("Entrypoint must have exactly zero or one parameter")
        if parameters and parameters[0].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise AssertionError("Parameter must be positional or keyword")
        self._entrypoint, self._takes_request = func, bool(parameters)
        return func

    def context(self) -> Any:
        """Return the session's context object as it is in the cache now; None without one."""
        ref = self._ref
        return None if ref is None else load(get_object(ObjectRef(ref.endpoint, ref.key, 0)))

    def update_context(self, data: Any) -> None:
        """Replace the session's context object, for this process and every other of the session.

        Raises:
            InvalidStateError: the session was opened without a context.
        """
        if self._ref is None:
            raise InvalidStateError(
                f"session {repr_of(self.session_id)} has no context to update: its client "
                "passes one, Session(name, ctx=...)"
            )
        self._ref = update_object(self._ref, dump(data, "the context"))

    def run(self) -> None:
        """Serve until the executor ends the process; call it on the main thread.

        Raises:
            FlameError: it was not started by an executor, or its socket cannot be bound; the
                process then ends with a status that says so.
        """
        run_service(self)

    def on_session_enter(self, context: SessionContext) -> None:
        """Keep the session's id and where its context is."""
        data = context.common_data()
        self._ref = None if data is None else ObjectRef.decode(data)
        self.session_id = context.session_id

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        """Call the entrypoint with the unpickled input; return its pickled result.

        Raises:
            InvalidStateError: there is no entrypoint.
            RuntimeError: the entrypoint raised; names it and has its text.
        """
        function = self._entrypoint
        if function is None:
            raise InvalidStateError(
                "the service has no entrypoint: decorate a function with @instance.entrypoint"
            )
        request = _request(context.input)
        self.task_id = context.task_id
        try:
            result = self._call(function, request)
        except Exception as error:
            name = getattr(function, "__name__", "entrypoint")
            raise RuntimeError(f"entrypoint {repr_of(name)} raised {described(error)}") from error
        finally:
            self.task_id = None
        return None if result is None else dump(result, "the result of the entrypoint")

    def on_session_leave(self) -> None:
        """Forget the session, and close the loop of coroutines."""
        self._ref = self.session_id = None
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _call(self, function: Callable[..., Any], request: Any) -> Any:
        result = function(request) if self._takes_request else function()
        if not inspect.isawaitable(result):
            return result
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_awaited(result))


def _request(data: bytes | None) -> Any:
    try:
        return load(data)
    except Exception as error:
        raise InvalidArgumentError(
            f"the task's input of {len(data or b'')} bytes cannot be unpickled: "
            f"{described(error)}; a typed service is called by flamepy.service.Session"
        ) from error


async def _awaited(result: Any) -> Any:
    return await result
