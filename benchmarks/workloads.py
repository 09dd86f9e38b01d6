"""One workload of one client in one process: ``compare.py`` runs it by that client's Python.

``workloads.py CLIENT NAME ENDPOINT OPTIONS`` prints one JSON object: seconds of wall clock and of
this process's CPU, how many tasks, and what else the workload measures. CLIENT is ``ours`` or
``uvloop`` (this library, without and with uvloop), ``official`` (the SDK, by the same code: it has
the same calls), or ``bare`` (grpc.aio stubs that pipeline: the floor). OPTIONS is a JSON object:
``count``, ``size`` (payload bytes), ``threads``, ``informer``, ``application``, ``max_instances``
(None: as many as the engine gives), and ``uvloop``, whether bare stubs use it.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AT_ONCE = 128  # creations that the bare stubs have under way


class Clock:
    """Measures wall clock and CPU of a block."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    @contextmanager
    def running(self, count: int) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.found.update(
            wall=time.perf_counter() - wall, cpu=time.process_time() - cpu, count=count
        )


def rss() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# ---------------------------------------------------------------------- this library, the SDK


def session_of(options: dict[str, Any]) -> Any:
    """Return a session in which a task has run."""
    from flamepy.core import create_session

    session = create_session(options["application"], max_instances=options["max_instances"])
    session.invoke(options["payload"])
    return session


