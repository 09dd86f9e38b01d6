"""A service as a process: well-behaved, misbehaving, dying, and always gone at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support.loops import run
from support.made import made_session

from flamepy.local.folders import Folders
from flamepy.local.services.environment import launch
from flamepy.local.services.instance import BindFailure, TaskNotBegun, TaskOutcome
from flamepy.local.services.process import ProcessInstance
from flamepy.local.services.reaper import Reaper
from flamepy.types import Application, ApplicationState, Dialect, TaskContext

SERVICE = str(Path(__file__).parents[3] / "support" / "recorded_service.py")


def application(command: str, *arguments: str, folder: str | None = None) -> Application:
    return Application(
        "app",
        "app",
        ApplicationState.ENABLED,
        datetime.now(timezone.utc),
        command=command,
        arguments=arguments,
        working_directory=folder,
    )


def instance(
    made: Application,
    root: Path,
    *,
    bind_timeout: float = 20.0,
    grace: float = 2.0,
    dialect: Dialect = Dialect.OLD,
):
    plan = launch(
        made,
        "12345678-1234-1234-1234-123456789012",
        root=root,
        sockets=root,
        endpoint="http://127.0.0.1:1",
        cache_endpoint=None,
        environ=os.environ,
        dialect=dialect,
    )
    return ProcessInstance(
        plan,
        bind_timeout=bind_timeout,
        reaper=Reaper(Folders(root, root)),
        grace=grace,
        dialect=dialect,
    )


def with_service(
    made: Application,
    root: Path,
    act: Callable[[ProcessInstance], Awaitable[object]],
    **more: Any,
) -> object:
    async def go() -> object:
        one = instance(made, root, **more)
        try:
            await one.start()
            await one.enter(made_session(), made)
            return await act(one)
        finally:
            await one.stop()

    return run(go())


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("r")  # short: a socket's path is limited


async def said_of(one: ProcessInstance, task: str) -> str | None:
    """Return what is said of a task that is not run."""
    try:
        return (await one.invoke(TaskContext(task, "s1", b"echo x"))).message
    except TaskNotBegun as error:
        return str(error)


def invoke(text: str) -> Callable[[ProcessInstance], Awaitable[TaskOutcome]]:
    return lambda one: one.invoke(TaskContext("1", "s1", text.encode()))


def script(root: Path, text: str) -> Application:
    path = root / "script.py"
    path.write_text(text)
    return application(sys.executable, str(path))


def refusal(made: Application, root: Path, **more: float) -> BindFailure:
    with pytest.raises(BindFailure) as caught:
        with_service(made, root, invoke("echo x"), **more)
    return caught.value


GOOD = application(sys.executable, SERVICE)


class TestCalls:
    def test_a_task_goes_there_and_back(self, root: Path) -> None:
        assert with_service(GOOD, root, invoke("echo hi")) == TaskOutcome(0, b"hi", None)

    def test_an_exception_is_the_services_own_text(self, root: Path) -> None:
        assert with_service(GOOD, root, invoke("fail no way")) == TaskOutcome(-1, None, "no way")

    def test_a_result_over_the_engines_limit_fails_with_its_text(self, root: Path) -> None:
        outcome = with_service(GOOD, root, invoke(f"size {4 * 1024 * 1024 + 1}"))
        assert isinstance(outcome, TaskOutcome)
        assert outcome.message is not None
        assert "the limit is: 4194304 bytes" in outcome.message

    def test_a_leave_behind_tasks_is_answered(
        self, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def act(one: ProcessInstance) -> None:
            await one.invoke(TaskContext("1", "s1", b"echo x"))
            await one.leave()

        with_service(GOOD, root, act)
        assert "on_session_leave" not in caplog.text

    def test_tasks_go_on_behind_a_disconnection(self, root: Path) -> None:
        """As around a fork of the cluster's process."""

        async def act(one: ProcessInstance) -> list[bytes | None]:
            first = await one.invoke(TaskContext("1", "s1", b"echo a"))
            await one.disconnect()
            second = await one.invoke(TaskContext("2", "s1", b"echo b"))
            return [first.output, second.output]

        assert with_service(GOOD, root, act) == [b"a", b"b"]

    def test_the_authority_of_calls_is_a_host_name(self, root: Path) -> None:
        """As an executor manager's; strict servers (Rust's) refuse the path of a socket."""
        made = script(
            root,
            "import os, socket\n"
            "server = socket.socket(socket.AF_UNIX)\n"
            "server.bind(os.environ['FLAME_INSTANCE_ENDPOINT'])\n"
            "server.listen()\n"
            "peer = server.accept()[0]\n"
            "peer.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))  # its settings\n"
            "heard = b''\n"
            "while b'OnSessionEnter' not in heard:\n"
            "    heard += peer.recv(65536)\n"
            f"open({str(root / 'heard')!r}, 'wb').write(heard)\n",
        )
        refusal(made, root)  # it ends without an answer
        heard = (root / "heard").read_bytes()
        assert b"localhost" in heard
        assert b".sock" not in heard

    def test_nothing_is_left_of_it(self, root: Path) -> None:
        with_service(GOOD, root, invoke("echo x"))
        assert not list((root / "work").iterdir())
        assert not list(root.glob("*.sock"))

    def test_a_given_folder_stays_and_keeps_the_logs(self, root: Path, tmp_path: Path) -> None:
        made = application(sys.executable, SERVICE, folder=str(tmp_path))
        assert with_service(made, root, invoke("cwd")).output == str(tmp_path).encode()
        assert sorted(one.suffix for one in tmp_path.iterdir()) == [".err", ".out"]


