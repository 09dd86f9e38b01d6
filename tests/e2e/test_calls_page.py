"""The programs of docs/calls.md run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.guarded_engine import GuardedEngine

PAGE = Path(__file__).parents[2] / "docs" / "calls.md"
# The engine here does no task: test_documents runs what is below "Progress and notebooks".
AROUND = PAGE.read_text().partition("\n## Progress and notebooks\n")[0]
PROGRAMS = re.findall(r"^```python\n(.*?)^```", AROUND, re.MULTILINE | re.DOTALL)
PRINTED = [
    ["app"],
    ["app"],
    ["CreateTask took", "tasks of this team have at most 1000 bytes"],
    ["app"],
    ["a task for"],
]


@pytest.mark.parametrize(
    ("program", "printed"),
    list(zip(PROGRAMS, PRINTED, strict=True)),
    ids=map(str, range(len(PRINTED))),
)
def test_a_program_of_the_page_runs(program: str, printed: list[str], tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("of-the-file\n")
    with GuardedEngine() as engine:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={
                **os.environ,
                "FLAME_ENDPOINT": engine.endpoint,
                "TEAM_TOKEN": "of-the-team",
                "TOKEN_FILE": str(secret),
            },
        )
        assert done.returncode == 0, done.stderr
        assert all(text in done.stdout for text in printed), done.stdout
        if "token" in program:
            (header,) = {sent["authorization"] for _, sent in engine.seen}
            assert header in ("Bearer of-the-team", "Bearer of-the-file")