def invoke(options: dict[str, Any], clock: Clock) -> None:
    """One task at a time."""
    session, spent = session_of(options), []
    with clock.running(options["count"]):
        for _ in range(options["count"]):
            start = time.perf_counter()
            session.invoke(options["payload"])
            spent.append(time.perf_counter() - start)
    spent.sort()
    clock.found.update(p50=spent[len(spent) // 2], p99=spent[len(spent) * 99 // 100])


def run(options: dict[str, Any], clock: Clock) -> None:
    """Tasks created one after another; the creation alone is measured."""
    session = session_of(options)
    with clock.running(options["count"]):
        futures = [session.run(options["payload"]) for _ in range(options["count"])]
    for future in futures:
        future.result()


def run_wait(options: dict[str, Any], clock: Clock) -> None:
    """Tasks created one after another by each of some threads, and awaited."""
    session = session_of(options)

    def work(count: int) -> None:
        for future in [session.run(options["payload"]) for _ in range(count)]:
            future.result()

    in_threads(work, options, clock)


def turns(options: dict[str, Any], clock: Clock) -> None:
    """Tasks created and awaited one at a time by each of some threads."""
    session = session_of(options)

    def work(count: int) -> None:
        for _ in range(count):
            session.run(options["payload"]).result()

    in_threads(work, options, clock)


def in_threads(work: Callable[[int], None], options: dict[str, Any], clock: Clock) -> None:
    """Share the tasks among the threads."""
    count = options["count"] // options["threads"]
    with clock.running(count * options["threads"]):
        threads = [threading.Thread(target=work, args=(count,)) for _ in range(options["threads"])]
        for one in threads:
            one.start()
        for one in threads:
            one.join()


def as_completed(options: dict[str, Any], clock: Clock) -> None:
    """Tasks created one after another, and taken as they end."""
    session = session_of(options)
    with clock.running(options["count"]):
        futures = [session.run(options["payload"]) for _ in range(options["count"])]
        for future in concurrent.futures.as_completed(futures):
            future.result()


def watch(options: dict[str, Any], clock: Clock) -> None:
    """Tasks created and watched to their end, one at a time."""
    session = session_of(options)
    with clock.running(options["count"]):
        for _ in range(options["count"]):
            for _update in session.watch_task(session.create_task(options["payload"]).id):
                pass


def list_tasks(options: dict[str, Any], clock: Clock) -> None:
    """All tasks of a session that has many."""
    session = session_of(options)
    for future in [session.run(options["payload"]) for _ in range(options["count"])]:
        future.result()
    with clock.running(options["count"]):
        assert len(list(session.list_tasks())) > options["count"]


# ---------------------------------------------------------------------- this library only


def inputs(options: dict[str, Any]) -> Iterator[bytes]:
    """Yield as many inputs as are asked for."""
    return (options["payload"] for _ in range(options["count"]))


def map_(options: dict[str, Any], clock: Clock) -> None:
    """``session.map``, with an informer on the session or without."""
    from contextlib import ExitStack

    session = session_of(options)
    with ExitStack() as stack:
        if options.get("informer"):
            from flamepy.core import TaskInformer
            from flamepy.informers import Reactor

            reactor = stack.enter_context(Reactor())
            reactor.register(TaskInformer(), session=session.id).wait_synced(timeout=30)
        start, peak = rss(), 0
        with clock.running(options["count"]):
            for number, _ in enumerate(session.map(inputs(options))):
                if number % 1000 == 0:
                    peak = max(peak, rss())
        clock.found["mib_above_start"] = (peak - start) / (1 << 20)


def run_many(options: dict[str, Any], clock: Clock) -> None:
    """``session.run_many``, and its futures awaited."""
    session = session_of(options)
    with clock.running(options["count"]):
        for future in session.run_many(inputs(options)):
            future.result()


def pending(options: dict[str, Any], clock: Clock) -> None:
    """What futures take that wait."""
    from flamepy.core import create_session

    session = create_session("never")
    list(session.run_many(inputs({**options, "count": 10})))
    start = rss()
    with clock.running(options["count"]):
        futures = session.run_many(inputs(options))
    clock.found["mib"] = (rss() - start) / (1 << 20)
    assert not futures[0].done()


# ---------------------------------------------------------------------- bare stubs


class Bare:
    """grpc.aio stubs and nothing else."""

    def __init__(self, channel: Any) -> None:
        from flamepy.wire.services import FRONTEND

        self._channel = channel
        self._methods = FRONTEND
        self._stubs: dict[str, Any] = {}

    def __call__(self, name: str, **fields: Any) -> Any:
        method = self._methods[name]
        if name not in self._stubs:
            make = self._channel.unary_stream if method.streams else self._channel.unary_unary
            self._stubs[name] = make(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return self._stubs[name](method.request(**fields))


async def bare(name: str, options: dict[str, Any], clock: Clock, endpoint: str) -> None:
    """Open a session by stubs and run a workload of ``BARE`` in it."""
    import grpc.aio

    more = [("grpc.max_receive_message_length", -1)]
    target = endpoint.removeprefix("http://")
    async with grpc.aio.insecure_channel(target, options=more) as channel:
        call = Bare(channel)
        session_id = f"bare-{time.time_ns()}"
        spec = {"application": options["application"]}
        if options["max_instances"]:
            spec["max_instances"] = options["max_instances"]
        await call("CreateSession", session_id=session_id, session=spec)
        one = {"session_id": session_id, "input": options["payload"]}
        number = (await call("CreateTask", task=one)).metadata.id
        async for _ in call("WatchTask", session_id=session_id, task_id=number):
            pass
        await BARE[name](options, clock, call, one)


async def bare_invoke(options: dict[str, Any], clock: Clock, call: Bare, one: Any) -> None:
    """CreateTask, then WatchTask, one task at a time."""
    spent = []
    with clock.running(options["count"]):
        for _ in range(options["count"]):
            start = time.perf_counter()
            made = await call("CreateTask", task=one)
            key = {"session_id": one["session_id"], "task_id": made.metadata.id}
            async for _update in call("WatchTask", **key):
                pass
            spent.append(time.perf_counter() - start)
    spent.sort()
    clock.found.update(p50=spent[len(spent) // 2], p99=spent[len(spent) * 99 // 100])


async def bare_run(options: dict[str, Any], clock: Clock, call: Bare, one: Any) -> None:
    """CreateTask, one after another."""
    with clock.running(options["count"]):
        for _ in range(options["count"]):
            await call("CreateTask", task=one)


async def bare_get(options: dict[str, Any], clock: Clock, call: Bare, one: Any) -> None:
    """GetTask of one task, again and again."""
    made = await call("CreateTask", task=one)
    key = {"session_id": one["session_id"], "task_id": made.metadata.id}
    with clock.running(options["count"]):
        for _ in range(options["count"]):
            await call("GetTask", **key)


async def bare_map(options: dict[str, Any], clock: Clock, call: Bare, one: Any) -> None:
    """CreateTask, many at a time; the counters until all have ended; one ListTask."""
    await create_and_list(AT_ONCE, options, clock, call, one)


async def bare_run_wait(options: dict[str, Any], clock: Clock, call: Bare, one: Any) -> None:
    """The same, with as many creations at a time as there are threads."""
    await create_and_list(options["threads"], options, clock, call, one)


async def create_and_list(
    at_once: int, options: dict[str, Any], clock: Clock, call: Bare, one: Any
) -> None:
    """Create tasks, so many at a time, and read them all when all have ended."""
    left = iter(range(options["count"]))

    async def work() -> None:
        for _ in left:
            await call("CreateTask", task=one)

    with clock.running(options["count"]):
        await asyncio.gather(*(work() for _ in range(at_once)))
        while (await call("GetSession", session_id=one["session_id"])).status.succeed < options[
            "count"
        ]:
            await asyncio.sleep(0.02)
        outputs = []
        async for task in call("ListTask", session_id=one["session_id"]):
            outputs.append(task.spec.output)  # noqa: PERF401  # as a client would
    assert len(outputs) > options["count"]


async def bare_as_completed(options: dict[str, Any], clock: Clock, call: Bare, one: Any) -> None:
    """CreateTask, one after another, each task watched by a stream of its own from then on."""

    async def watch(number: str) -> None:
        async for _ in call("WatchTask", session_id=one["session_id"], task_id=number):
            pass

    with clock.running(options["count"]):
        watches = []
        for _ in range(options["count"]):
            made = await call("CreateTask", task=one)
            watches.append(asyncio.ensure_future(watch(made.metadata.id)))
        for ended in asyncio.as_completed(watches):
            await ended


BARE: dict[str, Callable[..., Any]] = {
    "invoke": bare_invoke,
    "run": bare_run,
    "create": bare_run,
    "get": bare_get,
    "map": bare_map,
    "run_wait": bare_run_wait,
    "as_completed": bare_as_completed,
}
CALLS: dict[str, Callable[[dict[str, Any], Clock], None]] = {
    "invoke": invoke,
    "run": run,
    "run_wait": run_wait,
    "turns": turns,
    "as_completed": as_completed,
    "watch": watch,
    "list": list_tasks,
    "map": map_,
    "run_many": run_many,
    "pending": pending,
}


@contextmanager
def runner(*, uvloop: bool) -> Iterator[Any]:
    """Give what runs a coroutine, on asyncio's loop or on uvloop's."""
    if not uvloop:
        yield asyncio
        return
    import uvloop as fast

    loop = fast.new_event_loop()
    asyncio.set_event_loop(loop)
    yield argparse.Namespace(run=loop.run_until_complete)


def main() -> None:
    """Run one and print."""
    client, name, endpoint, text = sys.argv[1:]
    options = {"count": 100, "size": 100, "threads": 1, "application": "bench"}
    options |= {"max_instances": 1, "uvloop": False, **json.loads(text)}
    options["payload"] = b"echo " + b"x" * (options["size"] - 5)
    if client != "uvloop" and not options["uvloop"]:
        sys.modules["uvloop"] = None  # type: ignore[assignment]  # as if it were not installed
    os.environ["FLAME_ENDPOINT"] = endpoint
    clock = Clock()
    if client == "bare":
        with runner(uvloop=options["uvloop"]) as loop:
            loop.run(bare(name, options, clock, endpoint))
    else:
        CALLS[name](options, clock)
    print(json.dumps(clock.found), flush=True)
    os._exit(0)  # the SDK's threads would wait for ever


if __name__ == "__main__":
    main()
