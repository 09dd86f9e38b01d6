"""Objects of users whose text raises are refused, or carried, like any others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flamepy.config import FlameContext
from flamepy.core import FlameService, ObjectKey, ObjectRef, SessionAttributes, connect, run
from flamepy.errors import FlameError, InvalidArgumentError, TaskFailedError
from flamepy.local import LocalCluster
from flamepy.objects import codec
from flamepy.testing import FakeEngine
from flamepy.types import ResourceRequirement, RetryPolicy, TaskContext
from flamepy.watching.policy.settings import WatchSettings
from flamepy.wire import objects, validation


class Unprintable:
    """Nothing about it can be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


class UnprintableError(Exception, Unprintable):
    """An exception of that kind."""

    __str__ = __repr__ = Unprintable.__repr__


class Unpicklable(Unprintable):
    def __reduce__(self) -> str:
        raise UnprintableError


IT = Unprintable()
REFUSED: dict[str, Callable[[], object]] = {
    "an endpoint": lambda: FlameContext(IT, environ={}),  # type: ignore[arg-type]  # the mistake
    "a cache": lambda: FlameContext(cache_endpoint=IT, environ={}),  # type: ignore[arg-type]
    "keepalive": lambda: FlameContext(keepalive=IT, environ={}),  # type: ignore[arg-type]
    "resources": lambda: ResourceRequirement.from_string(IT),  # type: ignore[arg-type]
    "attempts": lambda: RetryPolicy(attempts=IT),  # type: ignore[arg-type]
    "seconds": lambda: RetryPolicy(timeout=IT),  # type: ignore[arg-type]
    "a service": lambda: run(IT),  # type: ignore[arg-type]
    "a key": lambda: ObjectKey("a", IT),  # type: ignore[arg-type]
    "a prefix": lambda: objects.check_prefix(IT),  # type: ignore[arg-type]
    "a location": lambda: objects.location(IT),  # type: ignore[arg-type]
    "payloads": lambda: WatchSettings(payloads=IT),  # type: ignore[arg-type]
    "an id": lambda: validation.session_id(IT),  # type: ignore[arg-type]
    "a count": lambda: validation.session_attributes(SessionAttributes("a", min_instances=IT)),  # type: ignore[arg-type]
    "what cannot be pickled": lambda: codec.encode(Unpicklable()),
    "a timeout": lambda: connect("http://127.0.0.1:1", timeout=IT),  # type: ignore[arg-type]
    "executors": lambda: LocalCluster(executors=IT),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_an_error_of_ours(call: Callable[[], object]) -> None:
    with pytest.raises(FlameError) as raised:
        call()
    assert "Unprintable" in str(raised.value)


class Broken(FlameService):
    """A service whose exceptions have no text."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        raise UnprintableError


def test_a_services_exception_fails_its_task_and_nothing_else() -> None:
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("broken", Broken)
        with connection.create_session("broken") as session:
            for _ in range(2):
                with pytest.raises(TaskFailedError, match="UnprintableError"):
                    session.invoke(b"x", timeout=30)


def test_a_call_refuses_it_and_the_connection_goes_on() -> None:
    with FakeEngine() as engine, connect(engine.endpoint) as connection:
        for call in (
            lambda: connection.get_session(IT),  # type: ignore[arg-type]  # the mistake
            lambda: connection.get_application(IT),  # type: ignore[arg-type]
            lambda: connection.create_session("a", IT),  # type: ignore[arg-type]
            lambda: connection.objects.get(ObjectRef("grpc://127.0.0.1:1", "a/b/c", IT)),  # type: ignore[arg-type]
        ):
            with pytest.raises(InvalidArgumentError, match="Unprintable"):
                call()
        assert connection.list_sessions() == []
