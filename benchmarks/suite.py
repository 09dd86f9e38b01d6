"""What ``compare.py`` measures and divides: cells, ratios, aims, and the last release's ratios.

A cell is one workload of one client; a ratio divides a figure of one cell by that of another, round
by round. Ratios alone are compared between machines and releases: ``last_release.json`` has those
of the last one.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Found = dict[str, float]
Rounds = dict[str, dict[str, list[Found]]]  # by server and cell
LAST = Path(__file__).with_name("last_release.json")
CLIENTS = ("official", "ours", "uvloop", "bare")
THREADS = (1, 16, 256)


@dataclass(frozen=True)
class Cell:
    """One workload of one client."""

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
    def options(self) -> dict[str, Any]:
        shown = {"count": self.count, "size": self.size, "threads": self.threads}
        return {**shown, "informer": self.informer}

    def tiny(self) -> Cell:
        """Return the least of it that runs."""
        return replace(self, count=max(self.threads, 10))


def both(scale: int) -> Iterator[Cell]:
    """Yield what is measured on the engine of constants and on the paced one."""
    for client in CLIENTS:
        yield Cell(client, "invoke", 300)
    for client in ("official", "ours", "bare"):
        for threads in THREADS:
            yield Cell(client, "run_wait", 512 * scale, threads=threads)
        yield Cell(client, "as_completed", 512 * scale)
    for client in ("ours", "uvloop", "bare"):
        yield Cell(client, "map", 2000 * scale)


def cells() -> dict[str, list[Cell]]:
    """Return what is measured, by server."""
    three, two = ("official", "ours", "bare"), ("official", "ours")
    constants = [
        *both(1),
        *(Cell(one, "run", 500) for one in three),
        *(Cell(one, "turns", 512, threads=16) for one in two),
        *(Cell(one, "watch", 150) for one in two),
        *(Cell(one, "list", 500) for one in two),
        *(Cell(one, "run_many", 2000) for one in ("ours", "uvloop")),
        Cell("ours", "map", 2000, informer=True),
        *(Cell(one, "map", 200, size=100 * 1024) for one in ("ours", "bare")),
        Cell("ours", "pending", 10_000),
    ]
    up = [
        *(Cell(one, "invoke", 200) for one in CLIENTS),
        *(Cell(one, "run_wait", 500) for one in two),
        *(Cell(one, "map", 1500) for one in ("ours", "uvloop", "bare")),
    ]
    return {"constants": constants, "paced": list(both(2)), "up": up}


# ---------------------------------------------------------------------- ratios


@dataclass(frozen=True)
class Ratio:
    """A figure of one cell by that of another."""

    name: str
    server: str
    figure: str
    above: str
    below: str
    aim: str = ""

    def of(self, rounds: Rounds) -> list[float]:
        """Return it in each round; nothing if one side was not measured."""
        measured = rounds.get(self.server, {})
        pairs = zip(measured.get(self.above, ()), measured.get(self.below, ()), strict=False)
        return [one[self.figure] / other[self.figure] for one, other in pairs]


def _rate_and_cpu(server: str, name: str, cell: str, aims: Mapping[str, str]) -> Iterator[Ratio]:
    """Yield rate and CPU of a workload of ours beside the others'."""
    for other in ("bare", "official"):
        for figure in ("rate", "cpu"):
            label = f"{name}, {'CPU, ' if figure == 'cpu' else ''}ours / {other}"
            below = f"{cell} ({other})"
            if (cell, other) == ("map", "official"):  # it has no map
                label, below = f"{label} run+wait", "run_wait (official)"
            aim = aims.get(f"{figure} {other}", "")
            yield Ratio(label, server, figure, f"{cell} (ours)", below, aim)


AIMS: dict[str, dict[str, dict[str, str]]] = {
    "constants": {"map": {"rate official": ">= 4", "cpu bare": "<= 1.25"}},
    "paced": {
        "map": {"rate bare": ">= 0.97", "cpu bare": "<= 1.4", "rate official": ">= 2.8"},
        "run+wait": {"rate official": ">= 1.5", "cpu official": "<= 0.6"},
        "as_completed": {"rate official": ">= 1.5", "cpu official": "<= 0.6"},
        "invoke": {"p50 official": "<= 0.95", "p99 official": "<= 1"},
    },
}


