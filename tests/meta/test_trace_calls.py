"""``scripts/trace_calls.py`` counts the calls of each path that CONTRIBUTING names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "trace_calls.py"


def test_each_path_enters_files_from_its_first_layer_to_its_last() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--list", "--rounds", "2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    paths = re.split(r"^(\w+): \d+ files, \d+ returns\n", done.stdout, flags=re.MULTILINE)[1:]
    assert paths[::2] == ["observation", "acknowledgement", "run"]
    observation, acknowledgement, run = paths[1::2]
    assert "watching/state/store.py" in observation
    assert "flamepy-handler-Ends" in observation
    assert "core/session.py" in acknowledgement
    assert "flamepy-reactor" in acknowledgement
    assert len(acknowledgement) < len(run)
