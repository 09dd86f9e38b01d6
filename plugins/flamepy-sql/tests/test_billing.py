"""The recipe of examples/billing prints what its README shows; on SQLite without PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sql_servers import Server, missing, server_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "billing"


def test_each_task_is_billed_once_while_the_biller_is_killed(
    servers: dict[str, Server], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'billing.db'}"
    if missing("postgresql") is None:
        url = server_of("postgresql", servers).database()
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "demo.py")],
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, "BILLING_DATABASE": url},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.search(r"^```text\n(.*?)^```", (EXAMPLE / "README.md").read_text(), re.M | re.S)
    assert shown is not None
    assert done.stdout == shown.group(1)
