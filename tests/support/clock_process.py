"""A program whose clocks stand still or jump, as its first argument says, and that uses flamepy."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from flamepy import aio
from flamepy.core import FlameService, TaskContext, connect
from flamepy.errors import UnavailableError
from flamepy.informers import Reactor, TaskInformer
from flamepy.local import LocalCluster
from flamepy.types import RetryPolicy

PAST, FUTURE = 1_500_000_000.0, 4_000_000_000.0
REAL = {name: getattr(time, name) for name in ("time", "time_ns", "monotonic", "perf_counter")}


def replace(clocks: dict[str, Any]) -> None:
    """Put other functions in the place of those of ``time``, wherever they were imported."""
    for module in list(sys.modules.values()):
        if module is None or module.__name__ in ("threading", "queue", __name__):
            continue  # as such libraries leave them alone
        for name, value in list(vars(module).items()):
            for clock, fake in clocks.items():
                if any(value is one for one in (REAL[clock], *FAKES.get(clock, ()))):
                    setattr(module, name, fake)
    for clock, fake in clocks.items():
        FAKES.setdefault(clock, []).append(fake)


FAKES: dict[str, list[Any]] = {}


def stand(at: float) -> None:
    replace(
        {
            "time": lambda: at,
            "time_ns": lambda: int(at * 1e9),
            "monotonic": lambda: at,
            "perf_counter": lambda: at,
        }
    )


@contextlib.contextmanager
def changed(kind: str, at: float) -> Iterator[None]:
    if kind == "replaced":
        stand(at)
        yield
        replace(REAL)
    elif kind == "freezegun":
        import freezegun

        with freezegun.freeze_time(time.strftime("%Y-%m-%d", time.gmtime(at))):
            yield
    else:
        import time_machine

        with time_machine.travel(at, tick=kind == "travelling"):
            yield


class Echo(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return context.input


class Ends(TaskInformer):
    def __init__(self) -> None:
        self.ended: list[str] = []

    def on_transition(self, event: Any) -> None:
        if event.task.state.is_terminal:
            self.ended.append(event.task.id)


def use(cluster: LocalCluster, connection: Any, informer: Ends) -> None:
    connection.list_sessions(timeout=10)
    session = connection.create_session("echo", timeout=10)
    assert session.invoke(b"x", timeout=20) == b"x"
    assert list(session.map([b"1", b"2"])) == [b"1", b"2"]
    assert [one.state.name for one in session.list_tasks()] == ["SUCCEED"] * 3
    with Reactor(connection=connection, plugins=()) as reactor:
        handle = reactor.register(informer, batch_delay=0.05)
        handle.wait_synced(20)
        assert session.invoke(b"y", timeout=20) == b"y"
        assert reactor.stop(5) is None
    session.close()


def fail(connection: Any) -> None:
    """Reach nobody: tries and waits end by time."""
    try:
        connect("http://127.0.0.1:1", timeout=0.5, retry=RetryPolicy(attempts=3)).close()
    except UnavailableError:
        return
    raise AssertionError("somebody answered")


async def use_aio(endpoint: str) -> None:
    async with await aio.connect(endpoint) as connection:
        print(len(await connection.list_sessions(timeout=10)))


def main(kind: str, moment: str) -> None:
    with contextlib.ExitStack() as stack:
        if moment == "before":  # the clocks are replaced when everything is made
            stack.enter_context(changed(kind, PAST))
        cluster = stack.enter_context(LocalCluster(executors=1, cache_port=None))
        cluster.register_service("echo", Echo)
        connection = stack.enter_context(connect(cluster.endpoint))
        informer = Ends()
        use(cluster, connection, informer)
        for at in (PAST, FUTURE, PAST):
            with changed(kind, at):
                use(cluster, connection, informer)
                fail(connection)
        use(cluster, connection, informer)
        with changed(kind, PAST):
            try:
                asyncio.run(use_aio(cluster.endpoint))
            except Exception as error:  # the test looks at it
                print(type(error).__name__, error)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
