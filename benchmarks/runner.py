"""A runner's first result and its calls per second, beside the official SDK on the same cluster.

Each round is a process of its own: from ``Runner(...)`` of a function without dependencies to its
first result, then many calls of it. Rounds of the two take turns, so that what disturbs one
disturbs both; each has its own client and its own services, on one embedded cluster.

    python benchmarks/runner.py [--official PYTHON] [--calls N] [--rounds N]

PYTHON is one that has the distribution flamepy 0.6.0; without it a column is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXECUTORS = 2
WARM_UP = 200  # calls that are not counted, while the services start


def identity(value: int) -> int:
    """Return the argument."""
    return value


def measure(calls: int) -> dict[str, float]:
    """Run one round, by whichever ``flamepy`` this Python has."""
    os.chdir(tempfile.mkdtemp())
    from flamepy.runner import Runner

    begun = time.perf_counter()
    with Runner(f"benchmark-{os.getpid()}") as runner:
        service = runner.service(identity)
        service(1).get()
        found = {"first result, s": time.perf_counter() - begun}
        runner.get([service(number) for number in range(WARM_UP)])
        begun = time.perf_counter()
        assert runner.get([service(number) for number in range(calls)]) == list(range(calls))
        found["calls/s"] = calls / (time.perf_counter() - begun)
        if hasattr(service, "map"):
            begun = time.perf_counter()
            assert list(service.map(range(calls))) == list(range(calls))
            found["calls/s by map"] = calls / (time.perf_counter() - begun)
    return found


def round_of(python: str, template: str, calls: int, endpoint: str, cache: str) -> dict[str, float]:
    """Run one round in a process and a home of its own."""
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / ".flame" / "flame.yaml"
        file.parent.mkdir()
        file.write_text(
            "current-context: a\ncontexts:\n- name: a\n"
            f"  cluster: {{endpoint: '{endpoint}'}}\n  cache: {{endpoint: '{cache}'}}\n"
            f"  runner: {{template: {template}}}\n"
        )
        environ = {
            **os.environ,
            "HOME": home,
            "FLAME_CONFIG": str(file),
            "FLAME_ENDPOINT": endpoint,
            "FLAME_CACHE_ENDPOINT": cache,
        }
        environ.pop("FLAME_HOME", None)
        command = [python, __file__, "--calls", str(calls), "--measure"]
        done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description="Measure a runner.")
    parser.add_argument("--official", help="a Python with the official SDK")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.calls)))
        return
    from flamepy.core import ApplicationAttributes, connect
    from flamepy.local import LocalCluster

    pythons = {"ours": sys.executable}
    if options.official:
        pythons["official"] = options.official
    seen: dict[tuple[str, str], list[float]] = {}
    with LocalCluster(executors=EXECUTORS) as cluster, connect(cluster.endpoint) as connection:
        for name, python in pythons.items():
            connection.register_application(
                name,
                ApplicationAttributes(
                    command=python,
                    arguments=["-m", "flamepy.runner.runpy"],
                    installer="python",
                ),
            )
        for _ in range(options.rounds):
            for name, python in pythons.items():
                where = cluster.endpoint, cluster.cache_endpoint or ""
                for what, value in round_of(python, name, options.calls, *where).items():
                    seen.setdefault((what, name), []).append(value)
    for (what, name), values in seen.items():
        print(f"{what:16} {name:9} {statistics.median(values):8.2f}")


if __name__ == "__main__":
    main()
