"""The object cache beside bare Arrow Flight and the official SDK, on one server, in one run.

Each figure is a median of calls that take turns, so that what disturbs one disturbs all. Raw is
what a call has to do at least: for a put a batch of the bytes as they are, for a get all batches,
and the bytes or the array made of them. Every put goes to a new key, which is deleted, untimed.

    python benchmarks/objects.py [--official PYTHON] [--quick] [--json FILE]

PYTHON is one that has the distribution flamepy 0.6.0 with numpy; without it a column is empty.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight

SCHEMA = pa.schema([("version", pa.uint64()), ("data", pa.binary())])
KIB, MIB = 1 << 10, 1 << 20
SIZES = {"1 KiB": KIB, "1 MiB": MIB, "64 MiB": 64 * MIB}


def payload(kind: str, size: int) -> Any:
    """Return an object of so many bytes."""
    if kind == "bytes":
        return np.random.default_rng(1).bytes(size)
    numbers = np.random.default_rng(1).random(size // 8)
    return (
        numbers
        if kind == "array"
        else pa.table({"x": numbers[: size // 16], "y": numbers[: size // 16]})
    )


class Raw:
    """The same by bare Arrow Flight calls."""

    def __init__(self, endpoint: str) -> None:
        self.client = flight.connect(endpoint)

    def delete(self, key: str) -> None:
        """Delete it."""
        list(self.client.do_action(flight.Action("DELETE", key.encode())))

    def put(self, key: str, value: Any) -> None:
        """Put an object under a key."""
        if isinstance(value, pa.Table):
            schema = value.schema.with_metadata({"flame.cache.format": "arrow-table-v1"})
            batches = [one.replace_schema_metadata(schema.metadata) for one in value.to_batches()]
        else:
            data = value if isinstance(value, bytes) else value.tobytes()
            schema = SCHEMA
            batches = [
                pa.RecordBatch.from_arrays(
                    [pa.array([0], pa.uint64()), pa.array([data], pa.binary())], schema=schema
                )
            ]
        writer, reader = self.client.do_put(flight.FlightDescriptor.for_path(key), schema)
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        reader.read()
        writer.close()

    def get(self, key: str, value: Any) -> Any:
        """Get an object of the kind of ``value``."""
        table = self.client.do_get(flight.Ticket(key.encode())).read_all()
        if isinstance(value, pa.Table):
            return table
        cell = table.column("data")[0]
        return (
            cell.as_py() if isinstance(value, bytes) else np.frombuffer(cell.as_buffer(), np.uint8)
        )


class Ours:
    """This library's client."""

    def __init__(self) -> None:
        from flamepy import core
        from flamepy.core import cache

        self.core = core
        self.cache = cache  # where the official SDK has delete_objects
        self.refs: dict[str, Any] = {}

    def put(self, key: str, value: Any) -> None:
        """Put an object below a prefix, and remember where."""
        self.refs[key] = self.core.put_object("bench/shared", value)

    def delete(self, key: str) -> None:
        """Delete it."""
        self.cache.delete_objects(self.refs[key].key)

    def get(self, key: str, value: Any) -> Any:
        """Get it anew."""
        ref = self.refs[key]
        ref.version = 0
        return self.core.get_object(ref)

    def cached(self, key: str) -> Any:
        """Get it, if it has changed."""
        ref = self.refs[key]
        ref.version = 1
        return self.core.get_object(ref)


