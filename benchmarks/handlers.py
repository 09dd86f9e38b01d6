"""Measure handlers: keyed workers, an empty callback, reconcilers, ``explain`` and armed rules.

``python benchmarks/handlers.py [PART]...`` prints a table of each part, all in ten minutes:

- ``workers``: events a second of 1,000 keys with a callback that sleeps 1 ms, for 1 to 64 workers,
  threads and coroutines, beside the ideal and beside bare threads or coroutines that do the same;
- ``empty``: events a second of a callback that does nothing, with 1 worker and with 8. With
  ``--against SOURCE``, a checkout of another commit, it takes turns with that one, and the ratios
  are those of neighbouring rounds;
- ``reconciler``: runs for 100,000 events of 100 keys, and the time from an event to its run;
- ``explain``: what the notes for ``reactor.explain`` cost an event;
- ``rules``: the CPU that a reactor takes at rest, with 10,000 armed rules and without.

Each figure is of a fresh process without an engine's network: events are put where the engine's
observations are. The load of the machine is printed; look at ratios.
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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flamepy.informers import TaskEvent
    from flamepy.informers.delivery.registration import Registration
    from flamepy.testing import ScriptedConnection

KEYS, EVENTS, SLEEP = 1000, 100_000, 0.001
FEWER = {1: 5_000, 4: 20_000}  # events of few workers: more would take minutes
RULES, REST = 10_000, 10.0
DECADE = 10 * 365 * 86_400.0  # seconds: the tasks of a scripted engine are months old
RECONCILED_KEYS, CALM_EVENTS, CALM_PAUSE = 100, 1000, 0.005
LIMIT = 600.0  # seconds until a part counts as stuck


# ---------------------------------------------------------------------- events and registrations


def made_events(count: int, keys: int) -> list[TaskEvent]:
    """Return events of different tasks, of so many sessions in turn."""
    from flamepy.informers import TaskEvent
    from flamepy.types import Task, TaskState
    from flamepy.watching.state.events import EventKind

    born = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return [
        TaskEvent(
            kind=EventKind.UPDATED,
            task=Task(str(number), f"s{number % keys}", TaskState.RUNNING, born),
            application="app",
        )
        for number in range(count)
    ]


def registered(informer: Any, **options: Any) -> Registration:
    """Return a registration without a reactor that has room for all events."""
    from flamepy.informers.delivery.registration import Hooks, Registration
    from flamepy.informers.options import Options
    from flamepy.watching.state.subscriptions import Scope

    hooks = Hooks(lambda _: None, lambda _: None, lambda _: None, lambda _: None)
    chosen = Options(queue_size=EVENTS * 2, **options)
    registration = Registration(informer, Scope(), chosen, hooks=hooks)
    registration.begin()
    return registration


# ---------------------------------------------------------------------- workers


def workers(kind: str, count: str) -> dict[str, float]:
    """Return the rate of a callback that sleeps, with so many workers."""
    from flamepy.informers import TaskInformer

    number = int(count)
    total = FEWER.get(number, EVENTS)
    done, handled = threading.Event(), [0]

    def count_one() -> None:
        handled[0] += 1
        if handled[0] >= total:
            done.set()

    class Sleeping(TaskInformer):
        def on_transition(self, event: TaskEvent) -> None:
            time.sleep(SLEEP)
            count_one()

    class Awaiting(TaskInformer):
        async def on_transition(self, event: TaskEvent) -> None:
            await asyncio.sleep(SLEEP)
            count_one()

    informer = Sleeping() if kind == "threads" else Awaiting()
    registration = registered(informer, workers=number, key="session")
    events = made_events(total, KEYS)
    start, cpu = time.perf_counter(), time.process_time()
    for event in events:
        registration.put(event)
    assert done.wait(LIMIT)
    found = rate(total, start, cpu)
    registration.close(0.0)
    return found


def bare(kind: str, count: str) -> dict[str, float]:
    """Return the rate of bare threads, or coroutines, that sleep as often."""
    number = int(count)
    total = FEWER.get(number, EVENTS)

    def sleeps(_: int) -> None:
        for _ in range(total // number):
            time.sleep(SLEEP)

    async def awaits() -> None:
        for _ in range(total // number):
            await asyncio.sleep(SLEEP)

    async def together() -> None:
        await asyncio.gather(*(awaits() for _ in range(number)))

    start, cpu = time.perf_counter(), time.process_time()
    if kind == "threads":
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(sleeps, range(number)))
    else:
        asyncio.run(together())
    return rate(total // number * number, start, cpu)


def rate(count: int, start: float, cpu: float) -> dict[str, float]:
    """Return events a second, and microseconds of CPU an event."""
    return {
        "per_s": count / (time.perf_counter() - start),
        "us_cpu": 1e6 * (time.process_time() - cpu) / count,
    }


def show_workers(_: argparse.Namespace) -> None:
    """Print the rates of all numbers of workers."""
    rows = []
    for kind in ("threads", "async"):
        for number in (1, 4, 16, 64):
            ours, floor = part("workers", kind, str(number)), part("bare", kind, str(number))
            ideal = number / SLEEP
            row = [kind, number, FEWER.get(number, EVENTS), round(ideal), round(floor["per_s"])]
            row += [round(ours["per_s"]), round(ours["per_s"] / ideal, 2)]
            rows.append([*row, round(ours["per_s"] / floor["per_s"], 2), round(ours["us_cpu"], 1)])
    names = "kind workers events ideal/s bare/s ours/s ours/ideal ours/bare us_CPU"
    table(names, rows)


# ---------------------------------------------------------------------- an empty callback


def empty(count: str, notes: str = "notes") -> dict[str, float]:
    """Return how fast a full queue goes through a callback that does nothing.

    Args:
        count: workers.
        notes: "none" leaves out what ``reactor.explain`` needs.
    """
    from flamepy.informers import TaskInformer

    full, done, handled = threading.Event(), threading.Event(), [0]

    class Nothing(TaskInformer):
        def on_transition(self, event: TaskEvent) -> None:
            handled[0] += 1
            if handled[0] == 1:
                full.wait(LIMIT)
            elif handled[0] >= EVENTS:
                done.set()

    more: dict[str, Any] = {} if count == "1" else {"workers": int(count), "key": "session"}
    registration = registered(Nothing(), **more)
    if notes == "none":
        registration._dispatcher.outcomes.delivered = _no_note  # type: ignore[method-assign]
    events = made_events(EVENTS, KEYS)
    first, others = events[0], events[1:]
    registration.put(first)
    if count == "1":
        for event in others:
            registration.put(event)
        start, cpu = time.perf_counter(), time.process_time()
        full.set()
    else:
        full.set()
        start, cpu = time.perf_counter(), time.process_time()
        for event in others:
            registration.put(event)
    assert done.wait(LIMIT)
    found = rate(EVENTS, start, cpu)
    registration.close(0.0)
    return found


def _no_note(*_: object, **__: object) -> None:
    """Note nothing."""


def whole(count: str) -> dict[str, float]:
    """Return the rate from an observation by the reactor to a callback that does nothing."""
    from flamepy.informers import Reactor, TaskInformer
    from flamepy.testing import ScriptedConnection

    done, handled = threading.Event(), [0]

    class Nothing(TaskInformer):
        def on_transition(self, event: TaskEvent) -> None:
            handled[0] += 1
            if handled[0] >= EVENTS:
                done.set()

    more: dict[str, Any] = {} if count == "1" else {"workers": int(count), "key": "session"}
    with ScriptedConnection() as connection, Reactor(connection=connection) as reactor:
        add_sessions(connection, 8)
        reactor.register(Nothing(), queue_size=EVENTS, **more).wait_synced(30)
        start, cpu = observe(connection, 8, EVENTS)
        assert done.wait(LIMIT)
        return rate(EVENTS, start, cpu)


def add_sessions(connection: ScriptedConnection, count: int) -> None:
    """Make sessions ``s0``, ``s1``, ..."""

    def add(source: Any) -> None:
        for number in range(count):
            source.add_session(f"s{number}")

    connection.do(add)


def observe(
    connection: ScriptedConnection, keys: int, count: int, seen: Callable[[str], None] | None = None
) -> tuple[float, float]:
    """Have the reactor observe so many new tasks, in sessions in turn.

    Args:
        connection: of the reactor.
        keys: sessions.
        count: tasks.
        seen: called with a session's id before each.

    Returns:
        When the first one was observed, and the process's CPU time then; they were made before.
    """
    from flamepy.watching.hub import Hub
    from flamepy.watching.state.events import EventSource, Window

    def feed(source: Any) -> tuple[float, float]:
        hub, tasks = Hub.of(connection.link), []
        for number in range(count):
            session = f"s{number % keys}"
            tasks.append(source._sessions[session].rows[int(source.add_task(session))].bare)
        # An earlier commit, of ``--against``, has another name for it.
        report = getattr(hub._reader, "report", None) or hub._observer.observe
        start, cpu = time.perf_counter(), time.process_time()
        for task in tasks:
            if seen is not None:
                seen(task.session_id)
            now = hub.now()
            report(task, Window(now, now), EventSource.PROBE, True)
        return start, cpu

    return connection.do(feed)


def show_empty(arguments: argparse.Namespace) -> None:
    """Print rates of an empty callback, and their ratios to another commit's."""
    names = ("empty", "whole")
    for name in names:
        for count in ("1", "8"):
            pairs = []
            compared = arguments.against is not None and count == "1"
            for number in range(arguments.rounds):
                sources = [None, arguments.against] if compared else [None]
                turn = sources if number % 2 else sources[::-1]
                found = {one: part(name, count, source=one) for one in turn}
                pairs.append((found[None], found.get(arguments.against) if compared else None))
            show_pairs(f"{name}, {count} worker{'s' * (count != '1')}", pairs)


