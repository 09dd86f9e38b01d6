"""``flamepy up``: the ready line, the errors, and an end that leaves nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.objects import client_of
from support.tls import Authority
from support.waiting import eventually

from flamepy.cli.demo import APPLICATION
from flamepy.core import ApplicationAttributes, connect
from flamepy.errors import ResourceExhaustedError, TaskFailedError
from flamepy.local import LocalCluster

SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
UP = [sys.executable, "-m", "flamepy", "up"]


@contextmanager
def up(
    folder: Path, *options: str, wrap: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run it with its temporary folders below ``folder``; give the process and its endpoint."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        [*wrap, *UP, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready: http://127.0.0.1:"), line
        try:
            yield process, line.split()[1]
        finally:
            if process.poll() is None:
                process.kill()


def fail(*options: str, status: int = 1) -> str:
    done = subprocess.run([*UP, *options], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == status
    assert not done.stdout
    return done.stderr.strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_everything_it_made(tmp_path: Path, number: int) -> None:
    with up(tmp_path) as (process, endpoint):
        with connect(endpoint) as connection:
            spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
            connection.register_application("app", spec)
            session = connection.create_session("app")
            service = int(session.invoke(b"pid", timeout=30) or b"0")
            session.run(b"sleep 60000")
            eventually(lambda: session.refresh().running, "a running task")
            assert list(tmp_path.iterdir())
            process.send_signal(number)
            out, log = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, "")
        assert "Traceback" not in log
        assert not list(tmp_path.iterdir()), "a folder is left"
        assert not Path(f"/proc/{service}").exists(), "the service is left"


def test_signals_that_come_together_end_it_in_order(tmp_path: Path) -> None:
    """As a service manager sends SIGTERM and SIGHUP, a terminal and a wrapper SIGINT each."""
    with up(tmp_path) as (process, _):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert not list(tmp_path.iterdir()), "a folder is left"


def test_a_hang_up_stays_ignored_where_it_was(tmp_path: Path) -> None:
    with up(tmp_path, wrap=["nohup"]) as (process, endpoint):
        process.send_signal(signal.SIGHUP)
        with connect(endpoint) as connection:
            assert connection.list_nodes()
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-", "<&- >&- 2>&-", "2>&-"])
def test_closed_standard_streams_are_like_the_null_device(tmp_path: Path, closed: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = f'exec "$@" {closed}'
    line = ["sh", "-c", script, "sh", *UP, "--cache-port", "0", "--port", str(port)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL) as process:
        with connect(f"http://127.0.0.1:{port}", patience=30) as connection:
            spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
            connection.register_application("app", spec)
            with connection.create_session("app") as session:
                assert session.invoke(b"echo x", timeout=30) == b"x"
        process.terminate()
        assert process.wait(20) == 0


SUBREAPER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: as process 1
os.execv(sys.argv[1], sys.argv[1:])
"""
ORPHANS = """
import subprocess
from flamepy.core import FlameService, run

class Service(FlameService):
    def on_task_invoke(self, context):
        orphans = "(setsid sh -c 'echo $$; sleep 0.1' &); sh -c 'echo $$; sleep 0.1' & exit 0"
        return subprocess.run(["sh", "-c", orphans], stdout=subprocess.PIPE).stdout

run(Service())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_what_services_leave_behind_is_collected(tmp_path: Path) -> None:
    program = tmp_path / "service.py"
    program.write_text(ORPHANS)
    with up(tmp_path, wrap=[sys.executable, "-c", SUBREAPER]) as (process, endpoint):
        with connect(endpoint) as connection:
            spec = ApplicationAttributes(command=sys.executable, arguments=[str(program)])
            connection.register_application("app", spec)
            with connection.create_session("app") as session:
                outputs = [future.result(30) for future in session.run_many([b""] * 5)]
                orphans = [int(one) for output in outputs for one in output.split()]
                assert len(orphans) == 10
                eventually(
                    lambda: not any(Path(f"/proc/{one}").exists() for one in orphans),
                    "the orphans to be collected while their service lives",
                )
        process.terminate()
        process.communicate(timeout=20)


def log_of_two_tasks(folder: Path, *options: str) -> list[str]:
    """Return what it logs while one task of a session succeeds and one fails."""
    with up(folder, "--executors", "1", *options) as (process, endpoint):
        with connect(endpoint) as connection:
            spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
            connection.register_application("app", spec)
            with connection.create_session("app", session_id="s") as session:
                session.invoke(b"echo hi", timeout=30)
                with pytest.raises(TaskFailedError):
                    session.invoke(b"fail no way", timeout=30)
        process.terminate()
        _, log = process.communicate(timeout=20)
    return log.splitlines()


def test_each_change_is_one_line_of_json_with_its_ids(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in log_of_two_tasks(tmp_path, "-v", "--log-format", "json")]
    assert {line["level"] for line in lines} == {"INFO"}
    assert all(datetime.fromisoformat(line["time"]).utcoffset() == timedelta() for line in lines)
    tasks = [line for line in lines if "task" in line]
    for number, end in (("1", "succeeded"), ("2", "failed")):
        said = [line["message"].split()[1] for line in tasks if line["task"] == number]
        assert said == ["pending", "running", end]
    assert {line["session"] for line in tasks} == {"s"}
    sessions = [line for line in lines if line.get("session") == "s" and "task" not in line]
    assert [line["message"].split()[1] for line in sessions if "executor" not in line] == [
        "open",
        "closed",
    ]


def test_lines_for_people_have_time_level_and_ids(tmp_path: Path) -> None:
    lines = log_of_two_tasks(tmp_path, "--verbose")
    stamp = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO flamepy\.(local|cli)\.")
    assert all(stamp.match(line) for line in lines), lines
    assert any(" task running session=s task=1 executor=" in line for line in lines), lines


def test_by_default_a_line_is_a_session_or_an_application(tmp_path: Path) -> None:
    lines = [json.loads(one) for one in log_of_two_tasks(tmp_path, "--log-format", "json")]
    assert [line["message"].partition("=")[0] for line in lines] == [
        "cluster ready endpoint",
        "application registered application",
        "session open session",
        "session closed session",
    ]


def test_the_demo_has_load_and_its_services_keep_logs(tmp_path: Path) -> None:
    with up(tmp_path, "--demo") as (process, endpoint):
        with connect(endpoint) as connection:
            assert [one.name for one in connection.list_applications() if one.name == APPLICATION]
            eventually(
                lambda: any(one.succeed and one.failed for one in connection.list_sessions()),
                "a task that succeeded and one that failed",
            )
            session = connection.list_sessions()[0].id
            written = flamepy("logs", session, endpoint=endpoint, folder=tmp_path).stdout
            assert re.search(r"^task 1: 5 bytes$", written, re.MULTILINE), written
            assert "ValueError: nothing to shout" in written
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert not list(tmp_path.iterdir()), "a file is left"


def flamepy(*words: str, endpoint: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TMPDIR": str(folder), "FLAME_ENDPOINT": endpoint}
    return subprocess.run(
        [sys.executable, "-m", "flamepy", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )


def test_a_terminal_gets_a_banner_short_lines_and_one_line_that_is_kept(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "80"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*UP, "--port", "0", "--data", str(tmp_path / "data")],
        stdout=theirs,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    try:
        shown = read_until(ours, b" pending")
        endpoint = re.search(rb"ready: (\S+)", shown)
        assert endpoint is not None, shown
        with connect(endpoint[1].decode()) as connection:
            spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
            connection.register_application("app", spec)
            with connection.create_session("app", session_id="s") as session:
                assert session.invoke(b"echo hi", timeout=30) == b"hi"
        shown += read_until(ours, b" 1 done")
        process.terminate()
        shown += read_until(ours, None)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(20)
        os.close(ours)
    text = shown.decode()
    assert f"data       {tmp_path}/data" in re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert f"export FLAME_ENDPOINT={endpoint[1].decode()}" in text
    assert re.search(r"\r\x1b\[K\d\d:\d\d:\d\d session open session=s application=app\r\n", text)
    assert "task running" not in text
    assert text.endswith("\r\x1b[K"), "the kept line is left"
    assert "Traceback" not in text


def read_until(terminal: int, text: bytes | None) -> bytes:
    """Read a terminal until a text comes; all that comes with None."""
    shown = b""
    with suppress(OSError):  # the other side is closed
        while text is None or text not in shown:
            ready, _, _ = select.select([terminal], [], [], 60.0)
            assert ready, f"not shown: {text!r}; {shown!r}"
            shown += os.read(terminal, 65536)
    return shown


def test_a_quiet_one_says_nothing_of_tasks(tmp_path: Path) -> None:
    assert log_of_two_tasks(tmp_path, "--quiet") == []


def test_a_folder_in_use_is_refused_with_the_process(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with up(tmp_path, "--data", str(data)) as (process, _):
        said = fail("--port", "0", "--data", str(data))
        assert said.startswith("flamepy up: ")
        assert str(process.pid) in said
        assert str(data) in said
        process.terminate()
        process.communicate(timeout=20)


def test_manifests_are_registered(tmp_path: Path) -> None:
    manifest = tmp_path / "app.yaml"
    manifest.write_text(
        f"metadata: {{name: app}}\nspec: {{command: {sys.executable}, arguments: [{SERVICE}]}}"
    )
    with up(tmp_path, "--app", str(manifest), "--executors", "1") as (process, endpoint):
        with connect(endpoint) as connection, connection.create_session("app") as session:
            assert session.invoke(b"echo hi", timeout=30) == b"hi"
        process.terminate()
        process.communicate(timeout=20)


def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = fail("--port", str(port))
    assert said.startswith(f"flamepy up: cannot listen on 127.0.0.1:{port}: ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--app", "/no/such.yaml"), "/no/such.yaml: cannot be read"),
        (("--app", "{folder}/broken.yaml"), "broken.yaml: this is not YAML"),
        (("--data", "{folder}/broken", "--port", "0"), "flame.db cannot be read as a database"),
        (("--host", "nothing.invalid", "--port", "0"), "cannot listen on nothing.invalid:0: "),
        (("--host", "nothing.invalid", "--port", "8123"), "nothing.invalid:8123: "),
        (("--host", "192.0.2.1", "--port", "8123", "--cache-port", "0"), "192.0.2.1:8123: "),
    ],
)
def test_a_mistake_is_one_line(options: tuple[str, ...], says: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [\n")
    damage_a_database(tmp_path / "broken")
    said = fail(*(option.format(folder=tmp_path) for option in options))
    assert says in said
    assert said.startswith("flamepy up: ")
    assert "\n" not in said


def damage_a_database(folder: Path) -> None:
    """Make one in which SQLite finds damage, which it tells in several lines."""
    with LocalCluster(data=folder):
        pass
    path = folder / "flame.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xaa" * (len(whole) - 8192))


@pytest.mark.parametrize(
    "options",
    [
        ("--executors", "0"),
        ("--port", "99999"),
        ("--max-sessions", "0"),
        ("--task-timeout", "0"),
        ("--bind-timeout", "-1"),
    ],
)
def test_a_number_out_of_range_names_the_option(options: tuple[str, str]) -> None:
    assert f"Invalid value for '{options[0]}'" in fail(*options, status=2)


def test_help_and_version() -> None:
    for arguments, shows in (
        (["--help"], "up"),
        (["up", "--help"], "--executors"),
        (["--version"], "0."),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "flamepy", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        assert shows in done.stdout


class TestCache:
    def ready(self, folder: Path, *options: str) -> Iterator[list[str]]:
        """Give the words of the ready line."""
        with subprocess.Popen(
            [*UP, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout.readline().split()
            finally:
                process.terminate()

    def test_the_ready_line_says_where_it_is(self, tmp_path: Path) -> None:
        for words in self.ready(tmp_path, "--port", "0"):
            assert (words[0], words[2], len(words)) == ("ready:", "cache:", 4)
            assert words[1].startswith("http://127.0.0.1:")
            with client_of(words[3]) as client:
                assert client.get(client.put("a/s", b"x")) == b"x"

    def test_its_port_and_its_memory_can_be_chosen(self, tmp_path: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        options = ("--port", "0", "--cache-port", port, "--cache-memory", "1M")
        for words in self.ready(tmp_path, *options):
            assert words[3] == f"grpc://127.0.0.1:{port}"
            with client_of(words[3]) as client:
                with pytest.raises(ResourceExhaustedError, match="memory of 1048576 bytes"):
                    client.put("a/s", bytes(3 << 20))
                assert client.get(client.put("a/s", b"x")) == b"x"

    def test_with_tls_it_has_tls(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        cert, key = (str(one) for one in authority.issue("server"))
        for words in self.ready(tmp_path, "--port", "0", "--tls-cert", cert, "--tls-key", key):
            assert words[1].startswith("https://")
            assert words[3].startswith("grpc+tls://")

    def test_a_port_that_was_chosen_and_is_taken_is_one_line(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            said = fail("--port", "0", "--cache-port", str(port))
        assert said.startswith(f"flamepy up: cannot listen on 127.0.0.1:{port}: ")
        assert len(said.splitlines()) == 1

    @pytest.mark.parametrize("size", ["x", "-1", "1.5G"])
    def test_a_bad_size_is_named(self, size: str) -> None:
        assert f"'{size}' is no number of bytes" in fail("--cache-memory", size, status=2)


def test_a_cluster_whose_log_nobody_reads_goes_on_and_ends_at_sigterm(tmp_path: Path) -> None:
    manifest = tmp_path / "echo.yaml"
    service = tmp_path / "service.py"
    service.write_text(
        "from flamepy.core import FlameService, run\n"
        "class Echo(FlameService):\n"
        "    def on_task_invoke(self, context):\n"
        "        return context.input\n"
        "run(Echo())\n"
    )
    spec = {"command": sys.executable, "arguments": [str(service)]}
    manifest.write_text(json.dumps({"metadata": {"name": "echo"}, "spec": spec}))
    arguments = ["-m", "flamepy", "up", "--port", "0", "--executors", "1", "--app", str(manifest)]
    unread, pipe = os.pipe()
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"\n" * 4096)  # full from the first line on
    os.set_blocking(pipe, True)
    command = [sys.executable, *arguments]
    up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=pipe, text=True)
    try:
        assert up.stdout is not None
        endpoint = up.stdout.readline().split()[1]
        with connect(endpoint) as connection:
            session = connection.create_session("echo")
            assert [session.invoke(b"x", timeout=30) for _ in range(20)] == [b"x"] * 20
        up.terminate()
        assert up.wait(30) == 0
    finally:
        up.kill()
        up.wait(30)
        up.stdout.close()
        os.close(unread)
        os.close(pipe)