class Theirs:
    """The official SDK in a process of its own, which times its calls itself."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
        )

    def time(self, what: str, kind: str, size: int) -> float:
        """Return the seconds of one call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(what, kind, size, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def timed(call: Callable[..., object], *arguments: object) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def both(base: Any, patches: list[Any]) -> tuple[Any, list[Any]]:
    """Deserialize to everything there is."""
    return base, patches


def serve() -> None:
    """Answer, on standard output, how long calls take that are named on standard input."""
    ours = Ours()
    values: dict[str, Any] = {}
    for line in sys.stdin:
        what, kind, size = line.split()
        key = f"{kind} {size}"
        value = values.setdefault(key, payload(kind, int(size)))
        if what == "patch":
            ours.refs[key] = ours.core.patch_object(ours.refs[key], b"patch")
            print(0.0, flush=True)
        elif what == "patched":
            print(timed(ours.core.get_object, ours.refs[key], both), flush=True)
        elif what in ("cached", "delete"):
            print(timed(getattr(ours, what), key), flush=True)
        else:
            print(timed(getattr(ours, what), key, value), flush=True)


def compare(endpoint: str, official: str | None, rounds: int) -> list[dict[str, Any]]:
    """Return the figures of puts, gets and gets of what is kept."""
    raw, ours = Raw(endpoint), Ours()
    theirs = Theirs(official) if official else None
    try:
        return list(figures_of(raw, ours, theirs, rounds))
    finally:
        if theirs is not None:
            theirs.close()
        raw.client.close()


def figures_of(
    raw: Raw, ours: Ours, theirs: Theirs | None, rounds: int
) -> Iterator[dict[str, Any]]:
    """Yield one figure after the other."""
    cases = [(kind, label) for kind in ("array", "bytes") for label in SIZES]
    for kind, label in [*cases, ("table", "64 MiB")]:
        size = SIZES[label]
        value, key = payload(kind, size), f"bench/raw/{kind}"
        for what in ("put", "get", "cached"):
            count = rounds * (20 if size <= MIB or what == "cached" else 1) + 1
            columns: dict[str, list[float]] = {"raw": [], "ours": [], "theirs": []}
            for turn in range(count):
                last = turn == count - 1  # the gets need what was put
                if what != "cached":
                    columns["raw"].append(timed(getattr(raw, what), key, value))
                    if what == "put" and not last:
                        raw.delete(key)
                arguments = (key,) if what == "cached" else (key, value)
                columns["ours"].append(timed(getattr(ours, what), *arguments))
                if what == "put" and not last:
                    ours.delete(key)
                if theirs is not None:
                    columns["theirs"].append(theirs.time(what, kind, size))
                    if what == "put" and not last:
                        theirs.time("delete", kind, size)
            yield row(f"{what} {label} {kind}", columns)
        raw.delete(key)
        ours.delete(key)
    yield increment(ours, theirs, rounds)
    yield sixteen(raw, ours, rounds)


def increment(ours: Ours, theirs: Theirs | None, rounds: int) -> dict[str, Any]:
    """Return the figures of a get after one more of 1,000 patches."""
    ours.put("increment", b"base")
    if theirs is not None:
        theirs.time("put", "bytes", 4)
    for number in range(1000 - rounds):
        ours.refs["increment"] = ours.core.patch_object(ours.refs["increment"], number)
        if theirs is not None:
            theirs.time("patch", "bytes", 4)
    columns: dict[str, list[float]] = {"raw": [], "ours": [], "theirs": []}
    for _ in range(rounds):
        ours.refs["increment"] = ours.core.patch_object(ours.refs["increment"], 1)
        columns["ours"].append(timed(ours.core.get_object, ours.refs["increment"], both))
        if theirs is not None:
            theirs.time("patch", "bytes", 4)
            columns["theirs"].append(theirs.time("patched", "bytes", 4))
    return row("get after 1 of 1,000 patches", columns)


def sixteen(raw: Raw, ours: Ours, rounds: int) -> dict[str, Any]:
    """Return the figures of 16 threads that put and get 1 MiB at the same time."""
    value = payload("array", MIB)

    def work(side: Any, number: int) -> None:
        for _ in range(4):
            side.put(f"bench/raw/t{number}", value)
            side.get(f"bench/raw/t{number}", value)

    def all_of(side: Any) -> None:
        threads = [threading.Thread(target=work, args=(side, number)) for number in range(16)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    columns: dict[str, list[float]] = {"raw": [], "ours": [], "theirs": []}
    for _ in range(rounds):
        columns["raw"].append(timed(all_of, raw))
        columns["ours"].append(timed(all_of, ours))
    return row("16 threads, 4 x put and get 1 MiB", columns)


def row(name: str, columns: dict[str, list[float]]) -> dict[str, Any]:
    """Return medians in ms, without the first call, and their ratios to raw."""
    found: dict[str, Any] = {"name": name}
    for side, seconds in columns.items():
        rest = seconds[1:] or seconds
        found[side] = round(statistics.median(rest) * 1e3, 3) if rest else None
    for side in ("ours", "theirs"):
        if found["raw"] and found[side]:
            found[f"{side}/raw"] = round(found[side] / found["raw"], 2)
    return found


MEMORY = """
import sys
from flamepy.core import get_object, put_object
from flamepy.core import ObjectRef
import numpy as np
what, kind, size, ref = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
warm = put_object("bench/shared", np.zeros(1000)); get_object(warm)
def peak():
    lines = open("/proc/self/status").read().split("VmHWM:")[1]
    return int(lines.split()[0]) * 1024
if what == "put":
    value = b"x" * size if kind == "bytes" else np.ones(size // 8)
    before = peak()
    made = put_object("bench/shared", value)
    print(peak() - before, made.encode().hex())
else:
    before = peak()
    value = get_object(ObjectRef.decode(bytes.fromhex(ref)))
    print(peak() - before - size, ref)
"""


def memory(size: int) -> Iterator[dict[str, Any]]:
    """Yield the peak memory of a put and of a get, beyond the object itself, per its bytes."""
    for kind in ("array", "bytes"):
        ref = "-"
        for what in ("put", "get"):
            done = subprocess.run(
                [sys.executable, "-c", MEMORY, what, kind, str(size), ref],
                capture_output=True,
                text=True,
                check=True,
            )
            more, ref = done.stdout.split()
            name = f"memory of a {what} of {size // MIB} MiB {kind}, beyond it, per byte"
            yield {"name": name, "ours": round(int(more) / size, 2)}


@contextmanager
def cluster() -> Iterator[str]:
    """Run ``flamepy up``; give the cache's endpoint, which the environment then names."""
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--cache-memory", "2G", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[3]
        os.environ["FLAME_CACHE_ENDPOINT"] = endpoint
        try:
            yield endpoint
        finally:
            process.terminate()


def shown(value: float | None, width: int) -> str:
    """Return a number as a cell of the table."""
    return f"{'-' if value is None else value:>{width}}"


def main() -> None:
    """Print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--official", metavar="PYTHON")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    with cluster() as endpoint:
        figures = compare(endpoint, options.official, 3 if options.quick else 15)
        figures += memory(256 * MIB)
    for one in figures:
        values = [shown(one.get(side), 9) for side in ("raw", "ours", "theirs")]
        ratios = [shown(one.get(f"{side}/raw"), 6) for side in ("ours", "theirs")]
        unit = "   " if "memory" in one["name"] else " ms"
        print(f"{one['name']:58} {' '.join(values)}{unit} {' '.join(ratios)} x raw")
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
