"""The file that leads ``flamepy logs`` to a cluster's logs: there while it runs, for this user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flamepy.cli.cluster_file import find, left, path_for
from flamepy.config.endpoint import Endpoint
from flamepy.errors import NotFoundError

HERE = Endpoint.parse("http://127.0.0.1:18123")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_it_is_found_while_the_cluster_runs_and_gone_after(tmp_path: Path) -> None:
    with left(HERE.port, tmp_path / "logs"):
        found = find(HERE)
        assert (found.pid, found.logs) == (os.getpid(), tmp_path / "logs")
        assert path_for(HERE.port).stat().st_mode & 0o077 == 0
        assert path_for(HERE.port).parent.stat().st_mode & 0o077 == 0
    with pytest.raises(NotFoundError, match="no `flamepy up` of this user"):
        find(HERE)
    assert not path_for(HERE.port).parent.exists(), "a folder is left"


def test_another_machine_is_said(tmp_path: Path) -> None:
    with left(HERE.port, tmp_path), pytest.raises(NotFoundError, match="is another machine"):
        find(Endpoint.parse(f"http://flame.example.org:{HERE.port}"))


def test_a_file_of_a_process_that_is_gone_is_none(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        check=True,
        text=True,
    )
    with left(HERE.port, tmp_path):
        path_for(HERE.port).write_text(json.dumps({"pid": int(ended.stdout), "logs": "/x"}))
        with pytest.raises(NotFoundError):
            find(HERE)


def test_without_logs_and_without_a_place_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with left(HERE.port, None):
        assert not path_for(HERE.port).exists()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with left(HERE.port, tmp_path):
        pass
