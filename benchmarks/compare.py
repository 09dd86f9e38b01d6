"""Compare this library with the official SDK and with bare grpc.aio stubs, interleaved in one run.

``make bench`` (a quarter of an hour): every figure is measured in rounds in which the clients take
turns on the same server; look at the ratios, not at the numbers of a noisy machine. Three servers:
an engine of constants (``instant_engine.py``), so that the client is what is measured; a paced
engine, which ends tasks over time as a running one does, if the environment variable
FLAME_PACED_ENGINE names its program or the folder of its source (Rust or Go, built at the first
use); and a ``flamepy up`` of two executors. ``--endpoint URL --application NAME`` takes any cluster
instead of the latter; its service must answer ``echo x``. The official SDK and this library each
get an environment of their own, the latter with uvloop and matplotlib.

Prints this run's ratios beside those of the last release, then the figures; the JSON with every
round and the chart are in ``.cache/bench``. ``--save NAME`` writes the ratios as those of the
release NAME. Nothing fails because something is slow. ``--grpcio 1.71 1.75 latest`` compares this
library and bare stubs on versions of grpcio instead (``grpcio_versions.py``); ``--tiny`` runs a few
tasks of each workload once, to see that they work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpcio_versions
import servers
import suite
from suite import Cell, Found, Rounds

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


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--endpoint", help="a cluster to use instead of flamepy up")
    parser.add_argument("--application", default="bench", help="of that cluster, with an echo")
    parser.add_argument("--servers", nargs="+", choices=suite.cells(), default=list(suite.cells()))
    parser.add_argument("--clients", nargs="+", choices=suite.CLIENTS, default=suite.CLIENTS)
    parser.add_argument("--save", metavar="NAME", help="write the ratios as those of a release")
    parser.add_argument("--grpcio", nargs="+", metavar="VERSION", help="compare versions of grpcio")
    parser.add_argument("--tiny", action="store_true", help="a few tasks of each, once")
    chosen = parser.parse_args()
    if chosen.tiny:
        chosen.rounds = 1
    return chosen


def main() -> None:
    """Measure, print, write."""
    chosen = options()
    folder = servers.CACHE / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    # A tiny run makes no environment but the official SDK's.
    pythons = {"ours": sys.executable if chosen.tiny else servers.ours()}
    if "official" in chosen.clients:
        pythons["official"] = servers.official()
    with ExitStack() as stack:
        running = dict(start(stack, chosen, pythons["ours"]))
        if chosen.grpcio:
            grpcio_versions.compare(chosen.grpcio, running, chosen.rounds)
            return
        rounds = measured(chosen, pythons, running)
    report = {
        "rounds": rounds,
        "ratios": suite.measured_ratios(rounds),
        "figures": suite.figures(rounds),
    }
    show(report, suite.last_release())
    if chosen.tiny:
        return
    (folder / "compare.json").write_text(json.dumps(report, indent=1))
    if chosen.save:
        suite.write_release(chosen.save, report["ratios"])
    subprocess.run([pythons["ours"], str(servers.HERE / "chart.py"), str(folder)], check=True)
    print(f"\n{folder / 'compare.json'}\n{folder / 'compare.png'}")


def start(
    stack: ExitStack, chosen: argparse.Namespace, python: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run the servers; yield each with what workloads have to know of it."""
    if "constants" in chosen.servers:
        endpoint = stack.enter_context(servers.constants(python))
        yield "constants", {"endpoint": endpoint}
    if "paced" in chosen.servers and (program := servers.paced_program()):
        endpoint = stack.enter_context(servers.paced_engine(program))
        yield "paced", {"endpoint": endpoint, "max_instances": None}
    if "up" in chosen.servers and chosen.endpoint:
        yield "up", {"endpoint": chosen.endpoint, "application": chosen.application}
    elif "up" in chosen.servers and not chosen.grpcio:
        yield "up", {"endpoint": stack.enter_context(servers.embedded_cluster())}


def measured(
    chosen: argparse.Namespace, pythons: dict[str, str], running: dict[str, dict[str, Any]]
) -> Rounds:
    """Return what every round found."""
    rounds: Rounds = {"none": {}, **{server: {} for server in running}}
    for number in range(chosen.rounds):
        print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr)
        for client, python in pythons.items():
            found = run([python, "-c", IMPORT])
            rounds["none"].setdefault(f"import ({client})", []).append(found)
        for server, known in running.items():
            wanted = [one for one in suite.cells()[server] if one.client in chosen.clients]
            for cell in wanted if number % 2 else reversed(wanted):  # the order turns round
                found = measure(cell.tiny() if chosen.tiny else cell, pythons, known)
                rounds[server].setdefault(cell.key, []).append(found)
    return rounds


def measure(cell: Cell, pythons: dict[str, str], known: dict[str, Any]) -> Found:
    """Run a cell once, in a process of its own."""
    python = pythons["official" if cell.client == "official" else "ours"]
    given = json.dumps({**cell.options, **known})
    workloads = str(servers.HERE / "workloads.py")
    found = run([python, workloads, cell.client, cell.name, known["endpoint"], given])
    if "cpu" in found:
        found["rate"] = found["count"] / found["wall"]
        found["cpu"] = found["cpu"] / found["count"]
    return found


def run(command: list[str]) -> Found:
    """Run a program; return the JSON that it prints last."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(servers.CACHE)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


# ---------------------------------------------------------------------- tables


def show(report: dict[str, Any], last: dict[str, Any]) -> None:
    """Print the tables."""
    release = last["release"] or "none"
    print(f"last: {release}. Rates: more is better. CPU, p50, p99, import: less is better.\n")
    print(f"{'ratio':46} {'server':9} {'median':>7} {'min':>7} {'max':>7} {'last':>7}  aim")
    for one in report["ratios"]:
        numbers = " ".join(f"{one[key]:7.2f}" for key in ("median", "min", "max"))
        before = last["ratios"].get(one["server"], {}).get(one["name"])
        shown = f"{before:7.2f}" if before is not None else f"{'-':>7}"
        print(f"{one['name']:46} {one['server']:9} {numbers} {shown}  {one['aim']}".rstrip())
    print(f"\n{'figure':46} {'server':9} {'per s':>8} {'us CPU':>8} {'p50 ms':>8} {'p99 ms':>8}")
    for server, cells in report["figures"].items():
        for key, found in sorted(cells.items()):
            shown_as = [("rate", 1.0, 0), ("cpu", 1e6, 0), ("p50", 1e3, 2), ("p99", 1e3, 2)]
            numbers = " ".join(
                f"{found[name]['median'] * scale:8.{digits}f}" if name in found else " " * 8
                for name, scale, digits in shown_as
            )
            rest = f"  {found['mib']['median']:.1f} MiB" if "mib" in found else ""
            print(f"{key:46} {server:9} {numbers}{rest}".rstrip())


if __name__ == "__main__":
    main()
