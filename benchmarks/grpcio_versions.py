"""Compare versions of grpcio: ``make bench BENCH="--grpcio 1.71 1.75 latest"``.

For each version an environment with this library and uvloop; then bare grpc.aio calls and this
library's workloads, of all versions in turns, with uvloop and without. Prints microseconds of CPU a
call or task, the p50 of ``invoke``, and both as multiples of the first version's of that round.
``VERSION@NAME=VALUE`` sets an environment variable of gRPC in the measured process, such as
``latest@GRPC_EXPERIMENTS=-event_engine_client``; a further ``@`` sets another.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

import servers

CASES = [  # name, client, whether with uvloop, workload, count, and the figures that are shown
    ("bare CreateTask", "bare", False, "create", 2000, ("wall", "cpu")),
    ("bare CreateTask, uvloop", "bare", True, "create", 2000, ("wall", "cpu")),
    ("bare GetTask", "bare", False, "get", 2000, ("wall", "cpu")),
    ("bare GetTask, uvloop", "bare", True, "get", 2000, ("wall", "cpu")),
    ("bare invoke", "bare", False, "invoke", 300, ("p50",)),
    ("map", "ours", False, "map", 2000, ("cpu",)),
    ("map, uvloop", "uvloop", True, "map", 2000, ("cpu",)),
    ("run+wait", "ours", False, "run_wait", 500, ("wall", "cpu")),
    ("invoke", "ours", False, "invoke", 300, ("p50", "cpu")),
    ("invoke, uvloop", "uvloop", True, "invoke", 300, ("p50", "cpu")),
]


def compare(versions: list[str], running: dict[str, dict[str, Any]], rounds: int) -> None:
    """Measure and print."""
    pythons = {one: servers.ours_on(one.partition("@")[0]) for one in versions}
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for server, known in running.items():
            for case in CASES:
                for version in versions if number % 2 else reversed(versions):
                    measured = run(pythons[version], version, case, known)
                    for figure in case[-1]:
                        key = (server, case[0], figure, version)
                        found.setdefault(key, []).append(measured[figure])
    show(versions, found)


def run(
    python: str, version: str, case: tuple[str, str, bool, str, int, Any], known: dict[str, Any]
) -> dict[str, float]:
    """Run a case once; return seconds, of wall clock and CPU a task."""
    _, client, uvloop, workload, count, _ = case
    given = json.dumps({**known, "count": count, "uvloop": uvloop})
    variables = dict(one.split("=", 1) for one in version.split("@")[1:])
    done = subprocess.run(
        [python, str(servers.HERE / "workloads.py"), client, workload, known["endpoint"], given],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(servers.CACHE), **variables},
        timeout=300,
    )
    if done.returncode:
        raise SystemExit(f"{version}: {workload} failed:\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    for figure in ("wall", "cpu"):
        measured[figure] /= measured["count"]
    return measured


def show(versions: list[str], found: dict[tuple[str, str, str, str], list[float]]) -> None:
    """Print a row for each server, case and figure: microseconds, and multiples of the first."""
    for place, version in enumerate(versions):
        print(f"{chr(ord('A') + place)}: grpcio {version}")
    letters = [chr(ord("A") + place) for place in range(len(versions))]
    heads = " ".join(f"{one:>7} {one + '/A':>6}" for one in letters)
    print(f"\n{'medians in us':34} {'server':9} {heads}")
    rows = dict.fromkeys(key[:3] for key in found)
    for server, name, figure in rows:
        first = found[server, name, figure, versions[0]]
        shown = []
        for version in versions:
            values = found[server, name, figure, version]
            ratio = statistics.median(a / b for a, b in zip(values, first, strict=True))
            shown.append(f"{statistics.median(values) * 1e6:7.0f} {ratio:6.2f}")
        print(f"{name + ', ' + figure:34} {server:9} {' '.join(shown)}")
