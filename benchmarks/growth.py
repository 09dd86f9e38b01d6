"""What grows faster than the number of tasks, or of sessions: on an engine of constants.

``python benchmarks/growth.py [MOST]`` prints a table: ``map`` over 1,000 tasks to MOST (100,000),
the same by ``run_many``, 10,000 tasks in 1 to 1,000 sessions, and the latency of ``invoke`` while
so many futures wait beside it. Each row is a fresh process on a fresh engine; rates are those of
this machine now, so compare the rows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path

HERE = Path(__file__).resolve().parent


def rss() -> float:
    """Return this process's resident MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def mapped(endpoint: str, count: int) -> dict[str, float]:
    """Map over so many inputs in one session."""
    from flamepy.core import connect

    with connect(endpoint) as connection:
        session = connection.create_session("bench")
        list(session.map([b"x"] * 10))
        before, most = rss(), 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        for number, _ in enumerate(session.map(b"x" * 100 for _ in range(count))):
            if number % 500 == 0:
                most = max(most, rss() - before)
        return measured(wall, cpu, count, most)


def futures(endpoint: str, count: int) -> dict[str, float]:
    """Make so many futures, then wait for all of them."""
    from flamepy.core import connect

    with connect(endpoint) as connection:
        session = connection.create_session("bench")
        list(session.map([b"x"] * 10))
        before = rss()
        wall, cpu = time.perf_counter(), time.process_time()
        made = session.run_many(b"x" * 100 for _ in range(count))
        wait(made)
        return measured(wall, cpu, count, rss() - before)


def sessions(endpoint: str, count: int) -> dict[str, float]:
    """Make 10,000 tasks in so many sessions, then wait for all of them."""
    from flamepy.core import connect

    with connect(endpoint) as connection:
        opened = [connection.create_session("bench") for _ in range(count)]
        list(opened[0].map([b"x"] * 10))
        before = rss()
        wall, cpu = time.perf_counter(), time.process_time()
        each = 10_000 // count
        made = [one for session in opened for one in session.run_many([b"x" * 100] * each)]
        wait(made)
        return measured(wall, cpu, len(made), rss() - before)


def beside(endpoint: str, count: int) -> dict[str, float]:
    """Invoke one task after another while so many futures wait."""
    from flamepy.core import connect

    with connect(endpoint) as connection:
        waiting = connection.create_session("never")
        before = rss()
        made = waiting.run_many(b"x" * 100 for _ in range(count))
        taken = rss() - before
        session = connection.create_session("bench")
        spent = []
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(300):
            start = time.perf_counter()
            session.invoke(b"x")
            spent.append(time.perf_counter() - start)
        spent.sort()
        assert not any(one.done() for one in made[:1])
        found = measured(wall, cpu, 300, taken)
        return {
            **found,
            "p50_ms": round(1000 * spent[150], 2),
            "p99_ms": round(1000 * spent[297], 2),
        }


def measured(wall: float, cpu: float, count: int, mib: float) -> dict[str, float]:
    """Return a row."""
    return {
        "per_s": round(count / (time.perf_counter() - wall)),
        "us_cpu": round(1e6 * (time.process_time() - cpu) / count),
        "mib": round(mib, 1),
    }


PARTS = {"map": mapped, "run_many": futures, "sessions": sessions, "invoke beside": beside}


def main() -> None:
    """Measure, each row in a fresh process on a fresh engine, and print."""
    if len(sys.argv) > 2:
        name, endpoint, count = sys.argv[1:]
        print(json.dumps(PARTS[name](endpoint, int(count))), flush=True)
        os._exit(0)
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sizes = [one for one in (1000, 10_000, 100_000, 1_000_000) if one <= most]
    rows = [(name, size) for name in ("map", "run_many") for size in sizes if size <= most]
    rows += [("sessions", count) for count in (1, 10, 100, 1000)]
    rows += [("invoke beside", size) for size in (0, 1000, 10_000, 100_000)]
    print(f"{'':14} {'count':>8} {'per s':>7} {'us CPU':>7} {'MiB':>7} {'p50 ms':>7} {'p99 ms':>7}")
    for name, count in rows:
        found = row(name, count)
        more = [f"{found[key]:7.2f}" for key in ("p50_ms", "p99_ms") if key in found]
        numbers = f"{found['per_s']:7.0f} {found['us_cpu']:7.0f} {found['mib']:7.1f}"
        print(f"{name:14} {count:8} {numbers} {' '.join(more)}", flush=True)


def row(name: str, count: int) -> dict[str, float]:
    """Run one part."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "instant_engine.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as engine:
        assert engine.stdout is not None
        endpoint = f"http://127.0.0.1:{engine.stdout.readline().strip()}"
        command = [sys.executable, __file__, name, endpoint, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        engine.communicate()
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
