"""Services start while a cluster serves calls, by hundreds: no start disturbs anybody."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).parents[1])


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_500_starts_crash_no_child_and_write_nothing(kind: str) -> None:
    """A start that forks runs the hooks of gRPC and ours: children crash, connections close."""
    if kind == "uvloop" and importlib.util.find_spec("uvloop") is None:
        pytest.skip("needs the extra speed")
    done = subprocess.run(
        [sys.executable, "-m", "support.many_starts", kind],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"right": 500, "other": [], "errors": [], "hooks": 0}
