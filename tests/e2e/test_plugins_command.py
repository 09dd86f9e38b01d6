"""``flamepy plugins``: what is installed, what is enabled, what is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = """
from flamepy.core import TaskInformer
class Good(TaskInformer):
    def __init__(self, *, port=0): open("made", "w").write(str(port))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    info = tmp_path / "site" / "flamepy_made-1.2.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "made_plugins.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flamepy-made\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[flamepy.informers]\ngood = made_plugins:Good\ngone = made_plugins:Gone\n"
    )
    return tmp_path


def plugins(folder: Path, *arguments: str, status: int, informers: str = "[]") -> Any:
    (folder / "flame.yaml").write_text(
        f"current-context: a\ncontexts:\n- {{name: a, informers: {informers}}}\n- {{name: b}}"
    )
    done = subprocess.run(
        [sys.executable, "-m", "flamepy", "plugins", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "site"),
            "FLAME_CONFIG": str(folder / "flame.yaml"),
        },
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if done.stdout.startswith("[") else done.stdout + done.stderr


def test_list_loads_nothing(folder: Path) -> None:
    (folder / "site" / "made_plugins.py").write_text("raise SystemExit(9)")
    gone, good = plugins(folder, "list", status=0, informers="[good]")
    assert (good["name"], good["distribution"], good["version"]) == ("good", "flamepy-made", "1.2")
    assert (good["enabled"], gone["enabled"]) == (True, False)
    assert good["problem"] is gone["problem"] is None
    assert not any(one["enabled"] for one in plugins(folder, "list", "--context", "b", status=0))


def test_check_makes_the_enabled_ones_and_tells_the_broken(folder: Path) -> None:
    gone, good = plugins(folder, "check", status=1, informers="[{name: good, options: {port: 7}}]")
    assert good["problem"] is None
    assert (folder / "made").read_text() == "7"
    assert "AttributeError" in gone["problem"]


def test_check_is_content_when_all_is_well(folder: Path) -> None:
    entries = folder / "site" / "flamepy_made-1.2.dist-info" / "entry_points.txt"
    entries.write_text("[flamepy.informers]\ngood = made_plugins:Good\n")
    table = plugins(folder, "check", "--table", status=0, informers="[good]")
    assert table.splitlines()[0].split() == [
        *("NAME", "DISTRIBUTION", "VERSION", "ENABLED", "VALUE", "PROBLEM")
    ]
    unknown = plugins(folder, "check", status=1, informers="[godo]")[0]
    assert (unknown["name"], unknown["enabled"]) == ("godo", True)
    assert "did you mean 'good'" in unknown["problem"]


def test_a_broken_file_is_one_line(folder: Path) -> None:
    said = plugins(folder, "list", status=1, informers="[3]")
    assert said.startswith("flamepy plugins list: ")
    assert "informers[0] must be a mapping" in said
    assert len(said.splitlines()) == 1
