"""Run the tests on every Python here, with old and new dependencies, from the built wheel.

``python scripts/test_all.py [NAME ...] [--tests PATH ...]`` runs the named environments, or all,
with all tests or those below the paths; ``--list`` shows the environments. ``--matrix`` runs those
of the compatibility matrix instead, whose names are a Python, then grpcio and pyarrow, each ``old``
or ``new``: ``3.13-old-new``. Each has a virtual environment of its own below ``.cache/test-all``.
Run by make. Only the standard library.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "test-all"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
OF_THE_LOWEST = ("3.10", "3.11")  # the lowest dependencies have no wheels for newer ones
EXTRAS = "cli,local,dashboard"
EVERY_EXTRA = "all,pytest"
AGES = ("old", "new")
# What touches grpcio or pyarrow: the wire, the cluster's servers, the object cache.
MATRIX_TESTS = (
    "tests/contract",
    "tests/golden",
    "tests/unit/objects",
    "tests/unit/rpc/transport",
    "tests/unit/wire",
)

sys.path.insert(0, str(ROOT / "scripts"))
from setup_venv import missing, read_group  # noqa: E402


@dataclass(frozen=True)
class Environment:
    """One run of the tests."""

    name: str
    python: Path
    about: str
    extras: str = EXTRAS
    pins: tuple[str, ...] = ()


def main(arguments: list[str]) -> int:
    """Return 0 when every chosen environment passed."""
    is_matrix = arguments[:1] == ["--matrix"]
    arguments = arguments[is_matrix:]
    pythons = find_pythons()
    environments = matrix(pythons) if is_matrix else plan(pythons)
    if not environments:
        return missing(f"Python {', '.join(PYTHONS)} on PATH or below $PYENV_ROOT/versions")
    if arguments == ["--list"]:
        for one in environments.values():
            print(f"{one.name:12} {one.about} ({one.python})")
        return 0
    arguments, tests = split(arguments)
    unknown = set(arguments) - set(environments)
    if unknown:
        names = ", ".join(environments)
        return missing(f"environment {', '.join(sorted(unknown))}; there are: {names}")
    chosen = [environments[name] for name in arguments or environments]
    tests = tests or (list(MATRIX_TESTS) if is_matrix else [])
    # A folder of its own: two of these programs may run side by side.
    names = "matrix" if is_matrix else "-".join(one.name for one in chosen)
    wheel = build_wheel(CACHE / f"wheel-{names}")
    results = [(one, *run(one, wheel, tests)) for one in chosen]
    print()
    for one, passed, seconds in results:
        print(f"{'ok' if passed else 'FAILED':7} {one.name:12} {seconds:6.0f} s  {one.about}")
    for name in (*PYTHONS, "lowest"):
        if not arguments and not is_matrix and name not in environments:
            print(f"{'-':7} {name:12} {'':8}  its Python is not installed here")
    return 0 if all(passed for _, passed, _ in results) else 1


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what stands before ``--tests`` and what stands behind it."""
    at = arguments.index("--tests") if "--tests" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def find_pythons() -> dict[str, Path]:
    """Return the interpreters that work, by version; pyenv's are found as well."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = {}
    for version in PYTHONS:
        on_path = shutil.which(f"python{version}")
        installed = sorted(pyenv.glob(f"{version}.*/bin/python"), key=_patch, reverse=True)
        candidates = [Path(sys.executable), *([Path(on_path)] if on_path else []), *installed]
        working = next((one for one in candidates if version_of(one) == version), None)
        if working is not None:
            found[version] = working
    return found


def _patch(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.parent.parent.name))


def version_of(python: Path) -> str | None:
    """Return ``"3.12"``, or None when it does not run or cannot make environments."""
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def plan(pythons: dict[str, Path]) -> dict[str, Environment]:
    """Return the environments: each Python, the lowest dependencies, every extra (with uvloop)."""
    if not pythons:
        return {}
    newest = max(pythons, key=_minor)
    made = [
        Environment(version, python, f"Python {version}, newest dependencies")
        for version, python in pythons.items()
    ]
    old = next((version for version in OF_THE_LOWEST if version in pythons), None)
    if old is not None:
        about = f"Python {old}, lowest base dependencies"
        made.append(Environment("lowest", pythons[old], about, pins=lowest()))
    about = f"Python {newest}, every extra, so that every loop is uvloop's"
    made.append(Environment("all", pythons[newest], about, EVERY_EXTRA))
    return {one.name: one for one in made}


def matrix(pythons: dict[str, Path]) -> dict[str, Environment]:
    """Return each Python with the oldest and the newest grpcio and pyarrow; docs/releases.md."""
    made = [
        Environment(
            f"{version}-{grpcio}-{pyarrow}",
            python,
            f"Python {version}, {grpcio} grpcio, {pyarrow} pyarrow",
            pins=(*oldest("grpcio", grpcio), *oldest("pyarrow", pyarrow)),
        )
        for version, python in pythons.items()
        for grpcio, pyarrow in itertools.product(AGES, AGES)
    ]
    return {one.name: one for one in made}


def oldest(package: str, age: str) -> tuple[str, ...]:
    """Return the pin of a package to its oldest minor version, or none if the newest is wanted."""
    if age == "new":
        return ()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf'"{package}>=([\d.]+)"', text)
    assert found is not None
    return (f"{package}=={found[1]}.*",)


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def lowest() -> tuple[str, ...]:
    """Return the base dependencies of pyproject.toml at their lowest versions."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.search(r"^dependencies = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    assert declared is not None
    return tuple(one.replace(">=", "==") for one in re.findall(r'"([^"]+)"', declared.group(1)))


def build_wheel(folder: Path) -> Path:
    """Build the wheel in a folder; raises SystemExit when that fails."""
    shutil.rmtree(folder, ignore_errors=True)
    print("building the wheel", flush=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    if subprocess.run([*command, str(ROOT)], check=False).returncode != 0:
        raise SystemExit(missing("a wheel: pip's message is above"))
    return next(folder.glob("*.whl"))


def run(one: Environment, wheel: Path, tests: list[str]) -> tuple[bool, float]:
    """Return whether the tests passed in a fresh environment, and the seconds they took."""
    print(f"\n== {one.name}: {one.about}", flush=True)
    folder = CACHE / one.name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([one.python, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    wanted = [f"{wheel}[{one.extras}]", *one.pins, *read_group("test")]
    start = time.monotonic()
    for command in ([*install, *wanted], [python, "scripts/run_tests.py", "-q", *tests]):
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
            return False, time.monotonic() - start
    return True, time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
