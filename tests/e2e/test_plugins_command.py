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


def test_list_shows_what_a_file_enables_by_any_name(folder: Path) -> None:
    text = "current-context: c\ncontexts: [{name: c, informers: [{name: mine, plugin: good}]}]"
    (folder / "other.yaml").write_text(text)
    gone, good = plugins(folder, "list", "--config", "other.yaml", status=0)
    assert (good["enabled"], gone["enabled"]) == (True, False)


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


STRICT = """
from flamepy.core import TaskInformer
class Good(TaskInformer):
    def __init__(self, *, port=0):
        if isinstance(port, str):
            raise ValueError("no port: " + port)
    def on_failed(self, event): ...
"""
FILE = """\
current-context: a
contexts:
  - name: a
    informers:
      - good
      - name: two
        plugin: good
        options:
          prot: 7
      - name: three
        plugin: good
        options: {port: "${NO_SUCH_VARIABLE}"}
      - name: four
        plugin: good
        events: [opened]
      - name: five
        plugin: godo
      - name: six
        plugin: good
        options: {port: "${A_SECRET}"}
"""
MISSPELT = FILE.replace("informers:", "informer:").replace("current-context: a", "x: 1")


def check(folder: Path, text: str, *arguments: str, module: str = STRICT) -> tuple[int, str]:
    entries = folder / "site" / "flamepy_made-1.2.dist-info" / "entry_points.txt"
    entries.write_text("[flamepy.informers]\ngood = made_plugins:Good\n")
    (folder / "site" / "made_plugins.py").write_text(module)
    (folder / "my.yaml").write_text(text)
    environ = {key: one for key, one in os.environ.items() if not key.startswith("FLAME_")}
    done = subprocess.run(
        [sys.executable, "-m", "flamepy", "plugins", "check", "--config", "my.yaml", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**environ, "PYTHONPATH": str(folder / "site"), "A_SECRET": "hunter2"},
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_check_of_a_file_reports_every_problem_with_its_line(folder: Path) -> None:
    status, said = check(folder, FILE, "--table")
    assert status == 1
    wanted = [
        "my.yaml:9:11: contexts[a].informers[two].options: it has no option 'prot'; did you mean",
        "my.yaml:12:19: contexts[a].informers[three].options: informers[three].options.port names",
        "my.yaml:15:9: contexts[a].informers[four]: events has 'opened' and Good overrides none",
        "my.yaml:17:9: contexts[a].informers[five]: nothing installed has that name; did you mea",
        "my.yaml:19:9: contexts[a].informers[six]: making it with the options port raised ValueE",
    ]
    lines = said.splitlines()
    assert len(lines) == len(wanted), said
    for line, begin in zip(lines, wanted, strict=True):
        assert line.startswith(begin), line
    found = json.loads(check(folder, FILE, "--json")[1])
    assert [one["line"] for one in found["problems"]] == [9, 12, 15, 17, 19]
    assert {one["name"] for one in found["plugins"]} == {
        "good",
        "two",
        "three",
        "four",
        "five",
        "six",
    }


def test_check_of_a_file_with_wrong_keys_makes_nothing(folder: Path) -> None:
    status, said = check(folder, MISSPELT, "--table")
    assert status == 1
    assert "my.yaml:4:5: contexts[a]: unknown key 'informer'; did you mean 'informers'?" in said
    status, said = check(folder, "a: [", "--table")
    assert (status, said.startswith("my.yaml:1:")) == (1, True)
    status, said = check(folder, "contexts: [{name: a}]", "--table")
    assert status == 1
    assert "current-context is not set" in said


def test_check_of_a_file_that_is_right_shows_its_informers(folder: Path) -> None:
    text = FILE.partition("      - name: two")[0] + "      - {name: two, plugin: good}\n"
    status, said = check(folder, text, "--table")
    assert (status, [line.split()[0] for line in said.splitlines()]) == (0, ["NAME", "good", "two"])


SINK = """
from flamepy.informers import Sink
class Good(Sink):
    def __init__(self, *, durable=True):
        super().__init__(durable=durable)
    def send(self, batch): ...
class Silent(Sink):
    pass
"""
SINKS = """\
current-context: a
contexts:
  - name: a
    informers:
      - good
      - {name: lost, plugin: good, options: {durable: false}}
      - name: forgets
        plugin: good
        resume: false
      - {name: silent, plugin: "made_plugins:Silent", uid: other}
"""


def test_check_refuses_the_sinks_that_a_reactor_would_refuse(folder: Path) -> None:
    def said(text: str, *arguments: str) -> list[str]:
        return check(folder, text, "--table", *arguments, module=SINK)[1].splitlines()

    good, forgets, silent = said(SINKS)
    assert good.startswith("my.yaml:5:9: contexts[a].informers[0]: Good stores the events that it")
    assert "reactor: {checkpoint: state.db} in flame.yaml" in good
    assert forgets.startswith("my.yaml:8:9: contexts[a].informers[forgets]: Good stores the events")
    assert silent.startswith("my.yaml:10:24: contexts[a].informers[silent]: Silent has no send(se")
    with_file = SINKS.replace("    informers:", "    reactor: {checkpoint: s.db}\n    informers:")
    for lines in (said(SINKS, "--checkpoint", "s.db"), said(with_file)):
        forgets, silent = lines
        assert "without resume=False" in forgets
        assert "has no send" in silent
    assert not (folder / "s.db").exists()


REFUSES = """
from flamepy.core import TaskInformer
from flamepy.errors import InvalidArgumentError
class Good(TaskInformer):
    def __init__(self, *, host="h", port=0):
        if port > 9:
            raise InvalidArgumentError(f"port must be 9 at most, got {port}")
    def on_failed(self, event): ...
"""


def test_check_names_the_line_of_the_option_that_a_plugin_refuses(folder: Path) -> None:
    text = FILE.partition("      - good")[0] + (
        "      - name: good\n        options:\n          host: h\n          port: 10\n"
    )
    status, said = check(folder, text, "--table", module=REFUSES)
    assert status == 1
    assert said.startswith("my.yaml:8:11: contexts[a].informers[good].options: making it with the")
    assert said.endswith("raised InvalidArgumentError: port must be 9 at most, got 10\n")
