"""``python -m flamepy.runner.runpy``: the service of runner applications.

It reads the session's ``RunnerContext`` from the object cache, and for each task calls the object
with the arguments of the ``RunnerRequest``. A task's output is where its result is in the cache, or
for a client that asks for it a small result itself. The order and the texts are the official
service's.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flamepy.core.cache import ObjectRef, get_object, update_object
from flamepy.core.service import FlameService, SessionContext, TaskContext, run
from flamepy.errors import InvalidArgumentError
from flamepy.runner.results import output_of
from flamepy.runner.types import RunnerContext, RunnerRequest
from flamepy.service.payload import dump, load
from flamepy.texts import described, text_of

logger = logging.getLogger(__name__)

MAX_PARALLEL_RESOLVE = 8  # references of one call that are fetched side by side


class FlameRunpyService(FlameService):
    """Runs the object of a session's ``RunnerContext``; one call at a time, on one thread."""

    def __init__(self) -> None:
        self._session = ""
        self._application = ""
        self._ref: ObjectRef | None = None
        self._context: RunnerContext | None = None
        self._object: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def on_session_enter(self, context: SessionContext) -> None:
        """Load the object.

        Raises:
            ValueError: the session's common data is not a runner's.
            RuntimeError: the object was pickled by another Python.
        """
        data = context.common_data()
        if data is None:
            raise ValueError("Common data is None in session context")
        self._session, self._application = context.session_id, context.application.name
        self._ref = ObjectRef.decode(data)
        self._load()
        execution_object = self._runner_context().execution_object
        self._object = execution_object() if inspect.isclass(execution_object) else execution_object

    def on_task_invoke(self, context: TaskContext) -> bytes:
        """Call the object; keep its new state; store the result.

        Raises:
            Exception: what the object raised, with the traceback in its text.
        """
        runner_context = self._runner_context()
        if runner_context.stateful:
            self._load()
            self._object = self._runner_context().execution_object
        if context.input is None:
            raise ValueError("Task input is None")
        request = load(context.input)
        if not isinstance(request, RunnerRequest):
            raise ValueError(f"Expected RunnerRequest in task input, got {type(request)}")
        target = self._target(request.method)
        args, kwargs = _fetched(list(request.args or ()), dict(request.kwargs or {}))
        try:
            result = self._finished(target(*args, **kwargs))
        except Exception as error:
            raise RemoteCallError(remote_text(error)) from error
        if runner_context.stateful:
            self._store()
        return output_of(result, request, f"{self._application}/{self._session}")

    def on_session_leave(self) -> None:
        """Forget the object, and close the loop of coroutines."""
        self._context = self._object = self._ref = None
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _runner_context(self) -> RunnerContext:
        assert self._context is not None  # between enter and leave
        return self._context

    def _load(self) -> None:
        assert self._ref is not None
        data = get_object(ObjectRef(self._ref.endpoint, self._ref.key, 0))
        try:
            found = load(data)
        except ModuleNotFoundError as error:
            raise RuntimeError(f"{text_of(error)}{missing(error)}") from error
        if not isinstance(found, RunnerContext):
            raise ValueError(f"Expected RunnerContext in common_data, got {type(found)}")
        self._context = found

    def _store(self) -> None:
        assert self._ref is not None
        old = self._runner_context()
        context = RunnerContext(
            self._object, stateful=old.stateful, autoscale=old.autoscale, warmup=old.warmup
        )
        if "_guard" in old.__dict__:
            context.guarded()
        self._ref = update_object(self._ref, dump(context))

    def _target(self, method: str | None) -> Callable[..., Any]:
        if method is None:
            if not callable(self._object):
                raise ValueError(f"Execution object is not callable: {type(self._object)}")
            called: Callable[..., Any] = self._object
            return called
        if not hasattr(self._object, method):
            raise ValueError(f"Execution object has no method '{method}'")
        found: Any = getattr(self._object, method)
        if not callable(found):
            raise ValueError(f"Attribute '{method}' is not callable")
        target: Callable[..., Any] = found
        return target

    def _finished(self, result: Any) -> Any:
        """Return a result that can travel: coroutines are awaited, generators read to their end."""
        if inspect.isawaitable(result):
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(_awaited(result))
        return list(result) if inspect.isgenerator(result) else result


class RemoteCallError(RuntimeError):
    """A call raised; the text is the exception's, and its traceback."""


def remote_text(error: BaseException) -> str:
    """Return an exception's text, its class and the traceback below the service's own frames."""
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    lines = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    return f"{text_of(error) or described(error)}{missing(error)}\n\nRemote traceback:\n{lines}"


def missing(error: BaseException) -> str:
    """Return what to do, for the end of an error's text, if a module is missing; else nothing."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return (
        ": it is neither in the package, which is the working directory of the program that made "
        "the Runner, nor installed here; start that program in the folder of the module, or name "
        "what has to be installed in Runner(dependencies=[...])"
    )


async def _awaited(result: Any) -> Any:
    return await result


def _fetched(args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Replace references among the arguments by their objects, several at a time."""
    places: list[tuple[str, Callable[[Any], None], ObjectRef]] = []
    for index, value in enumerate(args):
        if (ref := _reference(value)) is not None:
            places.append((f"arg:{index}", lambda v, i=index: args.__setitem__(i, v), ref))  # type: ignore[misc]  # bound by default
    for name, value in kwargs.items():
        if (ref := _reference(value)) is not None:
            places.append((f"kwarg:{name}", lambda v, n=name: kwargs.__setitem__(n, v), ref))  # type: ignore[misc]  # as above
    if len(places) == 1:
        _, put, ref = places[0]
        put(get_object(ref))
    elif places:
        with ThreadPoolExecutor(min(MAX_PARALLEL_RESOLVE, len(places))) as pool:
            for (where, put, _), read in zip(
                places, [pool.submit(get_object, ref) for _, _, ref in places], strict=True
            ):
                try:
                    put(read.result())
                except Exception as error:
                    raise ValueError(
                        f"Failed to resolve ObjectRef at {where}: {text_of(error)}"
                    ) from error
    return args, kwargs


def _reference(value: Any) -> ObjectRef | None:
    if isinstance(value, ObjectRef):
        return value
    if isinstance(value, bytes) and value:
        try:
            return ObjectRef.decode(value)
        except InvalidArgumentError:
            return None
    return None


def main() -> None:
    """Serve until the executor ends the process."""
    level = getattr(logging, os.environ.get("FLAME_LOG", "").upper(), None)
    logging.basicConfig(level=level if isinstance(level, int) else logging.INFO)
    run(FlameRunpyService())


if __name__ == "__main__":
    main()
