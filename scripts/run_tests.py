"""Run tests with pytest, and those that failed once more, each in a process of its own.

``python scripts/run_tests.py [ARGUMENT ...]`` gives the arguments to pytest. On a machine that
others use at the same time a test can fail because a process came too late. Up to ``AGAIN`` failed
tests are run again, alone; those that pass then are named, and the status is 0. A test that is
named has a fault, in it or in what it tests: mend it (CONTRIBUTING.md). Run by CI; ``make test``
runs each test once. Needs pytest.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = "--flame-"  # options of tests/conftest.py, each one word
AGAIN = 3  # more than these are no accident


class Failures:
    """A plugin of pytest that collects the names of the tests that failed."""

    def __init__(self) -> None:
        self.tests: list[str] = []
        self.broken = False  # a file could not be collected

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test whose setup, call or teardown failed."""
        if report.failed and report.nodeid not in self.tests:
            self.tests.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that a file could not be collected."""
        self.broken = self.broken or report.failed


def main(arguments: Sequence[str]) -> int:
    """Return pytest's status: 0 when every test passed, at once or alone."""
    sys.path.insert(0, str(ROOT))  # as ``python -m pytest`` has it
    failures = Failures()
    try:
        status = int(pytest.main(list(arguments), plugins=[failures]))
    except BaseException:  # what tests left behind is raised when pytest has no report any more
        print(
            "\n".join(f"failed: {name}" for name in failures.tests) or "no test failed", flush=True
        )
        raise
    accidents = status == 1 and not failures.broken and 0 < len(failures.tests) <= AGAIN
    if not accidents:
        return status
    ours = [one for one in arguments if one.startswith(OURS)]
    results = {name: passes_alone(name, ours) for name in failures.tests}
    for name, passed in results.items():
        print(f"{'passed alone, failed among others' if passed else 'failed twice'}: {name}")
    return 0 if all(results.values()) else 1


def passes_alone(test: str, options: Sequence[str]) -> bool:
    """Return whether a test passes in a process of its own, with options of these tests."""
    command = [sys.executable, "-m", "pytest", "-q", test, *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
