"""Measure the embedded cluster: tasks a second, memory of a finished task, time to start again.

Prints JSON. "echo" is 5,000 tasks through one service process, what each costs that process and
the cluster's, and the latency of one task alone. In memory and with ``--data`` alternate,
``ROUNDS`` times; look at their ratio, not at the numbers of a noisy machine. A create is counted
once it is acknowledged. ``python benchmarks/cluster.py [TASKS]`` (100,000 by default) runs about
five minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flamepy import aio

ROOT = Path(__file__).resolve().parent.parent
SERVICE = ROOT / "tests" / "support" / "recorded_service.py"
ROUNDS, CREATES, SAMPLE = 3, 5000, 10_000
AT_ONCE = 32


def main() -> None:
    """Measure and print."""
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found: dict[str, object] = {"echo": compare_echoes(folder)}
        found["creates_per_second"] = compare_creates(folder)
        found["finished_task"] = {"bytes": round(memory_per_task(folder))}
        found["restart"] = restart(folder / "many", tasks)
    print(json.dumps(found, indent=2))


@contextmanager
def cluster(
    folder: Path, data: Path | None = None, *, executors: int = 2
) -> Iterator[tuple[str, int, float]]:
    """Run ``flamepy up``; give its endpoint, its process id, the seconds until it was ready."""
    manifest = folder / "app.yaml"
    manifest.write_text(
        f"metadata: {{name: app}}\nspec: {{command: {sys.executable}, arguments: [{SERVICE}]}}\n"
    )
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--app", str(manifest)]
    command += ["--executors", str(executors), *(["--data", str(data)] if data else [])]
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[1]
        try:
            yield endpoint, process.pid, time.perf_counter() - start
        finally:
            process.terminate()


async def create(endpoint: str, tasks: int, at_once: int) -> float:
    """Create tasks that stay pending; return how many a second were acknowledged."""
    async with await aio.connect(endpoint) as connection:
        await connection.register_application("idle", {"command": "/bin/sleep", "arguments": ["9"]})
        session = await connection.create_session("idle")
        left = iter(range(tasks))

        async def work() -> None:
            for _ in left:
                await session.create_task(b"x" * 100)

        start = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return tasks / (time.perf_counter() - start)


def compare_creates(folder: Path) -> dict[str, float]:
    """Return the median rates, one caller and several, in memory and with a data folder."""
    rates: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        for name in ("memory", "data"):
            for at_once in (1, AT_ONCE):
                data = folder / f"creates-{number}-{at_once}" if name == "data" else None
                with cluster(folder, data) as (endpoint, _, _):
                    rate = asyncio.run(create(endpoint, CREATES, at_once))
                rates.setdefault(f"{name}, {at_once} at once", []).append(rate)
    return {name: round(statistics.median(values)) for name, values in rates.items()}


def compare_echoes(folder: Path) -> dict[str, dict[str, float]]:
    """Return the medians of one service process, in memory and with a data folder."""
    rounds: dict[str, list[dict[str, float]]] = {}
    for number in range(ROUNDS):
        for name in ("memory", "data"):
            data = folder / f"echoes-{number}" if name == "data" else None
            with cluster(folder, data, executors=1) as (endpoint, pid, _):
                rounds.setdefault(name, []).append(asyncio.run(echo(endpoint, pid)))
    return {
        name: {key: round(statistics.median(one[key] for one in all_of_it), 2) for key in first}
        for name, all_of_it in rounds.items()
        for first in all_of_it[:1]
    }


async def echo(endpoint: str, pid: int) -> dict[str, float]:
    """Run tasks, many at a time and then one at a time."""
    async with await aio.connect(endpoint) as connection:
        session = await connection.create_session("app")
        await session.invoke(b"echo x")
        (service,) = (one for one in children(pid) if str(SERVICE) in one[1])
        before, start = (cpu(pid), cpu(service[0])), time.perf_counter()
        outputs = [one async for one in session.map([b"echo " + b"x" * 95] * CREATES)]
        spent, after = time.perf_counter() - start, (cpu(pid), cpu(service[0]))
        assert len(outputs) == CREATES
        alone = sorted([await latency(session) for _ in range(500)])
        return {
            "map_per_second": CREATES / spent,
            "cluster_us_cpu": (after[0] - before[0]) / CREATES,
            "service_us_cpu": (after[1] - before[1]) / CREATES,
            "invoke_p50_ms": alone[250],
            "invoke_p99_ms": alone[495],
        }


async def latency(session: aio.Session) -> float:
    """Return the milliseconds of one task."""
    start = time.perf_counter()
    await session.invoke(b"echo x")
    return 1000 * (time.perf_counter() - start)


def children(pid: int) -> list[tuple[int, str]]:
    """Return the processes that a process started, with their command lines (Linux)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    return [(one, Path(f"/proc/{one}/cmdline").read_text().replace("\0", " ")) for one in found]


def cpu(pid: int) -> float:
    """Return the microseconds of CPU that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1e6 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def finish(endpoint: str, tasks: int) -> None:
    """Run tasks to their end in one session."""
    async with await aio.connect(endpoint) as connection:
        session = await connection.create_session("app")
        left = iter(range(tasks))

        async def work() -> None:
            for _ in left:
                await session.create_task(b"echo " + b"x" * 95)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        while (await session.refresh()).info.counts.terminal < tasks:
            await asyncio.sleep(0.1)


def memory_per_task(folder: Path) -> float:
    """Return the bytes that a cluster in memory grows by for each finished task of 100 bytes."""
    with cluster(folder) as (endpoint, pid, _):
        asyncio.run(finish(endpoint, SAMPLE))  # what it needs once
        before = resident(pid)
        asyncio.run(finish(endpoint, SAMPLE))
        return (resident(pid) - before) / SAMPLE


def resident(pid: int) -> int:
    """Return the bytes of memory in use (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def restart(data: Path, tasks: int) -> dict[str, float]:
    """Return what starting with that many finished tasks costs."""
    folder = data.parent
    with cluster(folder, data) as (endpoint, _, empty):
        start = time.perf_counter()
        asyncio.run(finish(endpoint, tasks))
        rate = tasks / (time.perf_counter() - start)
    with cluster(folder, data) as (_, pid, full):
        mib = resident(pid) / 2**20
    size = sum(file.stat().st_size for file in data.iterdir()) / 2**20
    return {
        "tasks": tasks,
        "run_per_second": round(rate),
        "start_empty_seconds": round(empty, 2),
        "start_full_seconds": round(full, 2),
        "memory_mib": round(mib),
        "folder_mib": round(size),
    }


if __name__ == "__main__":
    main()
