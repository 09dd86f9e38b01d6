"""``flamepy check-service`` against services that do well and services that do not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from support.loops import run
from support.waiting import eventually

from flamepy.cli.checks.findings import Finding, Verdict
from flamepy.cli.checks.service_examination import Wanted, absolute, examine

ROOT = Path(__file__).parents[4]
GOOD = str(ROOT / "examples" / "services" / "python" / "service.py")
MISBEHAVING = str(ROOT / "tests" / "support" / "misbehaving_service.py")
pytestmark = pytest.mark.timeout(180)


def examined(
    *arguments: str,
    timeout: float = 20.0,
    bind_timeout: float = 20.0,
    until: Callable[[Finding], bool] = lambda finding: False,
) -> list[Finding]:
    """Return the findings, up to the first for which ``until`` is true."""
    wanted = Wanted((sys.executable, *arguments), timeout=timeout, bind_timeout=bind_timeout)
    found = []

    async def look() -> None:
        async with aclosing(examine(wanted)) as findings:
            async for finding in findings:
                found.append(finding)
                if until(finding):
                    return

    run(look())
    return found


def failed(finding: Finding) -> bool:
    return finding.verdict is Verdict.FAILED


def about(check: str) -> Callable[[Finding], bool]:
    return lambda finding: finding.check == check


def check_service(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flamepy", "check-service", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_good_service_passes_every_check() -> None:
    done = check_service(sys.executable, GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    checks = {line[5:19].strip() for line in lines}
    assert checks == {
        *("start", "enter", "task", "task stream", "no input", "0 bytes", "large input"),
        *("and after", "leave", "end", "children", "logs", "bare session", "bare leave"),
        *("early task", "second enter", "SIGTERM", "old socket"),
    }


def test_json_has_the_verdict_and_every_finding() -> None:
    options = ("--bind-timeout", "20", "--json")
    done = check_service(*options, sys.executable, "-c", "print('x'); raise SystemExit(3)")
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (1, False)
    assert found["command"][0] == sys.executable
    first = found["findings"][0]
    assert set(first) == {"check", "verdict", "says", "advice"}
    assert (first["check"], first["verdict"]) == ("start", "FAILED")
    assert "exited with status 3" in first["says"]


def test_options_behind_the_command_belong_to_it() -> None:
    shows = "import sys; raise SystemExit(' '.join(sys.argv[1:]))"
    done = check_service(sys.executable, "-c", shows, "--timeout", "x", "--json", "--own")
    assert "its stderr: --timeout x --json --own before" in done.stdout
    assert check_service("--own", sys.executable, "-c", shows).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_the_middle_leaves_no_service(number: int, tmp_path: Path) -> None:
    wait = f"import os, threading; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))"
    program = f"{wait}; threading.Event().wait()"
    command = [sys.executable, "-m", "flamepy", "check-service", sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        pid = int(eventually(lambda: read(tmp_path / "pid"), "the service to start"))
        process.send_signal(number)
        process.wait(30)
    eventually(lambda: not exists(pid), "the service to end")


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_input_and_common_data_are_given_and_the_input_has_to_succeed() -> None:
    done = check_service("--input", "fail so", "--common-data", "x", sys.executable, GOOD)
    assert done.returncode == 1
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failures
    assert all("'so'; it was to succeed with --input" in line for line in failures)


@pytest.mark.parametrize(
    ("mode", "check", "says"),
    [
        ("exit-at-once", "start", r"exited with status 3.*no licence"),
        ("signal-at-once", "start", "killed by signal 11"),
        ("enter-exit", "enter", r"exited with status 4.*dying in enter"),
        ("enter-abort", "enter", "refused: gRPC status INTERNAL: no seat"),
        ("exit-at-3", "0 bytes", r"exited with status 5.*enough"),
        ("garbage", "task", "the answer is no TaskResult"),
        ("large", "task", "the output has 5242880 bytes"),
        ("small-inputs", "large input", "3.938 MiB is refused: gRPC status RESOURCE_EXHAUSTED"),
        ("no-leave", "leave", "OnSessionLeave is not served"),
        ("leave-error", "leave", "'cannot leave'"),
        ("leave-exit", "leave", "exited with status 0"),
        ("ignores-sigterm", "end", "SIGTERM does not end it"),
        ("early-task-exit", "early task", "a task before the session: .*exited with status 6"),
        ("second-enter-exit", "second enter", "another session's start: .*exited with status 6"),
    ],
)
def test_what_breaks_tasks_or_sessions_is_a_failure(mode: str, check: str, says: str) -> None:
    last = examined(MISBEHAVING, mode, until=failed)[-1]
    assert (last.verdict, last.check) == (Verdict.FAILED, check)
    assert re.search(says, last.says, re.DOTALL), last.says


@pytest.mark.parametrize(
    ("mode", "check", "says"),
    [
        ("code-without-text", "task", "fails with return_code 7 and no message"),
        ("abort", "task", "gRPC status RESOURCE_EXHAUSTED: no memory"),
        ("behaves", "large input", "64 MiB is refused"),
        ("flood", "logs", "more than 8 MiB"),
        ("keeps-old-socket", "old socket", "address in use"),
    ],
)
def test_what_costs_a_user_a_good_text_is_a_warning(mode: str, check: str, says: str) -> None:
    warned = [
        one
        for one in examined(
            MISBEHAVING, mode, until=lambda one: about(check)(one) and says in one.says
        )
        if one.verdict is Verdict.WARNING
    ]
    assert (warned[-1].check, says in warned[-1].says) == (check, True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_children_that_leave_the_group_are_named_and_ended() -> None:
    last = examined(MISBEHAVING, "escaped-child", until=about("children"))[-1]
    assert last.verdict is Verdict.FAILED
    pid = int(last.says.partition("group: ")[2].split()[0])
    assert not Path(f"/proc/{pid}/exe").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_children_that_ignore_sigterm_are_named() -> None:
    script = (
        "import signal, subprocess, sys\n"
        "from flamepy.core import FlameService, run\n"
        "hold = 'trap \"\" TERM; sleep 300 & wait; sleep 300'\n"
        "subprocess.Popen(['sh', '-c', hold])\n"
        "class Parent(FlameService):\n"
        "    def on_task_invoke(self, context): return context.input\n"
        "run(Parent())\n"
    )
    last = examined("-c", script, until=about("children"))[-1]
    assert last.verdict is Verdict.WARNING
    assert "(sh)" in last.says


def test_it_ends_by_itself_and_that_is_well() -> None:
    found = examined(MISBEHAVING, "ends-after-leave")
    assert next(one for one in found if one.check == "end").says.startswith("it ends by itself")
    assert not [one for one in found if one.verdict is Verdict.FAILED]


def test_a_session_may_need_common_data() -> None:
    bare = examined(MISBEHAVING, "needs-data", until=about("bare session"))[-1]
    assert (bare.verdict, "'which table?'" in bare.says) == (Verdict.OK, True)


def test_a_socket_that_never_opens_and_a_call_without_an_answer_have_limits() -> None:
    found = examined(MISBEHAVING, "never-binds", bind_timeout=1.5)
    assert "no socket within 1.5 s at the path of FLAME_INSTANCE_ENDPOINT" in found[0].says
    assert found[-1].says == "not tried: it needs a start and a session"
    found = examined(MISBEHAVING, "socket-is-a-file", bind_timeout=6.0)
    assert "no gRPC server answers at its socket within 6 s" in found[0].says
    last = examined(MISBEHAVING, "task-hang", timeout=0.3, until=failed)[-1]
    assert (last.check, last.says) == ("task", "no answer within 0.3 s")


def test_files_of_this_folder_are_found_and_said(tmp_path: Path) -> None:
    (tmp_path / "service.py").touch()
    words, hint = absolute(("sh", "service.py", "-x", "other.py"), tmp_path)
    assert words[1:] == (str(tmp_path / "service.py"), "-x", "other.py")
    assert hint is not None
    assert "found in this folder: service.py" in hint.says
    assert absolute(("./go", "x"), tmp_path)[0] == (str(tmp_path / "go"), "x")
    assert absolute(("/bin/sh", "-c"), tmp_path) == (("/bin/sh", "-c"), None)
