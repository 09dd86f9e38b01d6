"""From a change to its callback, by pushes and by polls: 10,000 running tasks in 100 sessions.

``python benchmarks/push.py [SECONDS]`` prints JSON for each dialect of the engine: ms from the
change to the callback, the calls that the engine had meanwhile, and the CPU of the process that
watches. The engine is a ``FakeEngine`` in a process of its own, which moves tasks at ``RATE``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time

SESSIONS, TASKS, RATE, SECONDS = 100, 100, 100, 20.0
BEFORE = 3.0  # seconds between the sync and the first change


def serve(dialect: str, seconds: float) -> None:
    """Be the engine: make tasks, print the address; after a line on stdin move some of them."""
    from flamepy.testing import FakeEngine

    pause = threading.Event()
    with FakeEngine(dialect=dialect) as engine:
        for session in range(SESSIONS):
            engine.add_session(f"s{session}", "bench")
            for _ in range(TASKS):
                engine.start(f"s{session}", engine.add_task(f"s{session}"))
        print(engine.endpoint, flush=True)
        sys.stdin.readline()
        engine.calls.clear()
        moved, begun = {}, time.monotonic()
        for number in range(int(RATE * seconds)):
            session, task = f"s{number % SESSIONS}", str(number // SESSIONS + 1)
            pause.wait(max(0.0, begun + number / RATE - time.monotonic()))
            moved[f"{session}/{task}"] = time.monotonic()
            engine.succeed(session, task)
        print(json.dumps({"moved": moved, "calls": dict(engine.calls)}), flush=True)
        sys.stdin.readline()


def measure(dialect: str, seconds: float) -> dict[str, object]:
    """Watch an engine of a dialect."""
    from flamepy.core import connect
    from flamepy.informers import Reactor, TaskEvent, TaskInformer

    heard: dict[str, float] = {}

    class Noting(TaskInformer):
        def on_terminal(self, event: TaskEvent) -> None:
            heard[f"{event.task.session_id}/{event.task.id}"] = time.monotonic()

    command = [sys.executable, __file__, "--serve", dialect, str(seconds)]
    with subprocess.Popen(command, text=True, stdin=-1, stdout=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        with connect(endpoint) as connection, Reactor(connection=connection) as reactor:
            reactor.register(Noting()).wait_synced(120)
            threading.Event().wait(BEFORE)
            process.stdin.write("\n")
            process.stdin.flush()
            cpu = time.process_time()
            said = json.loads(process.stdout.readline())
            cpu = time.process_time() - cpu
            while len(heard) < len(said["moved"]):
                threading.Event().wait(0.1)
        process.stdin.write("\n")
        process.stdin.flush()
    taken = [1000 * (heard[one] - moment) for one, moment in said["moved"].items()]
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {
        "changes": len(taken),
        "p50_ms": round(cuts[49], 1),
        "p99_ms": round(cuts[98], 1),
        "most_ms": round(max(taken), 1),
        "cpu_percent": round(100 * cpu / seconds, 1),
        "calls": said["calls"],
    }


def main() -> None:
    """Measure each dialect, and print."""
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], float(sys.argv[3]))
        return
    seconds = float(sys.argv[1]) if sys.argv[1:] else SECONDS
    for dialect in ("0.6", "next"):
        print(json.dumps({dialect: measure(dialect, seconds)}, indent=2), flush=True)


if __name__ == "__main__":
    main()
