"""Runner and typed services: either client with either service, on our cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flamepy.core import ApplicationAttributes, connect
from flamepy.local import LocalCluster

HERE = Path(__file__).parent
TYPED = str(HERE.parent / "support" / "typed_service.py")
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(executors=2, bind_timeout=150) as running:  # theirs loads slowly
        yield running


def run(cluster: LocalCluster, python: str, script: str, folder: Path, **more: str) -> Any:
    environ = {
        **os.environ,
        "FLAME_ENDPOINT": cluster.endpoint,
        "FLAME_CACHE_ENDPOINT": cluster.cache_endpoint or "",
        **more,
    }
    environ.pop("FLAME_HOME", None)
    done = subprocess.run(
        [python, str(HERE / script)],
        capture_output=True,
        text=True,
        timeout=400,
        env=environ,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def python_of(which: str, official: str) -> str:
    return official if which == "official" else sys.executable


@pytest.mark.parametrize("client", ["official", "ours"])
@pytest.mark.parametrize("service", ["official", "ours"])
class TestMatrix:
    def test_a_runner(
        self, cluster: LocalCluster, official: str, client: str, service: str, tmp_path: Path
    ) -> None:
        template = f"template-{client}-{service}"
        with connect(cluster.endpoint) as connection:
            connection.register_application(
                template,
                ApplicationAttributes(
                    command=python_of(service, official),
                    arguments=["-m", "flamepy.runner.runpy"],
                    installer="python",
                    delay_release=0,
                ),
            )
        config = tmp_path / "flame.yaml"
        config.write_text(
            "current-context: a\ncontexts:\n- name: a\n"
            f"  cluster: {{endpoint: '{cluster.endpoint}'}}\n"
            f"  cache: {{endpoint: '{cluster.cache_endpoint}'}}\n"
            f"  runner: {{template: {template}}}\n"
        )
        seen = run(
            cluster,
            python_of(client, official),
            "runner_client.py",
            tmp_path,
            FLAME_CONFIG=str(config),
            HOME=self.home(tmp_path, config),
        )
        assert seen == {"results": [0, 1, 4, 9], "chained": 81, "state": 6}
        with connect(cluster.endpoint) as connection:
            assert connection.get_application("peer-runner") is None
            connection.unregister_application(template)

    def home(self, folder: Path, config: Path) -> str:
        """Return a home with the configuration where the official SDK looks for it."""
        (folder / ".flame").mkdir()
        (folder / ".flame" / "flame.yaml").write_text(config.read_text())
        return str(folder)

    def test_a_typed_service(
        self, cluster: LocalCluster, official: str, client: str, service: str, tmp_path: Path
    ) -> None:
        with connect(cluster.endpoint) as connection:
            connection.register_application(
                "typed",
                ApplicationAttributes(
                    command=python_of(service, official), arguments=[TYPED], delay_release=0
                ),
            )
        seen = run(cluster, python_of(client, official), "typed_client.py", tmp_path)
        assert seen == {"echo": [1, "a"], "none": None, "count": 2, "context": 2}
        with connect(cluster.endpoint) as connection:
            connection.unregister_application("typed")
