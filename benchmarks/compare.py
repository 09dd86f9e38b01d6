"""Compare this library with the official SDK and with bare grpc.aio stubs, interleaved in one run.

``make bench`` (under ten minutes): every figure is measured in rounds in which the clients take
turns on the same server; look at the ratios, not at the numbers of a noisy machine. Two servers: an
engine of constants (``instant_engine.py``), so that the client is what is measured, and a
``flamepy up`` of two executors. ``--endpoint URL --application NAME`` takes any cluster instead of
the latter; its service must answer ``echo x``. The official SDK and this library each get an
environment of their own, the latter with uvloop and matplotlib. Prints tables; the JSON with every
round and the chart are in ``.cache/bench``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
CACHE = ROOT / ".cache"
SERVICE = ROOT / "tests" / "support" / "recorded_service.py"
OFFICIAL = "flamepy==0.6.0"
IMPORT = """
import json, resource, sys, time
before = len(sys.modules)
start = time.perf_counter()
import flamepy
spent = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
print(json.dumps({"wall": spent, "mib": peak / scale, "modules": len(sys.modules) - before}))
"""
Found = dict[str, float]


@dataclass(frozen=True)
class Cell:
    """One workload of one client, and what others it is shown beside."""

    client: str
    name: str
    count: int
    size: int = 100
    threads: int = 1
    informer: bool = False

    @property
    def key(self) -> str:
        more = [f"{self.threads} threads"] if self.threads > 1 else []
        more += [f"{self.size // 1024} KiB"] if self.size > 1024 else []
        more += ["informer"] if self.informer else []
        return " ".join([self.name, *more, f"({self.client})"])

    @property
    def options(self) -> str:
        shown = {"count": self.count, "size": self.size, "threads": self.threads}
        return json.dumps({**shown, "informer": self.informer})


INSTANT = [
    *(Cell(one, "invoke", 300) for one in ("official", "ours", "uvloop", "bare")),
    *(Cell(one, "run", 500) for one in ("official", "ours", "bare")),
    *(Cell(one, "run_wait", 500) for one in ("official", "ours")),
    *(Cell(one, "run_wait", 512, threads=16) for one in ("official", "ours")),
    *(Cell(one, "run_wait", 512, threads=256) for one in ("official", "ours")),
    *(Cell(one, "turns", 512, threads=16) for one in ("official", "ours")),
    *(Cell(one, "as_completed", 500) for one in ("official", "ours")),
    *(Cell(one, "watch", 150) for one in ("official", "ours")),
    *(Cell(one, "list", 500) for one in ("official", "ours")),
    *(Cell(one, "map", 2000) for one in ("ours", "uvloop", "bare")),
    *(Cell(one, "run_many", 2000) for one in ("ours", "uvloop")),
    Cell("ours", "map", 2000, informer=True),
    *(Cell(one, "map", 200, size=100 * 1024) for one in ("ours", "bare")),
    Cell("ours", "pending", 10_000),
]
REAL = [
    *(Cell(one, "invoke", 200) for one in ("official", "ours", "uvloop", "bare")),
    *(Cell(one, "run_wait", 500) for one in ("official", "ours")),
    *(Cell(one, "map", 1500) for one in ("ours", "uvloop", "bare")),
]
# What is divided by what: name, server, figure, above, below, the aim.
RATIOS = [
    ("map / official run+wait", "instant", "rate", "map (ours)", "run_wait (official)", ">= 4"),
    ("map, uvloop / official run+wait", "instant", "rate", "map (uvloop)",
     "run_wait (official)", ""),
    ("map, uvloop / bare, CPU", "instant", "cpu", "map (uvloop)", "map (bare)", ""),
    ("map / bare create + list, CPU", "instant", "cpu", "map (ours)", "map (bare)", "<= 1.25"),
    ("run_many / bare, CPU", "instant", "cpu", "run_many (ours)", "map (bare)", "<= 1.25"),
    ("map / official run+wait, CPU", "instant", "cpu", "map (ours)", "run_wait (official)", ""),
    ("invoke p50 / official", "instant", "p50", "invoke (ours)", "invoke (official)", "<= 0.9"),
    ("invoke p99 / official", "instant", "p99", "invoke (ours)", "invoke (official)", ""),
    ("invoke p50 / bare", "instant", "p50", "invoke (ours)", "invoke (bare)", ""),
    ("run / official", "instant", "rate", "run (ours)", "run (official)", ">= 1.2"),
    ("run+wait / official", "instant", "rate", "run_wait (ours)", "run_wait (official)", ""),
    ("run+wait, 16 threads / official", "instant", "rate", "run_wait 16 threads (ours)",
     "run_wait 16 threads (official)", ""),
    ("run+wait, 256 threads / official", "instant", "rate", "run_wait 256 threads (ours)",
     "run_wait 256 threads (official)", ""),
    ("run, wait in turn, 16 threads / official", "instant", "rate", "turns 16 threads (ours)",
     "turns 16 threads (official)", ""),
    ("as_completed / official", "instant", "rate", "as_completed (ours)",
     "as_completed (official)", ""),
    ("watch / official", "instant", "rate", "watch (ours)", "watch (official)", ""),
    ("list / official", "instant", "rate", "list (ours)", "list (official)", ""),
    ("map with an informer / without", "instant", "rate", "map informer (ours)", "map (ours)", ""),
    ("map 100 KiB / bare, CPU", "instant", "cpu", "map 100 KiB (ours)", "map 100 KiB (bare)", ""),
    ("import / official", "import", "wall", "import (ours)", "import (official)", "<= 0.4"),
    ("map / official run+wait", "cluster", "rate", "map (ours)", "run_wait (official)", ">= 2.8"),
    ("map / bare", "cluster", "rate", "map (ours)", "map (bare)", ""),
    ("invoke p50 / official", "cluster", "p50", "invoke (ours)", "invoke (official)", "<= 0.9"),
    ("run+wait / official", "cluster", "rate", "run_wait (ours)", "run_wait (official)", ""),
]  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--endpoint", help="a cluster to use instead of flamepy up")
    parser.add_argument("--application", default="bench", help="of that cluster, with an echo")
    chosen = parser.parse_args()
    folder = CACHE / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    pythons = {"ours": ours(), "official": official()}
    rounds: dict[str, dict[str, list[Found]]] = {"import": {}, "instant": {}, "cluster": {}}
    with instant_engine() as constants, cluster(chosen.endpoint) as real:
        for number in range(chosen.rounds):
            print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr)
            for client in ("ours", "official"):
                add(rounds["import"], f"import ({client})", run([pythons[client], "-c", IMPORT]))
            measure(rounds["instant"], INSTANT, pythons, constants, "bench", number)
            measure(rounds["cluster"], REAL, pythons, real, chosen.application, number)
    report = {"rounds": rounds, "ratios": ratios(rounds), "figures": figures(rounds)}
    (folder / "compare.json").write_text(json.dumps(report, indent=1))
    show(report)
    subprocess.run([pythons["ours"], str(HERE / "chart.py"), str(folder)], check=True)
    print(f"\n{folder / 'compare.json'}\n{folder / 'compare.png'}")


def measure(
    into: dict[str, list[Found]],
    cells: list[Cell],
    pythons: dict[str, str],
    endpoint: str,
    application: str,
    number: int,
) -> None:
    """Run each cell once, in an order that turns round every second time."""
    for cell in cells if number % 2 else reversed(cells):
        python = pythons["official" if cell.client == "official" else "ours"]
        options = json.dumps({**json.loads(cell.options), "application": application})
        command = [python, str(HERE / "workloads.py"), cell.client, cell.name, endpoint, options]
        found = run(command)
        if "cpu" in found:
            found["rate"] = found["count"] / found["wall"]
            found["cpu"] = found["cpu"] / found["count"]
        add(into, cell.key, found)


def add(into: dict[str, list[Found]], key: str, found: Found) -> None:
    """Keep what a round found."""
    into.setdefault(key, []).append(found)


def run(command: list[str]) -> Found:
    """Run a program; return the JSON that it prints last."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(CACHE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


