"""``RunnerService``: the methods of a shipped object, callable from here; each call is a task."""

from __future__ import annotations

import contextlib
import inspect
import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flamepy.aio.connection import short_name
from flamepy.core.cache import ObjectRef, delete_objects, get_object, put_object
from flamepy.core.client import open_session
from flamepy.core.closing import ClosesAtExit
from flamepy.core.session import Session
from flamepy.errors import FlameError, InvalidStateError
from flamepy.informers.informer import TaskInformer
from flamepy.runner.arguments import by_value, packed
from flamepy.runner.futures import ObjectFuture
from flamepy.runner.types import RunnerContext, SessionContext
from flamepy.service.payload import dump, load
from flamepy.texts import repr_of
from flamepy.types import ResourceRequirement, SessionAttributes

logger = logging.getLogger(__name__)

LABEL_LENGTH = 40  # characters of a session id that say what it runs


class RunnerService(ClosesAtExit):
    """What ``Runner.service`` returns: a function's service is callable, an object's has methods.

    Every call returns an ``ObjectFuture`` once the engine has acknowledged its task. Arguments that
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

    Raises:
        ValueError: options that the object's kind does not have.
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
        self._app = app
        self._execution_object = execution_object
        self._informer = informer
        context = RunnerContext(execution_object, autoscale=autoscale, warmup=warmup)
        self._session_id = _chosen_id(execution_object) or short_name(
            f"{app}-{_label(execution_object)}".rstrip("-")
        )
        self._prefix = f"{app}/{self._session_id}"
        self._ref = put_object(self._prefix, _pickled(context))
        self._session: Session | None = None
        self.joined = True
        try:
            self._session = self._open(context, resreq)
            self.joined = self._session.common_data() != self._ref.encode()
            if self.joined:
                _check_same(self._session, execution_object)
        finally:
            if self.joined:  # or refused: the context that was put has no reader
                with contextlib.suppress(FlameError):
                    delete_objects(self._ref.key)
        self._add_methods()

    def _open(self, context: RunnerContext, resreq: ResourceRequirement | None) -> Session:
        return open_session(
            self._session_id,
            SessionAttributes(
                id=self._session_id,
                application=self._app,
                common_data=self._ref.encode(),
                min_instances=context.min_instances,
                max_instances=context.max_instances,
                batch_size=1,
                resreq=resreq,
            ),
        )

    def __repr__(self) -> str:
        return f"<RunnerService {self._session_id} of {self._app}>"

    @property
    def session_id(self) -> str:
        """The id of the session whose tasks are this service's calls."""
        return self._session_id

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., ObjectFuture]:
            """Return a method of the object; they are attributes once it is made."""

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
        if session is not None:
            session.close()

    def _call(
        self, method: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> ObjectFuture:
        session = self._session
        if session is None:
            raise InvalidStateError(f"{repr_of(self)} was closed: make another by Runner.service")
        data = packed(self._prefix, method, args, kwargs)
        return ObjectFuture(session.run(data, self._informer))

    def _add_methods(self) -> None:
        if _is_function(self._execution_object):
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
            setattr(self, name, self._method(name))

    def _method(self, name: str) -> Callable[..., ObjectFuture]:
        def call(*args: Any, **kwargs: Any) -> ObjectFuture:
            return self._call(name, args, kwargs)

        original = getattr(self._execution_object, name)
        call.__name__ = name
        call.__doc__ = inspect.getdoc(original)
        return call


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
    code = by_value(dump(context.execution_object))
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