class TestDeath:
    def test_a_task_whose_process_exits_is_told_the_status(self, root: Path) -> None:
        outcome = with_service(GOOD, root, invoke("exit 3"))
        assert (outcome.return_code, outcome.output) == (-1, None)
        assert "exited with status 3" in outcome.message

    def test_a_task_whose_process_is_killed_is_told_the_signal(self, root: Path) -> None:
        text = (
            "import os, signal\n"
            "from flamepy.core.service import FlameService, run\n"
            "class S(FlameService):\n"
            "    def on_task_invoke(self, context):\n"
            "        print('last words', file=__import__('sys').stderr, flush=True)\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n"
            "run(S())\n"
        )
        outcome = with_service(script(root, text), root, invoke("x"))
        assert "killed by signal 9 (SIGKILL)" in outcome.message
        assert "last words" in outcome.message

    def test_a_task_right_behind_the_death_is_told_how_it_ended(self, root: Path) -> None:
        """GRPC calls a stream's end of a moment ago an internal error of its own."""

        async def act(one: ProcessInstance) -> set[str | None]:
            pid = int((await one.invoke(TaskContext("1", "s1", b"pid"))).output or b"0")
            os.kill(pid, signal.SIGKILL)
            return {await said_of(one, str(number)) for number in range(3)}

        for _ in range(5):
            (told,) = with_service(GOOD, root, act)
            assert "was killed by signal 9 (SIGKILL)" in told

    def test_a_dead_process_is_not_alive(self, root: Path) -> None:
        async def act(one: ProcessInstance) -> tuple[bool, bool]:
            before = one.alive
            await one.invoke(TaskContext("1", "s1", b"exit 0"))
            return before, one.alive

        assert with_service(GOOD, root, act) == (True, False)

    def test_what_it_leaves_in_its_group_ends_with_it(self, root: Path) -> None:
        made = script(
            root,
            "import subprocess, sys\n"
            "child = subprocess.Popen(['sleep', '600'])\n"
            "sys.exit(f'left {child.pid}')\n",
        )

        async def go() -> None:
            one = instance(made, root)
            with pytest.raises(BindFailure) as caught:
                await one.start()
            child = int(caught.value.detail.rpartition("left ")[2])
            while not gone(child):  # long before somebody lets go of the executor
                await asyncio.sleep(0.01)
            await one.stop()

        run(go(), limit=20)