# ---------------------------------------------------------------------- what it amounts to


def spread(values: list[float]) -> dict[str, float]:
    """Return median, least and most."""
    shown = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 6) for name, value in shown.items()}


def figures(rounds: dict[str, dict[str, list[Found]]]) -> dict[str, Any]:
    """Return the spread of every figure."""
    return {
        server: {
            key: {name: spread([one[name] for one in found]) for name in found[0]}
            for key, found in cells.items()
        }
        for server, cells in rounds.items()
    }


def ratios(rounds: dict[str, dict[str, list[Found]]]) -> list[dict[str, Any]]:
    """Return each ratio: of the rounds, one by one."""
    found = []
    for name, server, figure, above, below, aim in RATIOS:
        pairs = zip(rounds[server][above], rounds[server][below], strict=True)
        values = [one[figure] / other[figure] for one, other in pairs]
        found.append({"name": name, "server": server, "aim": aim, **spread(values)})
    return found


def show(report: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"{'ratio':38} {'server':8} {'median':>7} {'min':>7} {'max':>7}  aim")
    for one in report["ratios"]:
        numbers = " ".join(f"{one[key]:7.2f}" for key in ("median", "min", "max"))
        print(f"{one['name']:38} {one['server']:8} {numbers}  {one['aim']}")
    print(f"\n{'figure':38} {'server':8} {'per s':>8} {'us CPU':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for server, cells in report["figures"].items():
        for key, found in cells.items():
            shown = [("rate", 1.0, 0), ("cpu", 1e6, 0), ("p50", 1e3, 2), ("p99", 1e3, 2)]
            numbers = " ".join(
                f"{found[name]['median'] * scale:8.{digits}f}" if name in found else " " * 8
                for name, scale, digits in shown
            )
            rest = f"  {found['mib']['median']:.1f} MiB" if "mib" in found else ""
            print(f"{key:38} {server:8} {numbers}{rest}")


# ---------------------------------------------------------------------- environments, servers


def official() -> str:
    """Return the Python that has the official SDK; the tests beside it use the same."""
    tag = f"official-{OFFICIAL.partition('==')[2]}"
    return environment(tag, OFFICIAL)


def ours() -> str:
    """Return the Python that has this library, uvloop and matplotlib."""
    return environment("bench", "-e", str(ROOT), "uvloop", "matplotlib")


def environment(tag: str, *packages: str) -> str:
    """Return the Python of a virtual environment with these packages, made at the first call."""
    folder = CACHE / f"{tag}-py{sys.version_info.major}{sys.version_info.minor}"
    python = str(folder / "bin" / "python")
    if not (folder / "ready").exists():
        print(f"making {folder.name} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "ready").touch()
    return python


@contextmanager
def instant_engine() -> Iterator[str]:
    """Run the engine of constants; give its endpoint."""
    with subprocess.Popen(
        [ours(), str(HERE / "instant_engine.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.communicate()


@contextmanager
def cluster(given: str | None) -> Iterator[str]:
    """Run ``flamepy up`` with the service registered, unless there is a cluster; give it."""
    if given is not None:
        yield given
        return
    manifest = CACHE / "bench.yaml"
    manifest.write_text(
        f"metadata: {{name: bench}}\nspec: {{command: {sys.executable}, arguments: [{SERVICE}]}}\n"
    )
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--executors", "2"]
    with subprocess.Popen(
        [*command, "--quiet", "--app", str(manifest)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