def show_pairs(name: str, pairs: Sequence[tuple[dict[str, float], Any]]) -> None:
    """Print medians, and the ratios to the other commit."""
    row: list[object] = [name]
    for unit, digits in (("per_s", 0), ("us_cpu", 2)):
        row.append(round(statistics.median(ours[unit] for ours, _ in pairs), digits))
        if pairs[0][1] is not None:
            row.append(round(statistics.median(other[unit] for _, other in pairs), digits))
            ratios = sorted(ours[unit] / other[unit] for ours, other in pairs)
            middle = statistics.median(ratios)
            row.append(f"{middle:.3f} ({ratios[0]:.2f}-{ratios[-1]:.2f})")
    if pairs[0][1] is None:
        table("callback events/s us_CPU", [row])
    else:
        table("callback events/s theirs ratio us_CPU theirs ratio", [row])


# ---------------------------------------------------------------------- explain


def notes() -> dict[str, float]:
    """Return nanoseconds of one note, in a loop of its own."""
    from flamepy.informers.outcomes.breaker import Breaker
    from flamepy.informers.outcomes.gate import Gate
    from flamepy.informers.outcomes.outcomes import Outcomes
    from flamepy.runtime.flags import Flag

    outcomes = Outcomes(Gate(Breaker(None, 60.0), Flag()))
    events = made_events(EVENTS, KEYS)
    spent = []
    for note in (outcomes.delivered, _no_note):
        times = []
        for _ in range(10):
            cpu = time.thread_time()
            for event in events:
                note(event, 1.0, called=True)
            times.append(time.thread_time() - cpu)
        spent.append(min(times))
    return {"ns": 1e9 * (spent[0] - spent[1]) / EVENTS}


