"""``Session``: call the entrypoint of a typed service; requests and results are Python objects."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from flamepy.aio.connection import short_name
from flamepy.aio.read_ahead import AUTO, Window
from flamepy.core.cache import ObjectRef, delete_objects, get_object, put_object
from flamepy.core.client import create_session, open_session
from flamepy.core.closing import ClosesAtExit
from flamepy.core.futures import DecodedFuture, TaskFuture
from flamepy.core.session import Session as CoreSession
from flamepy.errors import FlameError, InvalidArgumentError
from flamepy.service.payload import dump, load
from flamepy.texts import repr_of
from flamepy.types import ResourceRequirement

RESOURCES = ("cpu", "memory", "mem", "gpu")


class ServiceFuture(DecodedFuture[Any]):
    """The future of one request; ``result`` is what the entrypoint returned."""

    def __init__(self, task: TaskFuture) -> None:
        super().__init__(task)
        self._task_id = task.task_id

    @property
    def task_id(self) -> str:
        """The id of the task that does the request."""
        return self._task_id

    def _decode(self, output: bytes | None) -> Any:
        return load(output)


class Session(ClosesAtExit):
    """A session of a typed service; ``with`` closes it.

    Args:
        name: the application, for a new session.
        ctx: an object that the service reads by ``context()``; kept in the object cache until the
            session is closed. None: the service has no context.
        session_id: an open session to join, instead of ``name``.
        resreq: resources of an executor: a ``ResourceRequirement``, or a dict with ``cpu``,
            ``memory`` or ``mem`` (bytes, or a text such as ``"64g"``) and ``gpu``.

    Raises:
        ValueError: neither or both of ``name`` and ``session_id``.
        FlameError: as of ``create_session`` and ``open_session``.
    """

    def __init__(
        self,
        name: str | None = None,
        ctx: Any = None,
        session_id: str | None = None,
        resreq: ResourceRequirement | Mapping[str, Any] | None = None,
    ) -> None:
        if name is None and session_id is None:
            raise ValueError("Either 'name' or 'session_id' must be provided")
        if name is not None and session_id is not None:
            raise ValueError(
                "Cannot provide both 'name' and 'session_id'. They are mutually exclusive."
            )
        self._made: str | None = None  # the prefix of the context that this session put
        if session_id is not None:
            self._session: CoreSession | None = open_session(session_id)
        else:
            assert name is not None
            self._session = self._create(name, ctx, _resources(resreq))
        self._name = self._session.application

    def _create(self, name: str, ctx: Any, resreq: ResourceRequirement | None) -> CoreSession:
        if ctx is None:
            return create_session(application=name, common_data=None, resreq=resreq)
        sid = short_name(name)
        prefix = f"{name}/{sid}"
        ref = put_object(prefix, dump(ctx, "ctx"))
        try:
            session = create_session(
                application=name, common_data=ref.encode(), session_id=sid, resreq=resreq
            )
        except BaseException:
            _delete(prefix)
            raise
        self._made = prefix
        return session

    def __repr__(self) -> str:
        return f"<service.Session {self.id()} of {self._name}>"

    def id(self) -> str | None:
        """Return the session's id; None after ``close``."""
        return self._session.id if self._session is not None else None

    def invoke(self, req: Any, *, timeout: float | None = None) -> Any:
        """Send a request and return the entrypoint's result.

        Args:
            req: any object that can be pickled.
            timeout: seconds; None waits as long as the task takes.

        Raises:
            RuntimeError: the session was closed by ``close``.
            TaskFailedError: the entrypoint raised; the text is the service's.
            DeadlineExceededError: no result within ``timeout``; the task continues.
        """
        return load(self._open().invoke(dump(req, "the request"), timeout=timeout))

    def submit(self, req: Any) -> ServiceFuture:
        """Send a request; return its future once the engine has acknowledged it."""
        return ServiceFuture(self._open().run(dump(req, "the request")))

    def map(
        self,
        requests: Iterable[Any],
        *,
        window: Window = AUTO,
        ordered: bool = True,
        return_exceptions: bool = False,
    ) -> Generator[Any, None, None]:
        """Yield the result of each request, many of them at a time.

        Args:
            requests: any iterable, endless perhaps; read as results are taken.
            window: requests that are read and whose result was not taken yet, at most;
                ``"auto"`` follows how fast they are answered.
            ordered: results come in the order of the requests; False: as tasks end.
            return_exceptions: a task's own error takes the place of its result; else it is raised
                there, and the iterator is over.
        """
        outputs: Iterator[bytes | FlameError | None] = self._open().map(
            (dump(one, "a request") for one in requests),
            window=window,
            ordered=ordered,
            return_exceptions=return_exceptions,
        )
        return (one if isinstance(one, FlameError) else load(one) for one in outputs)

    def context(self) -> Any:
        """Return the session's context object as it is in the cache now.

        None without one, and after ``close``.
        """
        data = self._session.common_data() if self._session is not None else None
        return None if data is None else load(get_object(_latest(ObjectRef.decode(data))))

    def close(self) -> None:
        """Close the session, and delete the context that this object put. Idempotent."""
        session, self._session = self._session, None
        if session is None:
            return
        session.close()
        if self._made is not None:
            _delete(self._made)

    def _open(self) -> CoreSession:
        if self._session is None:
            raise RuntimeError("Service session is not initialized")
        return self._session


def _latest(ref: ObjectRef) -> ObjectRef:
    return ObjectRef(ref.endpoint, ref.key, 0)


def _delete(prefix: str) -> None:
    """Delete a context as far as the cache answers; what is left goes with the application."""
    with contextlib.suppress(FlameError):
        delete_objects(prefix)


def _resources(
    given: ResourceRequirement | Mapping[str, Any] | None,
) -> ResourceRequirement | None:
    if given is None or isinstance(given, ResourceRequirement):
        return given
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(
            f"resreq must be a ResourceRequirement or a dict, got {type(given).__name__}"
        )
    for name in given:
        if name not in RESOURCES:
            raise InvalidArgumentError(
                f"resreq: {repr_of(name)} is not one of {', '.join(RESOURCES)}; write it like "
                "{'cpu': 4, 'memory': '16g', 'gpu': 1}"
            )
    memory = given.get("memory", given.get("mem", 0))
    if isinstance(memory, str):
        memory = ResourceRequirement.from_string(f"memory={memory}").memory
    return ResourceRequirement(
        cpu=_whole("cpu", given.get("cpu", 0)),
        memory=_whole("memory", memory),
        gpu=_whole("gpu", given.get("gpu", 0)),
    )


def _whole(name: str, value: object) -> int:
    """Return a whole number, also of a text. Raises InvalidArgumentError."""
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            return int(value)
    raise InvalidArgumentError(f"resreq: {name} must be a whole number, got {repr_of(value)}")
