"""Programs of others that some tests need: which are here, what is left out, what they build."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "examples" / "services"
CACHE = ROOT / ".cache" / "services"
NEEDED_FOR: Mapping[str, str] = {
    "cargo": "the service in Rust",
    "go": "the service in Go",
    "nginx": "calls through nginx",
    "haproxy": "calls through HAProxy",
    "nats-server": "flamepy-nats against a server",
}


def left_out() -> str | None:
    """Return the line that says which programs are missing and what is not tested without them."""
    missing = [f"{what} ({name})" for name, what in NEEDED_FOR.items() if not found(name)]
    return (
        f"left out, since the program is not installed: {', '.join(missing)}" if missing else None
    )


def found(name: str) -> str | None:
    """Return the path of a program; Debian has servers where users' PATHs do not look."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def rust_service() -> Path:
    """Build ``examples/services/rust`` and return the program."""
    target = CACHE / "rust"
    _build("cargo", "build", "--release", "--locked", "--quiet", CARGO_TARGET_DIR=str(target))
    return target / "release" / "service"


def go_service() -> Path:
    """Build ``examples/services/go`` and return the program."""
    program = CACHE / "go" / "service"
    _build("go", "build", "-o", str(program), ".")
    return program


def _build(*command: str, **more: str) -> None:
    """Run a build in its own folder, one at a time: test runs may go on side by side."""
    language = "rust" if command[0] == "cargo" else command[0]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{language}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            command,
            cwd=SERVICES / language,
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
