"""Measure ``flamepy up`` with one echo process under bare grpc.aio stubs, and what two cores allow.

``python benchmarks/cluster_rate.py [SRC ...]``: each SRC is a folder of sources (the ``src`` of a
checkout; this one's by default). They take turns for ``ROUNDS`` rounds, so that two versions can be
compared on a machine that does other things meanwhile; the CPU of a process differs least
between rounds. Prints JSON: medians of ``map`` (create in a pipeline, wait for the counters, list)
and of one task at a time. The floor is ``instant_engine.py``: a grpc.aio server that runs nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from cluster import SERVICE, children, cpu
from workloads import Bare, Clock, bare_invoke, bare_map

HERE = Path(__file__).resolve().parent
ROUNDS, TASKS, INVOKES = 5, 5000, 300
SERVERS = ("memory", "data", "floor")
Found = dict[str, float]


def main() -> None:
    """Measure in turns and print."""
    trees = sys.argv[1:] or [str(HERE.parent / "src")]
    rounds: dict[str, list[Found]] = {}
    for _ in range(ROUNDS):
        for server in SERVERS:
            for tree in trees if server != "floor" else trees[:1]:
                name = "floor" if server == "floor" else f"{tree}, {server}"
                with running(tree, server) as (endpoint, pid):
                    rounds.setdefault(name, []).append(asyncio.run(measure(endpoint, pid)))
    print(json.dumps({name: medians(found) for name, found in rounds.items()}, indent=2))


def medians(rounds: list[Found]) -> Found:
    """Return the median of each figure."""
    return {key: round(statistics.median(one[key] for one in rounds), 2) for key in rounds[0]}


@contextmanager
def running(tree: str, server: str) -> Iterator[tuple[str, int]]:
    """Run a server; give its target and its process id."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = folder / "app.yaml"
        spec = f"{{command: {sys.executable}, arguments: [{SERVICE}]}}"
        app.write_text(f"metadata: {{name: bench}}\nspec: {spec}\n")
        command = ["-m", "flamepy", "up", "--port", "0", "--executors", "1", "--app", str(app)]
        command += ["--data", str(folder / "data")] if server == "data" else []
        if server == "floor":
            command = [str(HERE / "instant_engine.py")]
        with subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": tree},
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline().decode().split()
            port = first[0] if server == "floor" else first[1].rpartition(":")[2]
            try:
                yield f"127.0.0.1:{port}", process.pid
            finally:
                process.terminate()


async def measure(target: str, pid: int) -> Found:
    """Run both workloads in one session."""
    more = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(target, options=more) as channel:
        call = Bare(channel)
        spec = {"application": "bench", "max_instances": 1}
        await call("CreateSession", session_id="rate", session=spec)
        one = {"session_id": "rate", "input": b"echo " + b"x" * 95}
        await bare_invoke({"count": 1}, Clock(), call, one)  # starts the service
        alone, mapped = Clock(), Clock()
        processes = [pid, *(one for one, line in children(pid) if str(SERVICE) in line)]
        before = [cpu(one) for one in processes]
        await bare_map({"count": TASKS}, mapped, call, one)
        spent = [cpu(one) - then for one, then in zip(processes, before, strict=True)]
        await bare_invoke({"count": INVOKES}, alone, call, one)
        return figures(mapped.found, alone.found, spent)


def figures(mapped: dict[str, Any], alone: dict[str, Any], spent: list[float]) -> Found:
    """Return what is shown; us are CPU a task."""
    return {
        "tasks_per_second": TASKS / mapped["wall"],
        "cluster_us": spent[0] / TASKS,
        "service_us": sum(spent[1:]) / TASKS,
        "stubs_us": 1e6 * mapped["cpu"] / TASKS,
        "invoke_p50_ms": 1e3 * alone["p50"],
        "invoke_p99_ms": 1e3 * alone["p99"],
    }


if __name__ == "__main__":
    main()
