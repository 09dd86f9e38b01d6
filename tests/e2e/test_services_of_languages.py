"""The services of examples/services do the same under ``flamepy up``, in every language.

A language whose toolchain is missing is left out; a line of the report's header says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from support.toolchains import SERVICES, found, go_service, rust_service
from support.waiting import eventually

from flamepy.core import Connection, connect
from flamepy.errors import TaskFailedError

FLAMEPY = [sys.executable, "-m", "flamepy"]
pytestmark = pytest.mark.timeout(900)  # a first build loads and compiles for minutes
BUILDS: dict[str, tuple[str | None, Callable[[], Path]]] = {
    "python": (sys.executable, lambda: SERVICES / "python" / "service.py"),
    "rust": (found("cargo"), rust_service),
    "go": (found("go"), go_service),
}


@pytest.fixture(scope="module", params=[name for name, (tool, _) in BUILDS.items() if tool])
def service(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """Return a language and the command of its service, built."""
    program = str(BUILDS[request.param][1]())
    return request.param, [sys.executable, program] if request.param == "python" else [program]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [*FLAMEPY, "up", "--port", "0", "--executors", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1]
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture
def registered(service: tuple[str, list[str]], endpoint: str, tmp_path: Path) -> Iterator[str]:
    """Yield the name of the application, registered by the command line."""
    language, (command, *arguments) = service
    manifest = tmp_path / "echo.yaml"
    folder = tmp_path / "work"
    folder.mkdir()
    spec = {
        "command": command,
        "arguments": arguments,
        "working_directory": str(folder),
        "delay_release": 0,
    }
    manifest.write_text(yaml.safe_dump({"metadata": {"name": f"echo-{language}"}, "spec": spec}))
    flamepy("apps", "--endpoint", endpoint, "register", str(manifest))
    yield f"echo-{language}"
    flamepy("apps", "--endpoint", endpoint, "unregister", f"echo-{language}")


@pytest.fixture
def connection(endpoint: str) -> Iterator[Connection]:
    with connect(endpoint) as made:
        yield made


def flamepy(*arguments: str) -> str:
    done = subprocess.run([*FLAMEPY, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def logged(endpoint: str, session_id: str) -> str:
    """Return what the services of a session wrote."""
    return flamepy("logs", "--endpoint", endpoint, session_id)


def test_it_prints_what_the_readme_shows(registered: str, endpoint: str) -> None:
    shown = (SERVICES / "README.md").read_text().split("```text\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, str(SERVICES / "client.py"), registered],
        env={**os.environ, "FLAME_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, shown), done.stderr


def test_many_tasks_large_ones_and_failures(
    registered: str, connection: Connection, endpoint: str
) -> None:
    large = os.urandom(3 << 20)
    with connection.create_session(registered, common_data=b"\x00\xff", max_instances=2) as session:
        inputs = [b"%d" % number for number in range(200)]
        assert list(session.map(inputs)) == [b"\x00\xff" + one for one in inputs]
        assert session.invoke(large, timeout=60) == b"\x00\xff" + large
        with pytest.raises(TaskFailedError, match="no \N{SNOWMAN} way"):
            session.invoke("fail no \N{SNOWMAN} way".encode(), timeout=60)
        assert session.invoke(b"after", timeout=60) == b"\x00\xffafter"
    assert f"session {session.id} begins" in logged(endpoint, session.id)
    assert f"has {len(large)} bytes" in logged(endpoint, session.id)
    eventually(lambda: "the session ends" in logged(endpoint, session.id), "OnSessionLeave")


def test_a_session_without_common_data_gets_none_of_another(
    registered: str, connection: Connection
) -> None:
    with connection.create_session(registered, common_data=b"mine", max_instances=1) as session:
        assert session.invoke(b"x", timeout=60) == b"minex"
    with connection.create_session(registered, max_instances=1) as session:
        assert session.invoke(b"x", timeout=60) == b"x"


def test_the_check_of_services_finds_nothing(service: tuple[str, list[str]]) -> None:
    done = flamepy("check-service", *service[1])
    assert [line for line in done.splitlines() if not line.startswith("ok ")] == []
