"""``flamepy dashboard``, ``up --dashboard`` and ``run --http --dashboard`` serve until a signal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from support.pages import ask
from support.waiting import eventually

from flamepy.testing import FakeEngine

PLUGIN = """
from flamepy.informers import TaskInformer

class Quiet(TaskInformer):
    def on_failed(self, event): pass
"""


@contextmanager
def running(*arguments: str, cwd: Path | None = None, **environ: str) -> Iterator[subprocess.Popen]:
    env = {**os.environ, "HOME": "/nonexistent", **environ}
    with subprocess.Popen(
        [sys.executable, "-m", "flamepy", *arguments],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        env=env,
        cwd=cwd,
    ) as process:
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def found(stream: IO[str], pattern: str) -> re.Match[str]:
    for line in stream:
        match = re.search(pattern, line)
        if match:
            return match
    raise AssertionError(f"no line with {pattern}")


def test_an_engine_is_shown_also_one_that_comes_later(fake_engine: FakeEngine) -> None:
    fake_engine.add_session("s")
    fake_engine.kill()
    with running("dashboard", "--endpoint", fake_engine.endpoint, "--port", "0") as process:
        port = int(
            found(process.stdout, rf"{fake_engine.endpoint}: http://127\.0\.0\.1:(\d+)/$")[1]
        )

        def top() -> dict[str, object]:
            return ask(port, "/api/page?page=overview")[1]["top"]

        eventually(lambda: top()["away_for"] is not None, "that it is away")
        fake_engine.restart()
        eventually(lambda: top()["open_sessions"] == 1, "its session")
        assert ask(port, "/api/actions/session/close", {"session": "s"})[0] == 403


def test_elsewhere_it_prints_a_token_that_it_needs(fake_engine: FakeEngine) -> None:
    with running(
        *("dashboard", "--endpoint", fake_engine.endpoint, "--host", "0.0.0.0", "--port", "0")
    ) as process:
        match = found(process.stdout, r"http://127\.0\.0\.1:(\d+)/#token=([\w-]{32,})$")
        port, token = int(match[1]), match[2]
        assert ask(port, "/api/about")[0] == 401
        assert ask(port, "/api/about", authorization=f"Bearer {token}")[0] == 200


def test_up_shows_its_own_cluster() -> None:
    with running(
        *("up", "--port", "0", "--cache-port", "0", "--dashboard", "--dashboard-port", "0")
    ) as process:
        match = found(process.stdout, r"ready: (\S+).* dashboard: http://127\.0\.0\.1:(\d+)/$")
        port = int(match[2])
        eventually(lambda: ask(port, "/api/page?page=nodes")[1]["nodes"], "the node of the cluster")
        assert ask(port, "/api/page?page=overview")[1]["top"]["endpoint"] == match[1]


def test_run_serves_health_handlers_and_dashboard_at_one_port(
    fake_engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "quiet.py").write_text(PLUGIN)
    token = "a-token-of-more-than-16"
    with running(
        *("run", "--informer", "quiet:Quiet", "--endpoint", fake_engine.endpoint),
        *("--http", "127.0.0.1:0", "--dashboard", "--checkpoint", str(tmp_path / "state")),
        cwd=tmp_path,
        FLAME_HTTP_TOKEN=token,
    ) as process:
        port = int(found(process.stderr, r"dashboard: http://127\.0\.0\.1:(\d+)/#token=")[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            assert answer.status == 200
        eventually(lambda: ask(port, "/readyz")[0] == 200, "that it is ready")
        bearer = f"Bearer {token}"
        assert ask(port, "/api/page?page=handlers")[0] == 401

        def names() -> list[str]:
            rows = ask(port, "/api/page?page=handlers", authorization=bearer)[1]["rows"]
            return [one["name"] for one in rows]

        eventually(lambda: names() == ["quiet:Quiet"], "its informer")
        asked = subprocess.run(
            [
                sys.executable,
                "-m",
                "flamepy",
                "handlers",
                "pause",
                "quiet:Quiet",
                "--http",
                f"127.0.0.1:{port}",
            ],
            env={**os.environ, "FLAME_HTTP_TOKEN": token},
            **{"capture_output": True, "text": True, "check": True},
        )
        assert "paused" in asked.stdout
    assert (tmp_path / "state.charts").exists()


def test_run_says_that_a_dashboard_needs_an_address() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flamepy", "run", "--informer", "x:Y", "--dashboard"],
        **{"capture_output": True, "text": True},
        check=False,
    )
    assert done.returncode == 2
    assert "--dashboard needs an address: --http HOST:PORT" in done.stderr
