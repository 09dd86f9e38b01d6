"""What the benchmarks measure with and against: Python environments, and servers to call.

Environments are made at the first use and kept in ``.cache``. Each server is a context manager that
gives its endpoint and ends its process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
CACHE = ROOT / ".cache"
SERVICE = ROOT / "tests" / "support" / "recorded_service.py"
OFFICIAL = "flamepy==0.6.0"
PACED = "FLAME_PACED_ENGINE"  # the environment variable
REGISTER = "from flamepy.core import register_application as r; r('bench', {'command': 'x'})"


# ---------------------------------------------------------------------- environments


def official() -> str:
    """Return the Python that has the official SDK; the tests beside it use the same."""
    return environment(f"official-{OFFICIAL.partition('==')[2]}", OFFICIAL)


def ours() -> str:
    """Return the Python that has this library, uvloop and matplotlib."""
    return environment("bench", "-e", str(ROOT), "uvloop", "matplotlib")


def ours_on(version: str) -> str:
    """Return the Python that has this library, uvloop and a version of grpcio, or the latest."""
    wanted = "grpcio" if version == "latest" else f"grpcio~={version}.0"
    return environment(f"grpcio-{version}", "-e", str(ROOT), "uvloop", wanted)


def environment(tag: str, *packages: str) -> str:
    """Return the Python of a virtual environment with these packages, made at the first call."""
    folder = CACHE / f"{tag}-py{sys.version_info.major}{sys.version_info.minor}"
    python = str(folder / "bin" / "python")
    if not (folder / "ready").exists():
        print(f"making {folder.name} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "ready").touch()
    return python


# ---------------------------------------------------------------------- servers


@contextmanager
def constants(python: str) -> Iterator[str]:
    """Run the engine of constants; give its endpoint."""
    with subprocess.Popen(
        [python, str(HERE / "instant_engine.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.communicate()


@contextmanager
def embedded_cluster() -> Iterator[str]:
    """Run ``flamepy up`` with a service that echoes; give its endpoint."""
    CACHE.mkdir(exist_ok=True)
    manifest = CACHE / "bench.yaml"
    manifest.write_text(
        f"metadata: {{name: bench}}\nspec: {{command: {sys.executable}, arguments: [{SERVICE}]}}\n"
    )
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--executors", "2"]
    with _ready([*command, "--quiet", "--app", str(manifest)]) as line:
        yield line.split()[1]


@contextmanager
def paced_engine(program: str) -> Iterator[str]:
    """Run the paced engine with an application registered; give its endpoint."""
    with _ready([program, "--port", "0"]) as line:
        endpoint = line.split()[-1]
        subprocess.run(
            [sys.executable, "-c", REGISTER],
            env={**os.environ, "FLAME_ENDPOINT": endpoint},
            check=True,
        )
        yield endpoint


@contextmanager
def _ready(command: Sequence[str]) -> Iterator[str]:
    """Run a server; give the line that it prints when it is ready."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.terminate()


def paced_program() -> str | None:
    """Return the paced engine's program, built if need be; say in one line why there is none."""
    given = os.environ.get(PACED)
    if given is None:
        print(f"no paced engine: {PACED} names neither its program nor its source's folder")
        return None
    path = Path(given).expanduser()
    if path.is_file():
        return str(path)
    builds = {"Cargo.toml": _build_by_cargo, "go.mod": _build_by_go}
    build = next((one for name, one in builds.items() if (path / name).is_file()), None)
    if build is None:
        print(f"no paced engine: {PACED}={given} is no program and no folder of Rust or Go source")
        return None
    try:
        return build(path)
    except (OSError, subprocess.CalledProcessError) as error:
        lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        print(f"no paced engine: {PACED}={given} cannot be built: {lines[-1] if lines else error}")
        return None


def _build_by_cargo(source: Path) -> str:
    """Build beside our other caches, so that nothing is written into the source."""
    print("building the paced engine ...", file=sys.stderr)
    done = subprocess.run(
        ["cargo", "build", "--release", "--message-format=json"],
        cwd=source,
        env={**os.environ, "CARGO_TARGET_DIR": str(CACHE / "paced-engine")},
        capture_output=True,
        text=True,
        check=True,
    )
    made = (json.loads(line).get("executable") for line in done.stdout.splitlines())
    return str([one for one in made if one][-1])


def _build_by_go(source: Path) -> str:
    print("building the paced engine ...", file=sys.stderr)
    program = str(CACHE / "paced-engine-go")
    command = ["go", "build", "-o", program, "."]
    subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return program
