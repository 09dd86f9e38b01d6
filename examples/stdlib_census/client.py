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
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path

from census import Census, count
from screens import Progress, Screen, screen

from flamepy.core import ApplicationAttributes, Connection, connect, short_name
from flamepy.informers import Reactor, TaskEvent, signals

HERE = Path(__file__).resolve().parent
BROKEN = HERE / "broken.py"


def main() -> int:
    options = arguments()
    files = [*python_files(options.root), BROKEN]
    files = files[-options.limit :] if options.limit else files
    shown = screen()
    shown.say(f"{len(files)} Python files under {options.root}")
    if options.endpoint:
        return census(options.endpoint, options.application, files, shown)
    shown.say("starting an embedded cluster ...")
    with embedded_cluster() as endpoint:
        return census(endpoint, options.application, files, shown)


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


def census(endpoint: str, application: str | None, files: list[Path], shown: Screen) -> int:
    failures: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    with connect(endpoint) as connection:
        name = application or register(connection)
        shown.say(f"connected to {endpoint}, application {name}")

        @signals.task_failed.connect_via(name)
        def failed(sender: str, *, event: TaskEvent, **_: object) -> None:
            failures[event.task.id] = event.task.error or "no reason given"
            kinds[failures[event.task.id].partition(":")[0]] += 1

        progress = Progress(len(files))
        with Reactor(connection=connection) as reactor, connection.create_session(name) as session:
            reactor.register(progress, session=session.id).wait_synced(timeout=10)

            def informers() -> list[tuple[str, int, int]]:
                health = reactor.health().informers
                return [(one.name, one.stats.delivered, one.stats.queued) for one in health]

            with shown.watching(progress, kinds, informers):
                futures = dict(zip(session.run_many(map(encoded, files)), files, strict=True))
                wait(futures)
                progress.all_told.wait(timeout=30)
        outputs = [future.result() for future in futures if future.exception() is None]
        if application is None:
            connection.unregister_application(name)
    paths = {future.task_id: path for future, path in futures.items()}
    broken = [line(paths[task_id], failures[task_id]) for task_id in sorted(failures, key=int)]
    counted = sum((Census.from_bytes(output or b"{}") for output in outputs), Census())
    return compare(files, counted, broken, shown)


def encoded(path: Path) -> bytes:
    return str(path).encode()


def line(path: Path, error: str) -> str:
    label = " (this example's own)" if path == BROKEN else ""
    return f"{path.name}{label}: {error}"


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


def compare(files: list[Path], counted: Census, failures: list[str], shown: Screen) -> int:
    shown.say("counting directly, to compare ...")
    direct, broken, failed = Census(), 0, len(failures)
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
    same = all(one == other for _, one, other in rows)
    shown.result(rows, failures, equal=same)
    return 0 if same else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
