"""The operators' commands against a cluster of its own: what they show, and one line when not."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, Connection, connect
from flamepy.errors import TaskFailedError
from flamepy.local import LocalCluster

SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
MANIFEST = f"metadata: {{name: made}}\nspec: {{command: {sys.executable}, arguments: [{SERVICE}]}}"
FLAMEPY = [sys.executable, "-m", "flamepy"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Connection]:
    with LocalCluster(executors=1) as made, connect(made.endpoint) as connection:
        spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        connection.register_application("recorded", spec)
        session = connection.create_session("recorded", session_id="first")
        assert session.invoke(b"echo hi", timeout=30) == b"hi"
        with pytest.raises(TaskFailedError):
            session.invoke(b"fail it \x1b[31mbroke", timeout=30)
        session.run(b"sleep 600000")
        eventually(lambda: session.refresh().running, "a running task")
        connection.close_session(connection.create_session("recorded", session_id="second").id)
        yield connection


@pytest.fixture
def flamepy(cluster: Connection) -> Any:
    def run(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [*FLAMEPY, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "FLAME_ENDPOINT": cluster.endpoint},
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        if status == 1:
            assert not done.stdout
            assert len(done.stderr.splitlines()) == 1
        return done.stdout if status == 0 else done.stderr

    return run


def test_sessions(flamepy: Any) -> None:
    first, second = json.loads(flamepy("sessions"))
    assert (first["id"], first["application"], first["state"]) == ("first", "recorded", "OPEN")
    counts = [first[name] for name in ("pending", "running", "succeed", "failed", "cancelled")]
    assert counts == [0, 1, 1, 1, 0]
    assert (second["id"], second["state"]) == ("second", "CLOSED")
    assert second["completion_time"] >= second["creation_time"]
    assert [one["id"] for one in json.loads(flamepy("sessions", "--state", "open"))] == ["first"]
    assert json.loads(flamepy("sessions", "--application", "other")) == []


def test_tasks(flamepy: Any) -> None:
    done, failed, running = json.loads(flamepy("tasks", "first"))
    assert (done["id"], done["state"], done["output_size"]) == ("1", "SUCCEED", 2)
    assert done["seconds"] >= 0
    assert (failed["state"], failed["error"]) == ("FAILED", "it \x1b[31mbroke")
    assert (running["state"], running["seconds"], running["error"]) == ("RUNNING", None, None)
    chosen = json.loads(flamepy("tasks", "first", "--state", "succeed", "--state", "failed"))
    assert [one["id"] for one in chosen] == ["1", "2"]
    assert [one["id"] for one in json.loads(flamepy("tasks", "first", "--last", "1"))] == ["3"]


def test_nodes(flamepy: Any) -> None:
    (node,) = json.loads(flamepy("nodes"))
    assert (node["state"], node["executors"], node["bound"]) == ("READY", 1, 1)
    assert node["executor_list"][0]["session"] == "first"


def test_applications_come_and_go(flamepy: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "made.yaml"
    manifest.write_text(MANIFEST)
    assert flamepy("apps", "register", str(manifest)) == "registered made\n"
    assert "add --update" in flamepy("apps", "register", str(manifest), status=1)
    manifest.write_text(MANIFEST.replace("spec: {", "spec: {delay_release: 7, "))
    assert flamepy("apps", "register", "--update", str(manifest)) == "registered made\n"
    listed = {one["name"]: one for one in json.loads(flamepy("apps"))}
    assert listed["made"]["delay_release"] == 7
    assert listed["made"]["command_line"] == f"{sys.executable} {SERVICE}"
    assert flamepy("apps", "unregister", "made") == "unregistered made\n"
    assert "'made' is not registered" in flamepy("apps", "unregister", "made", status=1)
    assert "has open sessions" in flamepy("apps", "unregister", "recorded", status=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tasks", "nothing"), "session 'nothing' not found"),
        (("sessions", "--endpoint", "ftp://x"), "the scheme must be http or https"),
        (("nodes", "--endpoint", "127.0.0.1:1"), "refused{any}; `flamepy doctor` shows"),
        (("apps", "register", "/no/such.yaml"), "/no/such.yaml: cannot be read"),
        (("apps", "--endpoint", "nothing.invalid"), "nothing.invalid"),
        (("apps", "register", "{folder}/broken.yaml"), "broken.yaml: this is not YAML"),
        (("sessions", "--endpoint", "{tls}"), "TLS mismatch"),
    ],
)
def test_a_mistake_is_one_line(
    cluster: Connection, flamepy: Any, arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text("a: [\n")
    tls = cluster.endpoint.replace("http", "https")
    said = flamepy(*(one.format(folder=tmp_path, tls=tls) for one in arguments), status=1)
    for part in says.split("{any}"):  # releases of gRPC say more or less in between
        assert part in said
    assert said.startswith(f"flamepy {arguments[0]}")


def test_a_wrong_word_shows_the_usage(flamepy: Any) -> None:
    assert "No such command 'frob'" in flamepy("frob", status=2)
    assert "Missing argument 'SESSION'" in flamepy("tasks", status=2)
    for seconds in ("0", "nan"):
        assert "value for '--timeout'" in flamepy("doctor", "--timeout", seconds, status=2)


def test_help_is_whole(flamepy: Any) -> None:
    commands = flamepy("--help").split("Commands:\n")[1].splitlines()
    assert all(line.endswith(".") and not line.endswith("...") for line in commands), commands
    lines = [line.strip() for line in flamepy("completion", "--help").splitlines()]
    assert 'bash: eval "$(flamepy completion bash)"       in ~/.bashrc' in lines


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' full device")
def test_a_full_disk_is_one_line(cluster: Connection) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*FLAMEPY, "sessions", "--endpoint", cluster.endpoint],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "flamepy: [Errno 28] No space left on device\n"


def in_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Return what a command shows in a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    shown = b""
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        with suppress(OSError):  # the other end is closed: the program has ended
            while part := os.read(ours, 4096):
                shown += part
        assert process.wait(30) == 0
    os.close(ours)
    return shown.decode()


def test_a_terminal_gets_a_table(cluster: Connection) -> None:
    environment = {**os.environ, "FLAME_ENDPOINT": cluster.endpoint, "TERM": "xterm"}
    shown = in_terminal([*FLAMEPY, "tasks", "first"], environment)
    assert "\x1b[31m" not in shown, "an error text coloured the terminal"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert lines[0].split() == [
        *("ID", "STATE", "INPUT", "SIZE", "OUTPUT", "SIZE", "AGE", "SECONDS", "ERROR")
    ]
    assert len(lines) == 4
    assert "it \\x1b[31mbroke" in lines[2]
    forced = in_terminal([*FLAMEPY, "tasks", "first", "--json"], environment)
    assert len(json.loads(forced)) == 3


@pytest.mark.parametrize(
    ("words", "place", "offers"),
    [
        ("flamepy s", 1, {"sessions", "submit"}),
        ("flamepy tasks ", 2, {"first", "second"}),
        ("flamepy tasks f", 2, {"first"}),
        ("flamepy apps unregister rec", 3, {"recorded"}),
        ("flamepy completion z", 2, {"zsh"}),
        ("flamepy apps --endpoint 127.0.0.1:1 unregister ", 5, set()),
    ],
)
def test_a_shell_completes(cluster: Connection, words: str, place: int, offers: set[str]) -> None:
    done = subprocess.run(
        FLAMEPY,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "FLAME_ENDPOINT": cluster.endpoint,
            "_FLAMEPY_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(place),
        },
        check=False,
    )
    assert {line.partition(",")[2] for line in done.stdout.splitlines() if line} == offers
    assert not done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(flamepy: Any, shell: str) -> None:
    assert "_FLAMEPY_COMPLETE" in flamepy("completion", shell)
