"""Measure watching: 1,000 sessions with 100,000 tasks on an engine that costs next to nothing.

``python benchmarks/scale.py`` prints JSON, in about two minutes: the first sync as a multiple of a
bare grpc.aio loop over the same ListTask calls (wall and the client's own CPU, interleaved), memory
above a bare import and per task, the CPU share at rest, the latency from the engine's change to the
callback for a watched and for a polled task, and how many events a second reach informers that do
nothing. Look at ratios, not at the numbers of a noisy machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SESSIONS, TASKS = 1000, 100
ROUNDS, AT_ONCE, REST, CHANGES, EVENTS = 3, 64, 20.0, 200, 200_000


class Engine:
    """``scale_engine.py`` in a process of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "scale_engine.py"), str(SESSIONS), str(TASKS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def move(self, session: str, task: str, state: int) -> float:
        """Move a task; return the monotonic second at which it moved."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{session} {task} {state}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def main() -> None:
    """Measure, each part in a fresh process, and print."""
    if len(sys.argv) > 1:
        name, endpoint = sys.argv[1:]
        print(json.dumps(PARTS[name](endpoint)))
        return
    engine = Engine()
    try:
        found: dict[str, Any] = {"sync": compare_sync(engine.endpoint)}
        found["at_rest"] = part("rest", engine.endpoint)
        found["latency"] = latency(engine)
        found["events_per_second"] = {
            f"{count} informers": round(part(f"rate{count}", engine.endpoint)) for count in (1, 10)
        }
    finally:
        engine.close()
    print(json.dumps(found, indent=2))


def part(name: str, endpoint: str) -> Any:
    """Run one part in a process of its own."""
    command = [sys.executable, __file__, name, endpoint]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def rss() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# ---------------------------------------------------------------------- the first sync


def compare_sync(endpoint: str) -> dict[str, Any]:
    """Return both, in turn, and their ratios pair by pair."""
    pairs = [(part("bare", endpoint), part("sync", endpoint)) for _ in range(ROUNDS)]
    median = statistics.median
    return {
        "tasks": SESSIONS * TASKS,
        "bare_wall_s": round(median(bare["wall"] for bare, _ in pairs), 2),
        "ours_wall_s": round(median(ours["wall"] for _, ours in pairs), 2),
        "wall_ratio": round(median(ours["wall"] / bare["wall"] for bare, ours in pairs), 2),
        "cpu_ratio": round(median(ours["cpu"] / bare["cpu"] for bare, ours in pairs), 2),
        "mib_above_import": round(median(ours["mib"] for _, ours in pairs), 1),
        "bytes_per_task": round(median(ours["bytes_per_task"] for _, ours in pairs)),
    }


def bare(endpoint: str) -> dict[str, float]:
    """List every session with plain stubs, and decode the messages as protobuf does."""
    import grpc.aio

    from flamepy.wire.services import FRONTEND

    async def run() -> float:
        method, listing = FRONTEND["ListTask"], FRONTEND["ListSession"]
        options = [("grpc.max_receive_message_length", -1)]
        target = endpoint.removeprefix("http://")
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            call = channel.unary_stream(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            sessions = channel.unary_unary(
                listing.path,
                request_serializer=listing.request.SerializeToString,
                response_deserializer=listing.response.FromString,
            )
            gate, seen = asyncio.Semaphore(AT_ONCE), 0

            async def one(name: str) -> None:
                nonlocal seen
                async with gate:
                    async for _ in call(method.request(session_id=name)):
                        seen += 1

            start = time.perf_counter()
            reply = await sessions(listing.request())
            await asyncio.gather(*(one(session.metadata.id) for session in reply.sessions))
            assert seen >= SESSIONS * TASKS
            return time.perf_counter() - start

    cpu = time.process_time()
    wall = asyncio.run(run())
    return {"wall": wall, "cpu": time.process_time() - cpu}


def sync(endpoint: str) -> dict[str, float]:
    """Register an informer that does nothing and wait until it is synced."""
    import gc

    from flamepy.core import connect
    from flamepy.informers import Reactor, TaskEvent, TaskInformer

    class Nothing(TaskInformer):
        count = 0

        def on_transition(self, event: TaskEvent) -> None:
            self.count += 1

    informer = Nothing()
    with connect(endpoint) as connection, Reactor(connection=connection) as reactor:
        gc.collect()
        before, cpu, start = rss(), time.process_time(), time.perf_counter()
        reactor.register(informer).wait_synced(300)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        gc.collect()
        grown = rss() - before
        assert informer.count >= SESSIONS * TASKS
    return {
        "wall": wall,
        "cpu": cpu,
        "mib": grown / 2**20,
        "bytes_per_task": grown / (SESSIONS * TASKS),
    }


# ---------------------------------------------------------------------- at rest


def rest(endpoint: str) -> dict[str, float]:
    """Return the share of a core that watching takes while nothing happens."""
    from flamepy.core import connect
    from flamepy.informers import Reactor
    from flamepy.testing import RecordingInformer

    with connect(endpoint) as connection, Reactor(connection=connection) as reactor:
        reactor.register(RecordingInformer()).wait_synced(300)
        threading.Event().wait(3.0)
        cpu, start = time.process_time(), time.perf_counter()
        threading.Event().wait(REST)
        used = (time.process_time() - cpu) / (time.perf_counter() - start)
    return {"cpu_percent": round(100 * used, 2)}


# ---------------------------------------------------------------------- latency


def latency(engine: Engine) -> dict[str, Any]:
    """Return ms from the engine's change to the callback, and to a bare stream."""
    from flamepy.core import connect
    from flamepy.informers import Reactor, TaskEvent, TaskInformer

    arrived: dict[tuple[str, str], float] = {}
    news = threading.Condition()

    class Noting(TaskInformer):
        def on_terminal(self, event: TaskEvent) -> None:
            with news:
                arrived[event.task.session_id, event.task.id] = time.monotonic()
                news.notify_all()

    def took(session: str, number: str, watched: Callable[[str, str], object]) -> float:
        engine.move(session, "+", 0)
        watched(session, number)
        threading.Event().wait(0.3)  # let the polls see it pending and calm down
        moved = engine.move(session, number, 2)
        with news:
            news.wait_for(lambda: (session, number) in arrived, 60)
        return 1000 * (arrived[session, number] - moved)

    with connect(engine.endpoint) as connection:
        streams = [stream_latency(engine, f"s{one}") for one in range(CHANGES // 4)]
        with Reactor(connection=connection) as reactor:
            reactor.register(Noting(), replay="none").wait_synced(300)
            first = str(TASKS + 1)
            watched = [
                took(f"s{200 + one}", first, lambda *key: reactor.future(key))
                for one in range(CHANGES // 4)
            ]
            polled = [
                took(f"s{400 + one}", first, lambda *key: None) for one in range(CHANGES // 4)
            ]
    shown = {"bare_stream": streams, "watched": watched, "polled": polled}
    return {name: {"p50_ms": p(one, 50), "p99_ms": p(one, 99)} for name, one in shown.items()}


def stream_latency(engine: Engine, session: str) -> float:
    """Return ms from a change to a plain stub's message."""
    import grpc

    from flamepy.wire.services import FRONTEND

    method, number = FRONTEND["WatchTask"], str(TASKS + 1)
    engine.move(session, "+", 0)
    with grpc.insecure_channel(engine.endpoint.removeprefix("http://")) as channel:
        stream = channel.unary_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )(method.request(session_id=session, task_id=number))
        threading.Timer(0.2, lambda: moved.append(engine.move(session, number, 2))).start()
        moved: list[float] = []
        next(stream)
        at = time.monotonic()
        while not moved:
            threading.Event().wait(0.001)
    return 1000 * (at - moved[0])


def p(values: list[float], percent: int) -> float:
    """Return a percentile."""
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 2)


# ---------------------------------------------------------------------- events a second


def rate(informers: int) -> float:
    """Return how many events a second go from an observation to each informer's callback."""
    from flamepy.informers import Reactor, TaskEvent, TaskInformer
    from flamepy.testing import ScriptedConnection
    from flamepy.types import TaskState
    from flamepy.watching.hub import Hub
    from flamepy.watching.state.events import EventSource, Window

    class Nothing(TaskInformer):
        count = 0

        def on_transition(self, event: TaskEvent) -> None:
            self.count += 1

    with ScriptedConnection() as connection, Reactor(connection=connection) as reactor:
        connection.do(lambda source: source.add_session("s"))
        made = [Nothing() for _ in range(informers)]
        for one in made:
            reactor.register(one, uid=str(id(one)), queue_size=EVENTS).wait_synced(30)
        source = connection.source

        def feed(_: object) -> None:
            hub = Hub.of(connection.link)
            for number in range(1, EVENTS // 2 + 1):
                source.add_task("s")
                row = source._sessions["s"].rows[number]
                now = hub.now()
                hub._reader.report(row.bare, Window(now, now), EventSource.PROBE, True)
                source._move("s", number, TaskState.SUCCEED, silent=True)
                row = source._sessions["s"].rows[number]
                hub._reader.report(row.bare, Window(now, now), EventSource.PROBE, True)

        def script(_: object) -> float:
            start = time.perf_counter()
            for number in range(1, EVENTS // 2 + 1):
                source.add_task("s")
                source._move("s", number, TaskState.SUCCEED, silent=True)
            return time.perf_counter() - start

        start = time.perf_counter()
        connection.do(feed)
        while any(one.count < EVENTS for one in made):
            threading.Event().wait(0.002)
        took = time.perf_counter() - start
        connection.do(lambda source: source.add_session("s"))
        return EVENTS / (took - connection.do(script))  # the script's own time is not the reactor's


PARTS: dict[str, Callable[[str], Any]] = {
    "bare": bare,
    "sync": sync,
    "rest": rest,
    "rate1": lambda _: rate(1),
    "rate10": lambda _: rate(10),
}

if __name__ == "__main__":
    main()
