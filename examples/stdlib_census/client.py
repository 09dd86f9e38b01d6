"""Count the running interpreter's standard library on a Flame cluster, and watch it happen.

Starts an embedded cluster in a process of its own (or uses ``--endpoint``), submits one task a
file, follows every task through a ``TaskInformer``, lists failures through the ``task_failed``
signal, and compares the totals with a direct count. See README.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

from census import Census, count

from flamepy.core import (
    ApplicationAttributes,
    Connection,
    Task,
    TaskInformer,
    TaskState,
    connect,
    short_name,
)
from flamepy.informers import Reactor, TaskEvent, signals

HERE = Path(__file__).resolve().parent
BROKEN = HERE / "broken.py"


class Progress(TaskInformer):
    """Shows how many tasks are in which state: one live line, or a line now and then."""

    def __init__(self, total: int) -> None:
        self.states: dict[str, TaskState] = {}
        self.total = total
        self.live = sys.stdout.isatty()
        self.shown = 0.0
        self.all_told = threading.Event()

    def on_update(self, task: Task) -> None:
        self.states[task.id] = task.state
        now = time.monotonic()
        if now - self.shown > (0.1 if self.live else 2.0) or self.ended == self.total:
            self.shown = now
            self.show()
        if self.ended == self.total:
            self.all_told.set()

    @property
    def ended(self) -> int:
        return sum(state.is_terminal for state in self.states.values())

    def show(self) -> None:
        states = list(self.states.values())
        running = states.count(TaskState.RUNNING)
        failed = states.count(TaskState.FAILED)
        bar = "#" * (30 * self.ended // max(1, self.total))
        line = f"[{bar:<30}] {self.ended}/{self.total} ended, {running} running, {failed} failed"
        print(f"\r{line}  " if self.live else line, end="" if self.live else "\n", flush=True)


def main() -> int:
    options = arguments()
    files = [*python_files(options.root), BROKEN]
    files = files[-options.limit :] if options.limit else files
    print(f"{len(files)} Python files under {options.root}", flush=True)
    if options.endpoint:
        return census(options.endpoint, options.application, files)
    with embedded_cluster() as endpoint:
        return census(endpoint, options.application, files)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--endpoint", help="a Flame cluster that sees the same files")
    parser.add_argument("--application", help="an application registered there for service.py")
    parser.add_argument("--limit", type=int, help="number of files: only the last ones")
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    parser.add_argument("--root", type=Path, default=stdlib, help=f"default: {stdlib}")
    return parser.parse_args()


def python_files(root: Path) -> list[Path]:
    skip = {"site-packages", "__pycache__"}
    return sorted(p for p in root.rglob("*.py") if not skip.intersection(p.parts))


@contextmanager
def embedded_cluster() -> Iterator[str]:
    """Run ``flamepy up`` as a process of its own; give its endpoint."""
    print("starting an embedded cluster ...", flush=True)
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--quiet"]
    log = subprocess.DEVNULL if sys.stdout.isatty() else None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("ready: "):
                raise SystemExit(f"flamepy up did not start: {line!r}")
            yield line.split()[1]
        finally:
            process.terminate()


def census(endpoint: str, application: str | None, files: list[Path]) -> int:
    failures: dict[str, str] = {}
    with connect(endpoint) as connection:
        name = application or register(connection)
        print(f"connected to {endpoint}, application {name}", flush=True)
        paths: dict[str, Path] = {}

        @signals.task_failed.connect_via(name)
        def failed(sender: str, *, event: TaskEvent, **_: object) -> None:
            failures[event.task.id] = event.task.error or "no reason given"

        progress = Progress(len(files))
        with Reactor(connection=connection) as reactor, connection.create_session(name) as session:
            reactor.register(progress, session=session.id).wait_synced(timeout=10)
            futures = {session.run(str(path).encode()): path for path in files}
            paths = {future.task_id: path for future, path in futures.items()}
            wait(futures)
            progress.all_told.wait(timeout=30)
        outputs = [future.result() for future in futures if future.exception() is None]
        if application is None:
            connection.unregister_application(name)
    print(f"\n\n{len(failures)} files could not be counted:")
    for task_id in sorted(failures, key=int):
        label = " (this example's own)" if paths[task_id] == BROKEN else ""
        print(f"  {paths[task_id].name}{label}: {failures[task_id]}")
    counted = sum((Census.from_bytes(output or b"{}") for output in outputs), Census())
    return compare(files, counted, len(failures))


def register(connection: Connection) -> str:
    name = short_name("stdlib-census")
    attributes = ApplicationAttributes(
        command=sys.executable,
        arguments=[str(HERE / "service.py")],
        description="counts functions, classes and lines of a Python file",
        delay_release=5,
    )
    connection.register_application(name, attributes)
    return name


def compare(files: list[Path], counted: Census, failed: int) -> int:
    print("\ncounting directly, to compare ...", flush=True)
    direct, broken = Census(), 0
    for path in files:
        try:
            direct += count(path)
        except (SyntaxError, ValueError, RecursionError, OSError):
            broken += 1
    rows = [
        ("files", len(files) - failed, len(files) - broken),
        ("failed", failed, broken),
        ("functions", counted.functions, direct.functions),
        ("classes", counted.classes, direct.classes),
        ("lines", counted.lines, direct.lines),
    ]
    print(f"\n{'':<12}{'on Flame':>12}{'directly':>12}")
    for label, one, other in rows:
        mark = "" if one == other else "   differs!"
        print(f"{label:<12}{one:>12,}{other:>12,}{mark}")
    same = all(one == other for _, one, other in rows)
    print("\nthe totals are equal" if same else "\nthe totals DIFFER")
    return 0 if same else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
