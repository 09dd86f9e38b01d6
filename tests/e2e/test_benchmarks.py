"""``make bench`` in its least form: each workload runs, and its tables are printed; no times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))  # the benchmarks are programs beside each other

import servers  # noqa: E402  # found by the line above
import suite  # noqa: E402  # the same


def bench(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it with a few tasks of each workload."""
    kept = {name: value for name, value in os.environ.items() if name != servers.PACED}
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "compare.py"), "--tiny", *options],
        capture_output=True,
        text=True,
        env={**kept, **environment},
        check=True,
    )


def test_it_measures_ours_and_the_bare_stubs_and_prints_ratios_beside_the_last_releases() -> None:
    lines = bench(
        "--clients", "ours", "bare", "--servers", "constants", "paced"
    ).stdout.splitlines()
    assert lines[0] == (
        "no paced engine: FLAME_PACED_ENGINE names neither its program nor its source's folder"
    )
    for cell in suite.cells()["constants"]:
        if cell.client in ("ours", "bare"):
            assert any(one.startswith(f"{cell.key} ") for one in lines), cell.key
    last = suite.last_release()
    assert lines[1].startswith(f"last: {last['release']}.")
    shown = [one for one in suite.ratios() if one.server == "constants"]
    ours = [one for one in shown if "official" not in one.below + one.name]
    for one in (one for one in ours if "uvloop" not in one.above):
        before = last["ratios"]["constants"].get(one.name)
        (row,) = [line for line in lines if line.startswith(f"{one.name} ")]
        assert ("-" if before is None else f"{before:.2f}") in row.split(), row


def test_the_last_release_has_ratios_and_nothing_of_the_machine() -> None:
    known = {(one.server, one.name) for one in suite.ratios()}
    last = json.loads(suite.LAST.read_text())
    assert set(last) == {"release", "ratios"}
    for server, found in last["ratios"].items():
        for name, value in found.items():
            assert (server, name) in known
            assert isinstance(value, float)


ROUNDS: suite.Rounds = {
    "paced": {
        "map (ours)": [{"rate": 30.0, "cpu": 4.0}, {"rate": 10.0, "cpu": 4.0}],
        "map (bare)": [{"rate": 10.0, "cpu": 2.0}, {"rate": 10.0, "cpu": 1.0}],
    }
}


def test_a_ratio_is_of_the_rounds_one_by_one() -> None:
    found = {one["name"]: one for one in suite.measured_ratios(ROUNDS)}
    assert set(found) == {"map, ours / bare", "map, CPU, ours / bare"}, "what was not measured"
    rate, cpu = found["map, ours / bare"], found["map, CPU, ours / bare"]
    assert (rate["median"], rate["min"], rate["max"]) == (2.0, 1.0, 3.0)
    assert (cpu["median"], cpu["aim"]) == (3.0, "<= 1.4")


def test_ratios_are_written_and_those_of_other_servers_stay(tmp_path: Path) -> None:
    path = tmp_path / "last.json"
    assert suite.last_release(path) == {"release": "", "ratios": {}}
    path.write_text(json.dumps({"release": "0.1", "ratios": {"up": {"x": 1.0}, "paced": {}}}))
    suite.write_release("0.2", suite.measured_ratios(ROUNDS), path)
    assert suite.last_release(path) == {
        "release": "0.2",
        "ratios": {
            "up": {"x": 1.0},
            "paced": {"map, ours / bare": 2.0, "map, CPU, ours / bare": 3.0},
        },
    }


@pytest.mark.parametrize("what", ["program", "rust", "nothing", "broken"])
def test_the_paced_engine_is_a_program_or_is_built_or_is_said_to_be_missing_in_one_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(servers, "CACHE", tmp_path / "cache")
    tools = tmp_path / "bin"
    tools.mkdir()
    cargo = tools / "cargo"
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    source = tmp_path / "engine"
    source.mkdir()
    monkeypatch.setenv(servers.PACED, str(source))
    wanted: str | None = None
    if what == "program":
        monkeypatch.setenv(servers.PACED, sys.executable)
        wanted = sys.executable
    elif what == "rust":
        (source / "Cargo.toml").touch()
        made = json.dumps({"executable": "/made/paced-engine"})
        cargo.write_text(f"#!/bin/sh\necho '{{\"executable\":null}}'\necho '{made}'\n")
        wanted = "/made/paced-engine"
    elif what == "broken":
        (source / "Cargo.toml").touch()
        cargo.write_text("#!/bin/sh\necho one >&2\necho no protoc >&2\nexit 1\n")
    if cargo.exists():
        cargo.chmod(0o755)
    assert servers.paced_program() == wanted
    said = capsys.readouterr().out.splitlines()
    ends = {"nothing": "no program and no folder of Rust or Go source", "broken": "no protoc"}
    assert len(said) == (what in ends)
    assert all(one.endswith(ends[what]) and one.startswith("no paced engine: ") for one in said)
