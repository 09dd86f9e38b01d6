"""``RunnerService``: the methods of a shipped object, callable from here; each call is a task."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flamepy.aio.connection import short_name
from flamepy.aio.read_ahead import AUTO, Window
from flamepy.core.cache import ObjectRef, delete_objects, get_object, put_object
from flamepy.core.client import open_session
from flamepy.core.closing import ClosesAtExit
from flamepy.core.session import Session
from flamepy.errors import FlameError, InvalidArgumentError, InvalidStateError, SessionBusyError
from flamepy.informers.informer import TaskInformer
from flamepy.progress_bars import reported, size_of
from flamepy.runner.arguments import by_value, packed
from flamepy.runner.futures import ObjectFuture, fetched
from flamepy.runner.progress import Steps
from flamepy.runner.types import RunnerContext, SessionContext
from flamepy.service.payload import dump, load
from flamepy.texts import repr_of
from flamepy.types import ResourceRequirement, SessionAttributes

logger = logging.getLogger(__name__)

LABEL_LENGTH = 40  # characters of a session id that say what it runs


class RunnerService(ClosesAtExit):
    """What ``Runner.service`` returns: a function's service is callable, an object's has methods.

    Every call returns an ``ObjectFuture`` once the engine has acknowledged its task; ``map`` of a
    function's service, and of each method, makes many calls. Arguments that
    are futures wait for their calls and travel as references; large ones travel through the object
    cache. Calls may come from any thread.

    Args:
        app: the application.
        execution_object: a function, a class (made without arguments on the executor), or an
            instance, whose state is kept between calls. Its attribute ``_session_context``, a
            ``SessionContext``, chooses the session's id.
        autoscale, warmup: see ``RunnerContext``.
        resreq: resources of an executor.
        informer: receives the changes of this service's tasks.

    Attributes:
        session_id: of the session whose tasks are this service's calls.

    Raises:
        ValueError: options that the object's kind does not have; no object; no informer.
        InvalidStateError: a session of that id runs another object.
        FlameError: as of ``open_session`` and ``put_object``.
    """

    def __init__(
        self,
        app: str,
        execution_object: Any,
        autoscale: bool | None = None,
        warmup: int = 0,
        resreq: ResourceRequirement | None = None,
        *,
        informer: TaskInformer | None = None,
    ) -> None:
        if execution_object is None:
            raise InvalidArgumentError(
                "execution_object must be a function, a class or an instance, got None"
            )
        self._app = app
        self._execution_object = execution_object
        self._informer = checked_informer(informer)
        context = RunnerContext(execution_object, autoscale=autoscale, warmup=warmup)
        self.session_id = _chosen_id(execution_object) or short_name(
            f"{app}-{_label(execution_object)}".rstrip("-")
        )
        self._prefix = f"{app}/{self.session_id}"
        self._ref = put_object(self._prefix, _pickled(context))
        self._session: Session | None = None
        self._joined = True
        try:
            self._session = self._open(context, resreq)
            self._joined = self._session.common_data() != self._ref.encode()
            if self._joined:
                _check_same(self._session, execution_object)
        finally:
            if self._joined:  # or refused: the context that was put has no reader
                with contextlib.suppress(FlameError):
                    delete_objects(self._ref.key)
        self._add_methods()

    def _open(self, context: RunnerContext, resreq: ResourceRequirement | None) -> Session:
        return open_session(
            self.session_id,
            SessionAttributes(
                id=self.session_id,
                application=self._app,
                common_data=self._ref.encode(),
                min_instances=context.min_instances,
                max_instances=context.max_instances,
                batch_size=1,
                resreq=resreq,
            ),
        )

    def __repr__(self) -> str:
        return f"<RunnerService {self.session_id} of {self._app}>"

    if TYPE_CHECKING:
        map: Callable[..., Generator[Any, None, None]]  # of a function's service

    def __getattr__(self, name: str) -> RemoteMethod:
        """Methods of the object are attributes once it is made: say which there are."""
        served = self.__dict__.get("_execution_object")
        if name.startswith("_") or served is None:
            raise AttributeError(f"a RunnerService has no attribute {repr_of(name)}")
        offered = [key for key, one in vars(self).items() if isinstance(one, RemoteMethod)]
        kind = _label(served) or "an object"
        raise AttributeError(
            f"{repr_of(self)} has no method {repr_of(name)}; it runs {kind}: "
            + ("call the service itself, or map" if _is_function(served) else _listed(offered))
        )

    def __call__(self, *args: Any, **kwargs: Any) -> ObjectFuture:
        """Call the function on an executor.

        Raises:
            TypeError: the object is a class or an instance: call its methods.
        """
        if not _is_function(self._execution_object):
            raise TypeError(
                f"RunnerService for app '{self._app}' is not callable. The execution object is a "
                "class or instance, not a function. Call specific methods instead."
            )
        return self._call(None, args, kwargs)

    def close(self) -> None:
        """Close the session; calls that run are waited for. Idempotent."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            session.close(0)
        except SessionBusyError:
            with Steps(f"runner {self._app}") as steps:
                steps.show(f"waiting for the calls of {self.session_id} that run")
                session.close()

    def _call(
        self, method: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> ObjectFuture:
        session = self._opened()
        data = packed(self._prefix, method, args, kwargs)
        return ObjectFuture(session.run(data, self._informer), self._prefix)

    def _map(
        self, method: str | None, calls: Iterable[tuple[Any, ...]], options: dict[str, Any]
    ) -> Generator[Any, None, None]:
        inputs = (packed(self._prefix, method, args, {}) for args in calls)
        return fetched(self._opened().map(inputs, informer=self._informer, **options))

    def _opened(self) -> Session:
        if self._session is None:
            raise InvalidStateError(f"{repr_of(self)} was closed: make another by Runner.service")
        return self._session

    def _add_methods(self) -> None:
        if _is_function(self._execution_object):
            self.map = RemoteMethod(self, None, self._execution_object).map
            return
        for name in dir(self._execution_object):
            if name.startswith("_"):
                continue
            if not callable(getattr(self._execution_object, name, None)):
                continue
            if hasattr(type(self), name):
                logger.warning(
                    "%r has a method %r of its own; the object's is not offered", self, name
                )
                continue
            original = getattr(self._execution_object, name)
            setattr(self, name, RemoteMethod(self, name, original))


class RemoteMethod:
    """A method of a service's object: a call of it is a task, ``map`` makes many.

    Args:
        service: runs it.
        name: of the method; None is the object itself.
        original: has the documentation.
    """

    def __init__(self, service: RunnerService, name: str | None, original: object) -> None:
        self._service = service
        self._name = name
        self.__doc__ = inspect.getdoc(original)
        self.__name__ = name or "call"

    def __repr__(self) -> str:
        return f"<RemoteMethod {self.__name__} of {repr_of(self._service)}>"

    def __call__(self, *args: Any, **kwargs: Any) -> ObjectFuture:
        """Call it on an executor; return the future once the engine has acknowledged the task."""
        return self._service._call(self._name, args, kwargs)

    def map(
        self,
        *iterables: Iterable[Any],
        window: Window = AUTO,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool = False,
    ) -> Generator[Any, None, None]:
        """Yield the results of one call for each item, many of them at a time.

        As the built-in ``map``: of several iterables each call gets an item of each, until the
        shortest ends. They are read as results are taken; leaving the iterator early sends
        nothing more.

        Args:
            *iterables: of any length, endless perhaps.
            window: items that are read and whose result was not taken yet, at most;
                ``"auto"`` follows how fast they are answered.
            ordered: results come in the order of the items; False: as calls end.
            return_exceptions: a call's own error takes the place of its result; else it is raised
                there, and the iterator is over.
            progress: show how many results were taken, as ``Session.map``.

        Raises:
            TaskFailedError: a call raised; with the remote traceback.
            TypeError: without an iterable.
        """
        if not iterables:
            raise TypeError("map needs one iterable or more: the arguments of the calls")
        options = {"window": window, "ordered": ordered, "return_exceptions": return_exceptions}
        mapped = self._service._map(self._name, zip(*iterables, strict=False), options)
        sizes = [size for one in iterables if (size := size_of(one)) is not None]
        return reported(mapped, min(sizes, default=None), "calls") if progress else mapped


def checked_informer(informer: TaskInformer | None) -> TaskInformer | None:
    """Return an informer. Raises InvalidArgumentError for anything else."""
    if informer is not None and not isinstance(informer, TaskInformer):
        raise InvalidArgumentError(
            f"informer must be an instance of a subclass of TaskInformer, got {repr_of(informer)}"
        )
    return informer


def _listed(names: list[str]) -> str:
    return f"it has {', '.join(sorted(names))}" if names else "no attribute of it can be called"


def _is_function(execution_object: object) -> bool:
    return callable(execution_object) and not inspect.isclass(execution_object)


def _chosen_id(execution_object: object) -> str | None:
    chosen = getattr(execution_object, "_session_context", None)
    if chosen is None:
        return None
    if not isinstance(chosen, SessionContext):
        logger.warning(
            "the attribute _session_context of the object is not a SessionContext but %s; it is "
            "not used",
            type(chosen).__name__,
        )
        return None
    return chosen.session_id


def _label(execution_object: object) -> str:
    """Return a name for session ids, so that tables and events say what a session runs."""
    named = getattr(execution_object, "__name__", type(execution_object).__name__)
    return re.sub(r"[^A-Za-z0-9_]", "", named)[:LABEL_LENGTH]


def _pickled(context: RunnerContext) -> bytes:
    code = by_value(dump(context.execution_object, "the object of the service"))
    return dump(context.guarded() if code else context)


def _check_same(session: Session, execution_object: object) -> None:
    """Refuse a session that runs another object, whose calls would be answered all the same."""
    data = session.common_data()
    if data is None:
        raise InvalidStateError(
            f"{repr_of(session)} is not a session of a runner: choose another id"
        )
    ref = ObjectRef.decode(data)
    theirs = load(get_object(ObjectRef(ref.endpoint, ref.key, 0)))
    found = _identity(getattr(theirs, "execution_object", theirs))
    wanted = _identity(execution_object)
    if found != wanted:
        raise InvalidStateError(
            f"session {repr_of(session.id)} runs {found[0]}, not {wanted[0]}: another service "
            "has its id; choose another id in _session_context, or close that session"
        )


def _identity(value: Any) -> tuple[str, object]:
    """Return what an object is: its name, and of a function its code."""
    shown = value if inspect.isclass(value) or hasattr(value, "__qualname__") else type(value)
    name = f"{getattr(shown, '__module__', '')}.{getattr(shown, '__qualname__', shown)}"
    code = getattr(value, "__code__", None)
    return name, (code.co_code, code.co_names) if code is not None else None
