"""``flamepy-runner-e2e``: does this cluster run a runner? Functions, chained calls, an instance."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flamepy.config import FlameContext
from flamepy.errors import FlameError, FlameErrorCode
from flamepy.runner.runner import Runner
from flamepy.texts import text_of

DEFAULT_TASKS = 4


@dataclass
class RunnerE2EResult:
    """What was run, and what came out."""

    app_name: str
    template: str
    workdir: str
    function_results: list[int]
    chained_result: int
    stateful_result: int


def run_runner_e2e(
    name: str | None = None,
    tasks: int = DEFAULT_TASKS,
    python_version: str | None = None,
    dependencies: Sequence[str] | None = None,
    workdir: str | None = None,
    keep_workdir: bool = False,
) -> RunnerE2EResult:
    """Run functions, chained calls and an instance on the cluster, and check their results.

    Args:
        name: of the application; by default a new one.
        tasks: how many calls, 1 or more.
        python_version: see ``Runner``.
        dependencies: see ``Runner``.
        workdir: the folder that is packed; by default a temporary one.
        keep_workdir: leave the temporary folder.

    Raises:
        FlameError: the cluster cannot run it; INTERNAL if a result is wrong.
    """
    if tasks < 1:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"tasks must be 1 or more, got {tasks}")
    name = name or f"flamepy-runner-e2e-{uuid.uuid4().hex[:8]}"
    with _folder(workdir, keep_workdir) as folder:
        results, chained, stateful = _calls(name, tasks, python_version, dependencies)
    _check("function results", results, [n * n for n in range(tasks)])
    _check("chained result", chained, tasks**2 + (tasks + 1) ** 2)
    _check("stateful result", stateful, 6)
    template = FlameContext().runner.template or ""
    return RunnerE2EResult(name, template, folder, results, chained, stateful)


def _calls(
    name: str, tasks: int, python_version: str | None, dependencies: Sequence[str] | None
) -> tuple[list[int], int, int]:
    # Made here, so that they travel by value: executors need nothing but flamepy.
    def square(number: int) -> int:
        return number * number

    def add(left: int, right: int) -> int:
        return left + right

    class Counter:
        """Counts; its state stays on the cluster."""

        def __init__(self, value: int) -> None:
            self.value = value

        def add(self, number: int) -> int:
            self.value += number
            return self.value

    with Runner(name, True, dependencies=dependencies, python_version=python_version) as runner:
        squares = runner.service(square)
        results = runner.get([squares(n) for n in range(tasks)])
        sums = runner.service(add)
        chained = sums(squares(tasks), squares(tasks + 1)).get()
        stateful = runner.service(Counter(2)).add(4).get()
    return results, chained, stateful


@contextlib.contextmanager
def _folder(given: str | None, keep: bool) -> Iterator[str]:
    folder = given or tempfile.mkdtemp(prefix="flamepy-runner-e2e-")
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "README.md").write_text("The package of flamepy-runner-e2e.\n")
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        if given is None and not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _check(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise FlameError(FlameErrorCode.INTERNAL, f"{what}: got {found}, expected {wanted}")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="flamepy-runner-e2e", description="Check that a cluster runs flamepy.runner."
    )
    parser.add_argument("--name", help="the application's name; by default a new one")
    parser.add_argument("--tasks", type=int, default=DEFAULT_TASKS, help="calls (default: 4)")
    parser.add_argument("--python-version", metavar="V", help="the Python of the executors")
    parser.add_argument(
        "--dependency", action="append", default=[], metavar="D", help="a requirement; repeatable"
    )
    parser.add_argument("--workdir", help="the folder that is packed; by default a temporary one")
    parser.add_argument("--keep-workdir", action="store_true", help="leave the temporary folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def format_result(result: RunnerE2EResult) -> str:
    """Return what the command prints without ``--json``."""
    lines = (f"{key}: {value}" for key, value in asdict(result).items())
    return "\n".join(("Flame Runner cluster e2e passed", *lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    try:
        result = run_runner_e2e(
            options.name,
            options.tasks,
            options.python_version,
            options.dependency or None,
            options.workdir,
            options.keep_workdir,
        )
    except FlameError as error:
        print(f"Flame Runner cluster e2e failed: {text_of(error)}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(result), sort_keys=True) if options.json else format_result(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