def show_explain(arguments: argparse.Namespace) -> None:
    """Print what an event costs with notes and without."""
    found = [(part("empty", "1"), part("empty", "1", "none")) for _ in range(arguments.rounds)]
    median = statistics.median
    with_notes = 1000 * median(noted["us_cpu"] for noted, _ in found)
    without = 1000 * median(plain["us_cpu"] for _, plain in found)
    more = 1000 * median(noted["us_cpu"] - plain["us_cpu"] for noted, plain in found)
    alone = part("notes")["ns"]
    names = "with_notes,_ns_CPU without difference one_note_alone"
    table(names, [[round(with_notes), round(without), round(more), round(alone)]])


# ---------------------------------------------------------------------- reconcilers


def reconciler(mode: str) -> dict[str, float]:
    """Return runs, and the time from an event to the run that follows it.

    Args:
        mode: "storm" has all events at once, "calm" one after another.
    """
    from flamepy.informers import Reactor, ReconcileContext, Reconciler
    from flamepy.testing import ScriptedConnection

    since: dict[str, float] = {}  # the first event of a key that no run has followed
    took: list[float] = []
    runs = [0]

    class Counting(Reconciler):
        def reconcile(self, key: Any, ctx: ReconcileContext) -> None:
            runs[0] += 1
            at = since.pop(key, None)
            if at is not None:
                took.append(time.perf_counter() - at)

    def seen(session: str) -> None:
        since.setdefault(session, time.perf_counter())

    with ScriptedConnection() as connection, Reactor(connection=connection) as reactor:
        add_sessions(connection, RECONCILED_KEYS)
        reactor.register(Counting(), queue_size=EVENTS).wait_synced(30)
        settle(lambda: runs[0] >= RECONCILED_KEYS)
        runs[0] = 0
        took.clear()
        start = time.perf_counter()
        if mode == "storm":
            observe(connection, RECONCILED_KEYS, EVENTS, seen)
        else:
            for _ in range(CALM_EVENTS):
                observe(connection, 1, 1, seen)
                threading.Event().wait(CALM_PAUSE)
        settle(lambda: not since)
        spent = time.perf_counter() - start
    points = statistics.quantiles(took, n=100, method="inclusive")
    count = EVENTS if mode == "storm" else CALM_EVENTS
    return {
        "events": count,
        "runs": runs[0],
        "per_s": count / spent,
        "p50_ms": 1000 * points[49],
        "p99_ms": 1000 * points[98],
    }


