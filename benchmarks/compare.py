"""Compare this library with the official SDK on one ``flamepy up``, in one run, interleaved.

Prints JSON: what ``import flamepy`` costs (seconds, MiB, modules), one task at a time (``invoke``,
p50 and p99 in ms), and tasks created one after another and then awaited (``run``, a second). Every
figure is measured in rounds that alternate between the two; look at the ratios, not at the numbers
of a noisy machine. ``make bench`` runs it; the official SDK gets an environment of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICE = ROOT / "tests" / "support" / "recorded_service.py"
VERSION = "0.6.0"
ROUNDS = 5
IMPORT = """
import json, resource, sys, time
before = len(sys.modules)
start = time.perf_counter()
import flamepy
spent = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
print(json.dumps({"seconds": spent, "mib": peak / scale, "modules": len(sys.modules) - before}))
"""
TASKS = """
import json, os, sys, time
from flamepy.core import create_session
calls, runs = int(sys.argv[1]), int(sys.argv[2])
session = create_session("bench", max_instances=1)
session.invoke(b"echo x")
spent = []
for _ in range(calls):
    start = time.perf_counter()
    session.invoke(b"echo x")
    spent.append(time.perf_counter() - start)
start = time.perf_counter()
for future in [session.run(b"echo x") for _ in range(runs)]:
    future.result()
rate = runs / (time.perf_counter() - start)
session.close()
print(json.dumps({"invoke": spent, "rate": rate}), flush=True)
os._exit(0)
"""


def main() -> None:
    """Measure and print."""
    pythons = {"ours": sys.executable, "official": official()}
    imports: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    tasks: dict[str, list[dict[str, object]]] = {name: [] for name in pythons}
    with cluster() as endpoint:
        for number in range(ROUNDS):
            order = list(pythons.items())
            for name, python in order if number % 2 else reversed(order):
                imports[name].append(run(python, IMPORT))
                tasks[name].append(run(python, TASKS, "200", "300", endpoint=endpoint))
    print(json.dumps(report(imports, tasks), indent=2))


def report(imports: dict[str, list[dict[str, float]]], tasks: dict[str, list[dict]]) -> dict:
    """Return medians for both and ours divided by theirs."""
    figures: dict[str, dict[str, float]] = {}
    for name in imports:
        invoked = sorted(one for round_ in tasks[name] for one in round_["invoke"])
        figures[name] = {
            "import_ms": 1000 * statistics.median(one["seconds"] for one in imports[name]),
            "import_mib": statistics.median(one["mib"] for one in imports[name]),
            "import_modules": statistics.median(one["modules"] for one in imports[name]),
            "invoke_p50_ms": 1000 * invoked[len(invoked) // 2],
            "invoke_p99_ms": 1000 * invoked[len(invoked) * 99 // 100],
            "run_per_second": statistics.median(one["rate"] for one in tasks[name]),
        }
    ratios = {key: figures["ours"][key] / figures["official"][key] for key in figures["ours"]}
    shown = {**figures, "ours_divided_by_official": ratios}
    return {
        name: {key: round(value, 3) for key, value in one.items()} for name, one in shown.items()
    }


def run(python: str, program: str, *arguments: str, endpoint: str = "") -> dict:
    """Run a program on one of the two; return what it printed."""
    done = subprocess.run(
        [python, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"FLAME_ENDPOINT": endpoint, "PATH": "/usr/bin:/bin", "HOME": str(ROOT / ".cache")},
        timeout=300,
    )
    return json.loads(done.stdout.splitlines()[-1])


def official() -> str:
    """Return the Python that has the official SDK; the tests beside it use the same."""
    tag = f"official-{VERSION}-py{sys.version_info.major}{sys.version_info.minor}"
    folder = ROOT / ".cache" / tag
    if not (folder / "ready").exists():
        print("installing the official SDK ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
        subprocess.run([*command, f"flamepy=={VERSION}"], check=True)
        (folder / "ready").touch()
    return str(folder / "bin" / "python")


@contextmanager
def cluster() -> Iterator[str]:
    """Run ``flamepy up`` with the service registered; give its endpoint."""
    manifest = ROOT / ".cache" / "bench.yaml"
    manifest.write_text(
        f"metadata: {{name: bench}}\nspec: {{command: {sys.executable}, arguments: [{SERVICE}]}}\n"
    )
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--app", str(manifest)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1]
        process.terminate()


if __name__ == "__main__":
    main()