def _of_both(server: str) -> Iterator[Ratio]:
    aims = AIMS[server]
    yield from _rate_and_cpu(server, "map", "map", aims["map"])
    many = aims.get("run+wait", {})
    for threads in THREADS:
        more = f" {threads} threads" if threads > 1 else ""
        yield from _rate_and_cpu(server, f"run+wait{more}", f"run_wait{more}", many)
    yield from _rate_and_cpu(server, "as_completed", "as_completed", aims.get("as_completed", {}))
    for figure in ("p50", "p99"):
        for other in ("bare", "official"):
            name, below = f"invoke {figure}, ours / {other}", f"invoke ({other})"
            aim = aims.get("invoke", {}).get(f"{figure} {other}", "")
            yield Ratio(name, server, figure, "invoke (ours)", below, aim)
    yield Ratio("map, CPU, uvloop / without", server, "cpu", "map (uvloop)", "map (ours)")
    yield Ratio("invoke p50, uvloop / without", server, "p50", "invoke (uvloop)", "invoke (ours)")


def ratios() -> list[Ratio]:
    """Return all ratios, in the order of the table."""
    on = "constants"
    return [
        *_of_both("paced"),
        *_of_both(on),
        Ratio("run, ours / official", on, "rate", "run (ours)", "run (official)", ">= 1.2"),
        Ratio("run, ours / bare", on, "rate", "run (ours)", "run (bare)"),
        Ratio("run, wait in turn, 16 threads, ours / official", on, "rate",
              "turns 16 threads (ours)", "turns 16 threads (official)"),
        Ratio("watch, ours / official", on, "rate", "watch (ours)", "watch (official)"),
        Ratio("list, ours / official", on, "rate", "list (ours)", "list (official)"),
        Ratio("run_many, CPU, ours / bare map", on, "cpu", "run_many (ours)", "map (bare)",
              "<= 1.25"),
        Ratio("map with an informer / without", on, "rate", "map informer (ours)", "map (ours)"),
        Ratio("map 100 KiB, CPU, ours / bare", on, "cpu", "map 100 KiB (ours)",
              "map 100 KiB (bare)"),
        *_rate_and_cpu("up", "map", "map", {"rate official": ">= 2.8"}),
        Ratio("run+wait, ours / official", "up", "rate", "run_wait (ours)", "run_wait (official)"),
        Ratio("invoke p50, ours / official", "up", "p50", "invoke (ours)", "invoke (official)"),
        Ratio("import, ours / official", "none", "wall", "import (ours)", "import (official)",
              "<= 0.4"),
    ]  # fmt: skip


def spread(values: Sequence[float]) -> Found:
    """Return median, least and most."""
    shown = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 6) for name, value in shown.items()}


def measured_ratios(rounds: Rounds) -> list[dict[str, Any]]:
    """Return each ratio of which both sides were measured."""
    return [
        {"name": one.name, "server": one.server, "aim": one.aim, **spread(values)}
        for one in ratios()
        if (values := one.of(rounds))
    ]


def figures(rounds: Rounds) -> dict[str, Any]:
    """Return the spread of every figure."""
    return {
        server: {
            key: {name: spread([one[name] for one in found]) for name in found[0]}
            for key, found in measured.items()
        }
        for server, measured in rounds.items()
    }


# ---------------------------------------------------------------------- the last release


def last_release(path: Path = LAST) -> dict[str, Any]:
    """Return what it was, and its ratios by server and name; nothing if none was written."""
    if not path.exists():
        return {"release": "", "ratios": {}}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write_release(release: str, found: Iterable[Mapping[str, Any]], path: Path = LAST) -> None:
    """Write ratios as those of a release; those of servers that were not measured stay."""
    kept: dict[str, dict[str, float]] = last_release(path)["ratios"]
    new: dict[str, dict[str, float]] = {}
    for one in found:
        new.setdefault(one["server"], {})[one["name"]] = round(one["median"], 2)
    shown = {"release": release, "ratios": {**kept, **new}}
    path.write_text(json.dumps(shown, indent=1) + "\n")
