"""Measure informers on an engine whose tasks end over time: sync, rest, load, latency, queries.

``python benchmarks/informers.py ENGINE [PART]...`` prints JSON for each part. ENGINE is a program
that serves ``flame.v1.Frontend`` and takes the options of ``engine`` below. With ``--against
SOURCE``, a checkout of another commit, every figure of this library is measured with both trees in
turn. Each figure is of a fresh process; CPU is that process's own.

- ``sync``: 100,000 tasks in 1,000 sessions until ``on_synced``, as a multiple of bare grpc.aio
  stubs that list and decode the same, and the memory above the start;
- ``rest``: the share of a core that a reactor takes while nothing happens, by sessions and by
  unfinished tasks;
- ``load``: the same while the engine runs tasks of 100 ms in so many places at once;
- ``latency``: ms from the engine's end of a task to the callback, with a future of it (a watch)
  and with polling alone; the engine's times are whole milliseconds;
- ``queries``: us of a query of a lister that returns 50 tasks of 50,000, and all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TREE = HERE.parent
ROUNDS, AT_ONCE, CREATING = 3, 64, 256
SYNC = (1000, 100)  # sessions, tasks in each
REST_SESSIONS, REST_TASKS, REST = (100, 1000, 5000, 20_000), (100, 1000, 10_000), 15.0
LOAD_TASKS, LOAD_MS = (100, 1000), 100
CHANGES = 200
QUERIED, SOME = 50_000, 50
FREE = ("call", "create", "watch", "list", "launch", "complete", "manager", "service", "wake",
        "manager-wake", "cycle")  # fmt: skip


@contextmanager
def engine(program: str, **options: int) -> Iterator[str]:
    """Start the engine, whose calls cost nothing beyond gRPC; yield its address."""
    chosen = {"max-sessions": 100_000, "cycle-ms": 10, **options}
    more = [text for name, value in chosen.items() for text in (f"--{name}", str(value))]
    cost = ",".join(f"{name}=0" for name in FREE)
    command = [program, "--port", "0", "--cost", cost, *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def run(name: str, endpoint: str, *arguments: object, tree: Path = TREE) -> Any:
    """Run a function of ``PARTS`` in a process of its own that imports a tree."""
    command = [sys.executable, __file__, "--part", name, endpoint, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


class Spent:
    """CPU and wall seconds since its start, of this process."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    @property
    def now(self) -> dict[str, float]:
        """Both."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"wall": wall, "cpu": cpu, "percent": 100 * cpu / wall}


def rss() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# ---------------------------------------------------------------------- by bare stubs


async def bare_stubs(endpoint: str, work: Callable[[Callable[..., Any]], Awaitable[Any]]) -> Any:
    """Give grpc.aio's stubs, by the name of the call, to ``work``; return what that returns."""
    import grpc.aio

    from flamepy.wire.services import FRONTEND

    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(endpoint.removeprefix("http://"), options) as channel:
        stubs: dict[str, Any] = {}

        def call(name: str, /, **fields: Any) -> Any:
            method = FRONTEND[name]
            if name not in stubs:
                make = channel.unary_stream if method.streams else channel.unary_unary
                stubs[name] = make(
                    method.path,
                    request_serializer=method.request.SerializeToString,
                    response_deserializer=method.response.FromString,
                )
            return stubs[name](method.request(**fields))

        return await work(call)


def fill(endpoint: str, sessions: str, tasks: str, wait: str = "1") -> float:
    """Create tasks in sessions, and wait until they have ended; return the seconds it took."""

    async def work(call: Callable[..., Any]) -> float:
        began, each = time.perf_counter(), int(tasks)
        spec = {"name": "bench", "application": {"command": "bench"}}
        await call("RegisterApplication", **spec)
        names = [f"s{number:06}" for number in range(int(sessions))]
        todo = iter([name for name in names for _ in range(each)])
        opening = iter(names)

        async def open_some() -> None:
            for name in opening:
                await call("CreateSession", session_id=name, session={"application": "bench"})

        async def create_some() -> None:
            for name in todo:
                await call("CreateTask", task={"session_id": name, "input": b"i" * 16})

        await asyncio.gather(*(open_some() for _ in range(CREATING)))
        await asyncio.gather(*(create_some() for _ in range(CREATING)))
        while wait == "1":
            reply = await call("ListSession")
            if sum(one.status.succeed for one in reply.sessions) >= len(names) * each:
                break
            await asyncio.sleep(0.2)
        return time.perf_counter() - began

    return asyncio.run(bare_stubs(endpoint, work))