def settle(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


def show_reconciler(arguments: argparse.Namespace) -> None:
    """Print runs and latency, for events at once and one after another."""
    rows = []
    for mode in ("storm", "calm"):
        found = [part("reconciler", mode) for _ in range(arguments.rounds)]
        middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
        row = [mode, *(round(middle[name]) for name in ("events", "runs", "per_s"))]
        rows.append([*row, round(middle["p50_ms"], 2), round(middle["p99_ms"], 2)])
    table("events count runs events/s p50_ms p99_ms", rows)


# ---------------------------------------------------------------------- rules


def rules(count: str) -> dict[str, float]:
    """Return the CPU of a reactor at rest that watches 10,000 pending tasks with so many rules."""
    from flamepy.informers import Reactor, TaskInformer, expect
    from flamepy.testing import ScriptedConnection

    class Plain(TaskInformer):
        def on_added(self, event: TaskEvent) -> None:
            pass

    class Alerts(Plain):
        def on_overdue(self, event: object) -> None:
            raise AssertionError("nothing is overdue")

    armed = count != "0"
    informer = Alerts() if armed else Plain()
    chosen: dict[str, Any] = {"rules": [expect.end(within=DECADE)]} if armed else {}
    with ScriptedConnection() as connection, Reactor(connection=connection) as reactor:
        add_sessions(connection, 1)
        connection.do(lambda source: source.add_tasks("s0", RULES))
        reactor.register(informer, queue_size=EVENTS, **chosen).wait_synced(60)
        threading.Event().wait(3.0)
        cpu, start = time.process_time(), time.perf_counter()
        threading.Event().wait(REST)
        used = (time.process_time() - cpu) / (time.perf_counter() - start)
    return {"percent": 100 * used}


def show_rules(arguments: argparse.Namespace) -> None:
    """Print the CPU at rest with rules and without."""
    rows = []
    for number in range(max(1, arguments.rounds // 2)):
        found = {one: part("rules", one)["percent"] for one in ("0", str(RULES))}
        rows.append([number + 1, round(found["0"], 2), round(found[str(RULES)], 2)])
    table(f"round without,_% with_{RULES}_rules,_%", rows)


# ---------------------------------------------------------------------- the whole


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "workers": workers,
    "bare": bare,
    "empty": empty,
    "whole": whole,
    "notes": notes,
    "reconciler": reconciler,
    "rules": rules,
}
PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "workers": show_workers,
    "empty": show_empty,
    "reconciler": show_reconciler,
    "explain": show_explain,
    "rules": show_rules,
}


def part(name: str, *values: str, source: Path | None = None) -> dict[str, float]:
    """Measure one thing in a process of its own, with the library of another checkout if given."""
    command = [sys.executable, __file__, "--measure", name, *values]
    environ = dict(os.environ)
    if source is not None:
        environ["PYTHONPATH"] = str(source / "src")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environ)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table(names: str, rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their names."""
    head = [name.replace("_", " ") for name in names.split()]
    shown = [head, *([str(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        print("  ".join(value.rjust(width) for value, width in zip(row, widths, strict=True)))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n", flush=True)


def main() -> None:
    """Measure the chosen parts."""
    if sys.argv[1:2] == ["--measure"]:
        name, *values = sys.argv[2:]
        print(json.dumps(MEASURES[name](*values)), flush=True)
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each pair")
    parser.add_argument("--against", type=Path, help="a checkout to compare with (empty)")
    arguments = parser.parse_args()
    for name in arguments.parts or PARTS:
        if name not in PARTS:
            parser.error(f"there is no part {name}: choose of {', '.join(PARTS)}")
        print(f"{name}:")
        PARTS[name](arguments)


if __name__ == "__main__":
    main()
