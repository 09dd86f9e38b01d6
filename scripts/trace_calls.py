"""Count the Python calls of two hot paths: an observation to its callback, and ``session.run``.

Runs a ``FakeEngine`` and traces the library's own functions with ``sys.setprofile``, which is set
in each thread. Each path is measured several times; the shortest trace counts, because others have
a poll or a heartbeat in between:

* observation: a task is PENDING, the engine ends it. From the return of the decoder that saw
  SUCCEED to the call of ``on_succeeded``, on the thread of the loop and that of the informer.
* acknowledgement: from the call of ``session.run`` to the return of the decoder that saw the reply
  to CreateTask, on the caller's thread and that of the loop.
* run: the same to the return of ``session.run``; its future is watched by then.

Printed are the files entered (each counted once) and the returns (a coroutine that is suspended
returns as well), without those of the clock. ``--list`` prints each file with its functions, in the
order of their first calls.

    python scripts/trace_calls.py [--list] [--rounds 20]
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import flamepy
from flamepy.core import connect
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.testing import FakeEngine
from flamepy.types import Task, TaskState

SOURCE = str(Path(flamepy.__file__).parent) + "/"
DECODERS = SOURCE + "wire/"
CLOCKS = (SOURCE + "runtime/clocks.py", SOURCE + "runtime/loops.py")
ENGINE = "flamepy-fake-engine"  # the stub engine's thread
LIMIT = 20.0  # seconds for one round


@dataclass(slots=True)
class Trace:
    """What was called between a start and an end: one entry per call and per return."""

    calls: list[tuple[str, str, str]] = field(default_factory=list)  # thread, file, function
    returns: list[str] = field(default_factory=list)  # threads

    @property
    def files(self) -> list[str]:
        """The files entered, in the order of their first calls."""
        return list(dict.fromkeys(file for _, file, _ in self.calls))

    def of(self, thread: str) -> Trace:
        """Return the part of one thread."""
        calls = [call for call in self.calls if call[0] == thread]
        return Trace(calls, [one for one in self.returns if one == thread])


class Recorder:
    """Collects calls and returns of ``flamepy`` in all threads but the engine's, from ``begin`` on.

    Args:
        callback: the name of the user's function whose call ends the path; "" for none.
        starts, ends: states of a decoded task that begin and end the path; None for none.
    """

    def __init__(
        self, callback: str = "", starts: TaskState | None = None, ends: TaskState | None = None
    ) -> None:
        self._callback, self._starts, self._ends = callback, starts, ends
        self._running = False
        self.trace = Trace()
        self.finished = threading.Event()

    def begin(self) -> None:
        """Record from now on."""
        self._running = True

    def end(self) -> None:
        """Record no more."""
        self._running = False
        self.finished.set()

    def event(self, frame: FrameType, what: str, value: Any) -> None:
        """Record one event of the profiler."""
        file, thread = frame.f_code.co_filename, threading.current_thread().name
        if what not in ("call", "return") or thread == ENGINE or self.finished.is_set():
            return
        if not file.startswith(SOURCE):
            if what == "call" and frame.f_code.co_name == self._callback:
                self.end()
        elif self._running and file not in CLOCKS:
            self._record(frame, what, thread)
        if file.startswith(DECODERS) and what == "return" and isinstance(value, Task):
            self._running = self._running or value.state is self._starts
            if value.state is self._ends:
                self.end()

    def _record(self, frame: FrameType, what: str, thread: str) -> None:
        code = frame.f_code
        name = getattr(code, "co_qualname", code.co_name)  # from Python 3.11 on
        if what == "call":
            self.trace.calls.append((thread, code.co_filename.removeprefix(SOURCE), name))
        else:
            self.trace.returns.append(thread)


class _Profiler:
    """Hands the events of each thread to one recorder at a time."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None

    def __call__(self, frame: FrameType, what: str, value: Any) -> None:
        if self.recorder is not None:
            self.recorder.event(frame, what, value)


PROFILER = _Profiler()


@contextmanager
def recorded(recorder: Recorder) -> Iterator[Recorder]:
    """Collect events for one recorder."""
    PROFILER.recorder = recorder
    try:
        yield recorder
    finally:
        PROFILER.recorder = None


class Ends(TaskInformer):
    """The informer at the end of the path."""

    def on_succeeded(self, event: TaskEvent) -> None:
        """Do nothing; the recorder sees the call."""


def observation(engine: FakeEngine, rounds: int) -> Trace:
    """Return the shortest trace from an observed end to ``on_succeeded``."""
    traces = []
    with connect(engine.endpoint) as connection, Reactor(connection=connection) as reactor:
        reactor.register(Ends())
        for number in range(rounds):
            session = f"observed-{number}"
            engine.add_session(session)
            task = engine.add_task(session, b"input")
            known(reactor, session)
            recorder = Recorder("on_succeeded", starts=TaskState.SUCCEED)
            with recorded(recorder):
                engine.succeed(session, task, b"output")
                if not recorder.finished.wait(LIMIT):
                    raise SystemExit(f"trace_calls: no on_succeeded within {LIMIT:g} s")
            traces.append(recorder.trace)
    return shortest(traces)


def known(reactor: Reactor, session: str) -> None:
    """Wait until a reactor delivered a task of a session."""
    with reactor.stream(session=session) as events:
        while getattr(next(events), "task", None) is None:
            continue


def run(engine: FakeEngine, rounds: int, ends: TaskState | None) -> Trace:
    """Return the shortest trace of ``session.run``, to its return or to a decoded task's state."""
    traces = []
    session_id = f"run-{ends}"
    engine.add_session(session_id)
    with connect(engine.endpoint) as connection:
        session = connection.get_session(session_id)
        for _ in range(rounds):
            recorder = Recorder(ends=ends)
            with recorded(recorder):
                recorder.begin()
                future = session.run(b"input")
                recorder.end()
            traces.append(recorder.trace)
            engine.succeed(session_id, future.task_id, b"output")
            future.result(timeout=LIMIT)  # else the next trace may see a read of this task
    return shortest(traces)


def shortest(traces: list[Trace]) -> Trace:
    """Return the trace with the fewest returns."""
    return min(traces, key=lambda one: (len(one.returns), len(one.files)))


def show(name: str, trace: Trace, *, listed: bool) -> None:
    """Print the figures of a path: of all threads, then of each."""
    print(f"{name}: {len(trace.files)} files, {len(trace.returns)} returns")
    for thread in dict.fromkeys(one for one, _, _ in trace.calls):
        part = trace.of(thread)
        print(f"  {thread}: {len(part.files)} files, {len(part.returns)} returns")
        for file in part.files if listed else ():
            names = dict.fromkeys(called for _, path, called in part.calls if path == file)
            print(f"    {file}: {', '.join(names)}")


def main() -> None:
    """Measure both paths and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", action="store_true", help="print files and functions")
    parser.add_argument("--rounds", type=int, default=20, help="how often each path is measured")
    chosen = parser.parse_args()
    threading.setprofile(PROFILER)
    sys.setprofile(PROFILER)
    with FakeEngine() as engine:
        show("observation", observation(engine, chosen.rounds), listed=chosen.list)
        acknowledged = run(engine, chosen.rounds, TaskState.PENDING)
        show("acknowledgement", acknowledged, listed=chosen.list)
        show("run", run(engine, chosen.rounds, None), listed=chosen.list)


if __name__ == "__main__":
    main()