def bare_sync(endpoint: str) -> dict[str, float]:
    """List every session by stubs, and decode the messages as protobuf does."""

    async def work(call: Callable[..., Any]) -> int:
        gate, seen = asyncio.Semaphore(AT_ONCE), 0

        async def one(name: str) -> None:
            nonlocal seen
            async with gate:
                async for _ in call("ListTask", session_id=name):
                    seen += 1

        reply = await call("ListSession")
        await asyncio.gather(*(one(session.metadata.id) for session in reply.sessions))
        return seen

    spent = Spent()
    seen = asyncio.run(bare_stubs(endpoint, work))
    return {**spent.now, "tasks": seen}


# ---------------------------------------------------------------------- by this library


@contextmanager
def reactor_at(endpoint: str) -> Iterator[Any]:
    """Yield a reactor with the settings that users get."""
    from flamepy.core import connect
    from flamepy.informers import Reactor

    with connect(endpoint) as connection, Reactor(connection=connection) as reactor:
        yield reactor


def counting() -> Any:
    """Return an informer that counts its events."""
    from flamepy.informers import TaskEvent, TaskInformer

    class Counting(TaskInformer):
        count = 0

        def on_transition(self, event: TaskEvent) -> None:
            self.count += 1

    return Counting()


def sync(endpoint: str) -> dict[str, float]:
    """Register an informer that counts, and wait until it is synced."""
    import gc

    informer = counting()
    with reactor_at(endpoint) as reactor:
        gc.collect()
        before, spent = rss(), Spent()
        reactor.register(informer).wait_synced(300)
        found = spent.now
        gc.collect()
        return {**found, "mib": (rss() - before) / 2**20, "tasks": informer.count}


def rest(endpoint: str) -> dict[str, float]:
    """Return what a reactor takes while nothing happens, or whatever the engine does."""
    informer = counting()
    with reactor_at(endpoint) as reactor:
        reactor.register(informer).wait_synced(300)
        threading.Event().wait(5.0)
        counted, spent = informer.count, Spent()
        threading.Event().wait(REST)
        found = spent.now
        events = informer.count - counted
        us = 1e6 * found["cpu"] / events if events else 0.0
        return {"percent": found["percent"], "events_per_s": events / REST, "us_per_event": us}


def latency(endpoint: str, watched: str) -> dict[str, float]:
    """Return ms from the end of a task to its callback."""
    from flamepy.core import connect
    from flamepy.informers import Reactor, TaskEvent, TaskInformer

    found: list[float] = []
    ended = threading.Semaphore(0)

    class Noting(TaskInformer):
        def on_terminal(self, event: TaskEvent) -> None:
            assert event.task.completion_time is not None
            found.append(1000 * (time.time() - event.task.completion_time.timestamp()))
            ended.release()

    with connect(endpoint) as connection, Reactor(connection=connection) as reactor:
        reactor.register(Noting(), replay="none").wait_synced(60)
        session = connection.create_session("bench")
        for _ in range(CHANGES):
            task = session.create_task(b"x")
            if watched == "1":
                reactor.future((session.id, task.id))
            assert ended.acquire(timeout=60)
    cuts = statistics.quantiles(found, n=100, method="inclusive")
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


def queries(endpoint: str) -> dict[str, float]:
    """Return us of queries after the first one."""
    with reactor_at(endpoint) as reactor:
        tasks = reactor.tasks
        tasks.index("id", lambda task: task.id)
        tasks.wait_synced(300)
        name = tasks.keys()[0][0]
        every = {
            "get": lambda: tasks.get(name, "1"),
            f"by_index, {SOME} found": lambda: tasks.by_index("id", "7"),
            "by_index, none found": lambda: tasks.by_index("state", "failed"),
            "by_index session": lambda: tasks.by_index("session", name),
            "by_index, all found": lambda: tasks.by_index("state", "succeed"),
            "list": tasks.list,
            "len": lambda: len(tasks),
        }
        return {key: median_us(query) for key, query in every.items()}


def median_us(query: Callable[[], object]) -> float:
    """Return the median us of a call, of a few after the first."""
    query()
    times = []
    for _ in range(7):
        began = time.thread_time()
        query()
        times.append(1e6 * (time.thread_time() - began))
    return statistics.median(times)


