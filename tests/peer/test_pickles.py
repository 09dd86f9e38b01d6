"""Objects that the official SDK pickled load here, and ours load there, with all their values."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from peer import pickles

from flamepy.config import FlameContext
from flamepy.errors import FlameErrorCode
from flamepy.types import SessionAttributes, Task, TaskState

SCRIPT = str(Path(__file__).parent / "pickles.py")
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
FILE = """
current-context: a
contexts:
  - name: a
    cluster: {endpoint: "https://x:1", tls: {ca_file: /a.pem}}
    cache: {endpoint: "grpcs://x:2", tls: {ca_file: /b.pem}, storage: "/s"}
    package: {storage: "file:///p", excludes: [q]}
    runner: {template: t}
"""
pytestmark = pytest.mark.timeout(700)


@pytest.fixture(autouse=True)
def configured(clean_environment: None, tmp_path: Path) -> None:
    """Give both the same file in the same home folder."""
    (tmp_path / ".flame").mkdir()
    (tmp_path / ".flame" / "flame.yaml").write_text(FILE)


def theirs(python: str, *arguments: str, given: object = None) -> Any:
    done = subprocess.run(
        [python, SCRIPT, *arguments],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def alike(found: Any) -> Any:
    """Return a description without what the official SDK chooses by chance: its excludes' order."""
    if isinstance(found, dict):
        return {
            key: sorted(value) if key == "excludes" else alike(value)
            for key, value in found.items()
        }
    return [alike(one) for one in found] if isinstance(found, list) else found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_official_sdk_pickled_loads_here(official_of_each: str, protocol: int) -> None:
    written = theirs(official_of_each, "write", str(protocol))
    names, fields = written["shared"], written["fields"]
    assert {name.partition(" ")[0] for name in pickles.made()} == set(names)
    ours = pickles.made()
    for name, text in written["pickles"].items():
        loaded = pickle.loads(bytes.fromhex(text))
        assert type(loaded) is type(ours[name])
        expected = alike(pickles.described(ours[name], fields))
        assert alike(pickles.described(loaded, fields)) == expected, name


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_we_pickle_loads_in_the_official_sdk(official_of_each: str, protocol: int) -> None:
    made = pickles.made()
    fields = theirs(official_of_each, "write", "2")["fields"]
    for dumps in (pickle.dumps, cloudpickle.dumps):
        sent = {name: dumps(value, protocol).hex() for name, value in made.items()}
        seen = theirs(official_of_each, "read", given=sent)
        for name, value in made.items():
            assert alike(seen[name]) == alike(pickles.described(value, fields)), name


# What only this library has: more members of enums, more fields.
OURS = {
    "a cancelled task": Task("1", "s", TaskState.CANCELLED, pickles.NOW),
    "a state of a newer engine": Task("1", "s", TaskState(77), pickles.NOW),
    "a state alone": TaskState.CANCELLED,
    "an unknown state alone": TaskState(77),
    "a code": FlameErrorCode.UNAVAILABLE,
    "a priority": SessionAttributes("a", priority=3),
}


def test_what_only_we_have_is_a_number_there_and_itself_here(official_of_each: str) -> None:
    seen = theirs(
        official_of_each,
        "read",
        given={name: pickle.dumps(one).hex() for name, one in OURS.items()},
    )
    assert seen["a cancelled task"]["state"] == 4
    assert seen["a state of a newer engine"]["state"] == 77
    assert (seen["a state alone"], seen["an unknown state alone"], seen["a code"]) == (4, 77, 6)
    assert seen["a priority"]["application"] == "a"
    for name, value in OURS.items():
        back = pickle.loads(pickle.dumps(value))
        assert back == value, name
        assert type(back) is type(value), name


def test_a_context_of_ours_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / ".flame" / "flame.yaml"
    path.write_text(
        FILE + "    retry: {attempts: 3}\n    informers: [{name: x, options: {a: 1}}]\n"
    )
    context = FlameContext(keepalive=(7.0, 3.0))
    back = pickle.loads(pickle.dumps(context))
    assert vars(back) == vars(context)
    assert repr(back) == repr(context)
