"""Processes are started by Python's own ``subprocess``, also where a library replaced it."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from flamepy.host.processes import python_subprocess

PATCHING = {
    "gevent.monkey": SimpleNamespace(is_module_patched=lambda name: name == "subprocess"),
    "eventlet.patcher": SimpleNamespace(is_monkey_patched=lambda name: name == "subprocess"),
}


@pytest.fixture(autouse=True)
def unpatched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PATCHING:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_an_unpatched_module_is_taken_as_it_is() -> None:
    assert python_subprocess() is subprocess


@pytest.mark.parametrize("library", PATCHING)
def test_a_patched_one_is_left_alone_and_a_copy_starts_processes(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TypeError("child watchers are only available on the default loop")

    monkeypatch.setitem(sys.modules, library, PATCHING[library])
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(subprocess, "_fork_exec", None, raising=False)
    own = python_subprocess()
    assert own is python_subprocess()
    with own.Popen([sys.executable, "-c", "raise SystemExit(7)"]) as process:
        assert process.wait(30) == 7
    assert subprocess.Popen is refuse