PARTS: dict[str, Callable[..., Any]] = {
    "fill": fill,
    "bare": bare_sync,
    "sync": sync,
    "rest": rest,
    "latency": latency,
    "queries": queries,
}


# ---------------------------------------------------------------------- both trees in turn


def of_rounds(found: list[dict[str, float]]) -> dict[str, float]:
    """Return the medians."""
    return {key: round(statistics.median(one[key] for one in found), 3) for key in found[0]}


def in_turn(
    trees: dict[str, Path], name: str, endpoint: str, *arguments: object, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Run a part with each tree, round by round."""
    found: dict[str, list[dict[str, float]]] = {one: [] for one in trees}
    for _ in range(rounds):
        for one, tree in trees.items():
            found[one].append(run(name, endpoint, *arguments, tree=tree))
    return {one: of_rounds(rows) for one, rows in found.items()}


def measure_sync(program: str, trees: dict[str, Path]) -> Iterator[tuple[str, Any]]:
    """Yield the first sync beside bare stubs."""
    with engine(program) as endpoint:
        run("fill", endpoint, *SYNC)
        rounds: dict[str, list[dict[str, float]]] = {}
        for _ in range(ROUNDS):
            bare = run("bare", endpoint)
            rounds.setdefault("bare", []).append(bare)
            for one, tree in trees.items():
                found = run("sync", endpoint, tree=tree)
                found["cpu / bare"] = found["cpu"] / bare["cpu"]
                rounds.setdefault(one, []).append(found)
    title = f"{SYNC[0]} sessions of {SYNC[1]} tasks"
    yield title, {one: of_rounds(found) for one, found in rounds.items()}


def measure_rest(program: str, trees: dict[str, Path]) -> Iterator[tuple[str, Any]]:
    """Yield what a reactor takes at rest."""
    for sessions in REST_SESSIONS:
        with engine(program) as endpoint:
            run("fill", endpoint, sessions, 1)
            yield f"{sessions} sessions at rest", in_turn(trees, "rest", endpoint, rounds=1)
    for tasks in REST_TASKS:
        with engine(program, **{"task-ms": 3_600_000}) as endpoint:
            run("fill", endpoint, 100, tasks // 100, 0)
            shown = f"{tasks} unfinished tasks of 100 sessions at rest"
            yield shown, in_turn(trees, "rest", endpoint, rounds=1)


def measure_load(program: str, trees: dict[str, Path]) -> Iterator[tuple[str, Any]]:
    """Yield what a reactor takes while tasks end."""
    for places in LOAD_TASKS:
        sessions = max(1, places // 10)
        options = {"task-ms": LOAD_MS, "executors": 10}
        for one, tree in trees.items():
            with engine(program, **options) as endpoint:
                count = int(10 * (REST + 15.0) * 1000 / LOAD_MS)
                run("fill", endpoint, sessions, count, 0)
                yield f"{places} tasks run at a time", {one: run("rest", endpoint, tree=tree)}


def measure_latency(program: str, trees: dict[str, Path]) -> Iterator[tuple[str, Any]]:
    """Yield the ms from an end to its callback."""
    for watched in (1, 0):
        with engine(program, **{"task-ms": 50}) as endpoint:
            run("fill", endpoint, 100, 10)
            yield ("watched", "polled")[not watched], in_turn(trees, "latency", endpoint, watched)


def measure_queries(program: str, trees: dict[str, Path]) -> Iterator[tuple[str, Any]]:
    """Yield what queries take."""
    with engine(program) as endpoint:
        run("fill", endpoint, QUERIED // 1000, 1000)
        yield f"queries of {QUERIED} tasks", in_turn(trees, "queries", endpoint)


MEASURES = {
    "sync": measure_sync,
    "rest": measure_rest,
    "load": measure_load,
    "latency": measure_latency,
    "queries": measure_queries,
}


def main() -> None:
    """Measure what is asked for, and print."""
    if sys.argv[1:2] == ["--part"]:
        name, *arguments = sys.argv[2:]
        print(json.dumps(PARTS[name](*arguments)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", help="the program")
    parser.add_argument("parts", nargs="*", choices=[*MEASURES, []], metavar="PART")
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    chosen = parser.parse_args()
    trees = {"before": chosen.against} if chosen.against else {}
    for name in chosen.parts or MEASURES:
        for title, found in MEASURES[name](chosen.engine, {**trees, "now": TREE}):
            print(json.dumps({title: found}, indent=2), flush=True)


if __name__ == "__main__":
    main()
