"""Every call may be made at every moment of another one, as a signal handler or a finalizer does.

G10: called from anywhere, a call returns. What a moment is, ``support.moments`` says.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.moments import Calls, at_every_line

from flamepy.core import connect
from flamepy.core.connection import Connection
from flamepy.core.session import Session
from flamepy.errors import FlameError
from flamepy.informers import Reactor, TaskInformer
from flamepy.testing import FakeEngine

Act = Callable[["Program"], object]


class Program:
    """A connection of its own with a reactor, and a second connection that stays."""

    def __init__(self, engine: FakeEngine, other: Connection) -> None:
        self.engine = engine
        self.connection = connect(engine.endpoint)
        self.session: Session = self.connection.get_session("s")
        self.done = self.session.run(b"ends")
        engine.succeed("s", self.done.task_id, b"ended")
        self.done.result(30)
        self.reactor = Reactor(connection=self.connection, plugins=()).start()
        self.reactor.register(TaskInformer())
        self.stays = other.get_session("s")

    def close(self) -> None:
        self.reactor.stop()
        self.connection.close()


def ended_soon(program: Program) -> bytes | None:
    future = program.session.run(b"x")
    program.engine.succeed("s", future.task_id, b"y")
    return future.result(30)


def waited_for(program: Program) -> object:
    future = program.session.run(b"x")
    program.engine.succeed("s", future.task_id, b"y")
    return concurrent.futures.wait([future, program.done], 30)


def completed(program: Program) -> object:
    future = program.session.run(b"x")
    program.engine.succeed("s", future.task_id, b"y")
    return list(concurrent.futures.as_completed([future, program.done], 30))


def connected(program: Program) -> None:
    connect(program.engine.endpoint).close()


OUTER: dict[str, Act] = {
    "run": lambda program: program.session.run(b"x"),
    "create_task": lambda program: program.session.create_task(b"x"),
    "get_task": lambda program: program.session.get_task("1"),
    "list_sessions": lambda program: program.connection.list_sessions(),
    "result": ended_soon,
    "wait": waited_for,
    "as_completed": completed,
    "map": lambda program: list(program.session.map([])),
    "close": lambda program: program.connection.close(),
    "stop": lambda program: program.reactor.stop(),
    "register": lambda program: program.reactor.register(TaskInformer()).remove(wait=True),
    "stream": lambda program: program.reactor.stream().close(),
    "health": lambda program: program.reactor.health(),
    "connect": connected,
}
INNER: dict[str, Act] = {
    "run": lambda program: program.session.run(b"beat"),
    "result": ended_soon,
    "other": lambda program: program.stays.create_task(b"beat"),
    "close": lambda program: program.connection.close(),
    "stop": lambda program: program.reactor.stop(1.0),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", OUTER)
def test_a_call_returns_at_every_moment_of_another(outer: str, inner: str) -> None:
    with FakeEngine() as engine, connect(engine.endpoint) as other:
        engine.add_session("s")

        @contextmanager
        def made() -> Iterator[Calls]:
            program = Program(engine, other)
            try:
                yield lambda: OUTER[outer](program), lambda: INNER[inner](program)
            finally:
                program.close()

        assert at_every_line(made, allowed=(FlameError,), seconds=1.0) > 5