class TestBinding:
    def test_a_command_that_does_not_exist(self, root: Path) -> None:
        failure = refusal(application("/no/such/command"), root)
        assert failure.return_code == 11
        assert failure.detail == (
            "shim creation failed: failed to start service by command </no/such/command>: "
            "No such file or directory (os error 2)"
        )

    def test_an_application_without_a_command(self, root: Path) -> None:
        assert "failed to start service by command <>" in refusal(application(""), root).detail

    def test_a_process_that_ends_before_it_serves(self, root: Path) -> None:
        made = script(root, "import sys; sys.exit('no configuration')")
        failure = refusal(made, root)
        assert failure.detail.endswith(
            "exited with status 1 before it opened its socket; the end of its stderr: "
            "no configuration"
        )

    def test_a_process_that_never_opens_its_socket(self, root: Path) -> None:
        made = script(
            root,
            "import sys, threading\n"
            "print('still looking', file=sys.stderr, flush=True)\n"
            "threading.Event().wait()\n",
        )
        failure = refusal(made, root, bind_timeout=1.0)
        assert "did not open its socket within 1 s" in failure.detail
        assert "still looking" in failure.detail

    def test_on_session_enter_that_raises(self, root: Path) -> None:
        text = (
            "from flamepy.core.service import FlameService, run\n"
            "class S(FlameService):\n"
            "    def on_session_enter(self, context):\n"
            "        raise RuntimeError('no way')\n"
            "run(S())\n"
        )
        failure = refusal(script(root, text), root)
        assert (failure.return_code, failure.detail) == (12, "on_session_enter failed: no way")


class TestStop:
    def test_a_process_that_ignores_sigterm_is_killed_with_its_children(self, root: Path) -> None:
        text = (
            "import os, signal, subprocess, sys\n"
            "from flamepy.core.service import FlameService, run\n"
            "class S(FlameService):\n"
            "    def on_task_invoke(self, context):\n"
            "        signal.signal(signal.SIGTERM, signal.SIG_IGN) if False else None\n"
            "        code = 'import threading; threading.Event().wait()'\n"
            "        child = subprocess.Popen([sys.executable, '-c', code])\n"
            "        return str(child.pid).encode()\n"
            "signal.signal = lambda *a: None\n"
            "run(S())\n"
        )
        outcome = with_service(script(root, text), root, invoke("x"), grace=0.2)
        child = int(outcome.output)
        from support.waiting import eventually

        eventually(lambda: gone(child), "the service's child to end")

    def test_a_stop_that_is_cancelled_leaves_no_process_all_the_same(self, root: Path) -> None:
        """As a cluster does whose time to stop is over; the process would take an hour."""
        text = (
            "import signal\n"
            "from flamepy.core.service import FlameService, run\n"
            "class S(FlameService):\n"
            "    def on_task_invoke(self, context): return b'x'\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "signal.signal = lambda *a: None\n"
            "run(S())\n"
        )

        async def cut(one: ProcessInstance) -> int:
            assert one._child is not None
            stopping = asyncio.ensure_future(one.stop())
            await asyncio.sleep(0.2)
            assert not stopping.done()
            stopping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await stopping
            return one._child.pid

        process = with_service(script(root, text), root, cut, grace=3600.0)
        assert not Path(f"/proc/{process}").exists(), "it is there, or not reaped"
        assert not list(root.glob("**/*.sock"))


def gone(process: int) -> bool:
    """Return True once a process has ended, also while nobody has reaped it yet."""
    try:
        return "(zombie)" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


def test_a_service_is_asked_in_the_shape_of_its_cluster(root: Path) -> None:
    """Executors after 0.6 read other messages: an output is lost where only one side has them."""

    async def act(service: ProcessInstance) -> None:
        service._close_stream()  # then tasks come by calls
        assert await service.invoke(TaskContext("1", "s1", b"echo x")) == TaskOutcome(0, b"x")
        failed = await service.invoke(TaskContext("2", "s1", b"fail why"))
        assert (failed.return_code, failed.message) == (-1, "why")
        await service.leave()

    with_service(application(sys.executable, SERVICE), root, act, dialect=Dialect.NEXT)
