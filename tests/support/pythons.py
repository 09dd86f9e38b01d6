"""The Pythons of this machine, and environments of them with other packages, made once."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THIS = "{}.{}".format(*sys.version_info)


@cache
def found() -> dict[str, str]:
    """Return the interpreters that can make environments, the oldest first, by version."""
    spec = importlib.util.spec_from_file_location("test_all", ROOT / "scripts" / "test_all.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    there = {version: str(path) for version, path in module.find_pythons().items()}
    return dict(sorted(there.items(), key=lambda one: int(one[0].partition(".")[2])))


def oldest_and_newest() -> list[str]:
    """Return the two versions, or the one where there is one only."""
    versions = list(found())
    return list(dict.fromkeys((versions[0], versions[-1])))


def environment(version: str, name: str, packages: list[str]) -> str:
    """Return the Python of an environment that has packages; it is kept in ``.cache``.

    Args:
        version: of the Python.
        name: with the version, the folder's name; another list of packages needs another one.
        packages: arguments of ``pip install``.
    """
    folder = ROOT / ".cache" / f"{name}-py{version.replace('.', '')}"
    python, ready = folder / "bin" / "python", folder / "ready-2"
    if not ready.exists():
        make = [found()[version], "-m", "venv", "--clear", str(folder)]
        install = [str(python), "-m", "pip", "install", "--quiet", *packages]
        for command in (make, install):
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
            if done.returncode != 0:
                pytest.fail(f"{' '.join(command)} failed: {done.stderr[-800:]}")
        ready.touch()
    return str(python)
