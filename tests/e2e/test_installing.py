"""Packages on a cluster: binary ones, another Python's, and installations that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import pythons
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, connect
from flamepy.errors import SessionRetryLimitError
from flamepy.local import LocalCluster
from flamepy.runner import Runner, packaging

ROOT = Path(__file__).parents[2]
SERVICE = str(ROOT / "tests" / "support" / "recorded_service.py")
OTHERS = [one for one in pythons.found() if one != pythons.THIS]
pytestmark = pytest.mark.timeout(600)

# What stands for uv: it leaves something behind, and the first time it does not come to its end.
INSTALLER = """#!/bin/sh
while [ "$1" != --target ]; do shift; done
[ -e "$2/half" ] && touch {notes}/dirty
touch "$2/half"
if mkdir {notes}/first; then
    echo $$ > {notes}/pid.new && mv {notes}/pid.new {notes}/pid
    exec sleep 600
fi
echo "whole = True" > "$2/whole.py"
touch {notes}/installed
"""


@contextmanager
def up(
    python: str, *options: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run a cluster as a process; yields it, its endpoint and that of its cache."""
    command = [python, "-m", "flamepy", "up", "-q", "--port", "0", "--cache-port", "0", *options]
    environ = {**os.environ, **environment}
    environ.pop("FLAME_HOME", None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        try:
            _, endpoint, _, cache = process.stdout.readline().split()
            yield process, endpoint, cache
        finally:
            process.terminate()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_binary_package_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "the-tool"
    tool.write_text(
        f'#!/bin/sh\n[ -x "$FLAME_APP_DIR/bin/the-tool" ] && exec {sys.executable} {SERVICE}\n'
    )
    tool.chmod(0o755)
    with tarfile.open(tmp_path / "tool.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "bin", "bin")
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
        connection.register_application(
            "tool",
            ApplicationAttributes(
                command="the-tool", url=f"file://{tmp_path}/tool.tar.gz", installer="binary"
            ),
        )
        with connection.create_session("tool") as session:
            assert session.invoke(b"echo x", timeout=60) == b"x"


def test_an_installation_that_is_killed_with_its_cluster_begins_anew(tmp_path: Path) -> None:
    notes, programs, source = (tmp_path / one for one in ("notes", "programs", "source"))
    for folder in (notes, programs, source):
        folder.mkdir()
    (programs / "uv").write_text(INSTALLER.format(notes=notes))
    (programs / "uv").chmod(0o755)
    (source / "main.py").write_text(
        f"import runpy, whole\nrunpy.run_path({SERVICE!r}, run_name='__main__')\n"
    )
    package = tmp_path / "package.tar.gz"
    packaging.write_archive(
        source, package, patterns=(), extra={"pyproject.toml": packaging.pyproject("p", ["x"])}
    )
    options = ("--data", str(tmp_path / "data"), "--executors", "1")
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    with up(sys.executable, *options, PATH=path) as (cluster, endpoint, _):
        with connect(endpoint) as connection:
            connection.register_application(
                "packed",
                ApplicationAttributes(
                    command=sys.executable,
                    arguments=["-m", "main"],
                    url=f"file://{package}",
                    installer="python",
                ),
            )
            session = connection.create_session("packed", session_id="s")
            session.create_task(b"echo x")
            eventually((notes / "pid").exists, "the installer to have begun", 60)
        os.kill(cluster.pid, signal.SIGKILL)
    installer = int((notes / "pid").read_text())
    eventually(lambda: not is_running(installer), "the installer to end with its cluster", 60)
    assert not (notes / "installed").exists()
    with (
        up(sys.executable, *options, PATH=path) as (_, endpoint, _),
        connect(endpoint) as connection,
    ):
        session = connection.open_session("s")
        ended = eventually(
            lambda: (task := session.get_task("1")).is_completed() and task, "the task", 60
        )
        assert ended.output == b"x"
        session.close()
    assert (notes / "installed").exists()
    assert not (notes / "dirty").exists()


@pytest.mark.parametrize("version", OTHERS[-1:])  # none where there is one Python only
def test_a_cluster_of_another_python_says_so(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytecode of 3.11 under 3.12 is a crash: what travels by value is refused by a sentence."""
    python = pythons.environment(version, "ours", ["-e", f"{ROOT}[local,cli]"])
    monkeypatch.chdir(tmp_path)
    with up(python, "--executors", "2") as (_, endpoint, cache):
        monkeypatch.setenv("FLAME_ENDPOINT", endpoint)
        monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cache)
        with Runner("two-pythons") as runner:
            assert runner.service(abs)(-1).get(timeout=100) == 1  # it travels by its name
            travels = runner.service(lambda x: x)
            with pytest.raises(
                SessionRetryLimitError,
                match=rf"made by Python {pythons.THIS}, this service runs {version}\.\d+: give",
            ):
                travels(1).get(timeout=200)
