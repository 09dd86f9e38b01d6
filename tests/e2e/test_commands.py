"""Every command that shows something: in 80 columns, a pipe, a closed pipe, no terminal."""

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

import pytest

from flamepy.core import ApplicationAttributes, Connection, connect
from flamepy.local import LocalCluster

SERVICE = str(Path(__file__).parent.parent / "support" / "recorded_service.py")
FLAMEPY = [sys.executable, "-m", "flamepy"]
SESSION = "a-session-with-a-long-name"
COMMANDS = (
    ("apps",),
    ("sessions",),
    ("tasks", SESSION),
    ("nodes",),
    ("describe", "session", SESSION),
    ("describe", "task", SESSION, "2"),
    ("describe", "app", "recorded"),
    ("submit", "recorded", "echo hi", "--count", "2", "--wait"),
    ("doctor",),
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with (
        LocalCluster(executors=2, cache_port=None) as cluster,
        connect(cluster.endpoint) as made,
    ):
        spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        made.register_application("recorded", spec)
        session = made.create_session("recorded", session_id=SESSION)
        session.invoke(b"echo hi", timeout=60)
        text = "fail it \x1b[31mbroke " + "and again " * 50
        session.run(text.encode()).exception(60)
        yield made


def environment(connection: Connection, **more: str) -> dict[str, str]:
    plain = {name: one for name, one in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**plain, "FLAME_ENDPOINT": connection.endpoint, **more}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_in_80_columns_no_line_is_wider_and_nothing_moves_the_cursor(
    connection: Connection, words: tuple[str, ...]
) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*FLAMEPY, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment(connection, COLUMNS="80", TERM="xterm"),
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the other side is closed
            while piece := os.read(ours, 65536):
                shown += piece
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert process.wait(30) == 0, said
    os.close(ours)
    lines = COLOUR.sub("", shown.decode()).split("\r\n")
    assert any(lines)
    if words[0] != "doctor":  # one line a check, which the terminal folds
        assert [line for line in lines if len(line) > 80] == []
    assert "\x1b" not in "".join(lines)
    assert b"\x1b[31mbroke" not in shown, "an error text coloured the terminal"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_pipe_gets_text_for_programs_and_no_colour(
    connection: Connection, words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        [*FLAMEPY, *words],
        capture_output=True,
        env=environment(connection),
        text=True,
        timeout=60,
        check=True,
    )
    assert "\x1b" not in done.stdout + done.stderr
    if words[0] in ("submit", "doctor"):
        assert done.stdout
    else:
        assert json.loads(done.stdout)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_is_gone_is_no_traceback(
    connection: Connection, words: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*FLAMEPY, *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(connection),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    assert done.returncode in (0, 1)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_a_terminal_and_without_a_home(
    connection: Connection, words: tuple[str, ...], tmp_path: Path
) -> None:
    """As cron or a container starts it: no controlling terminal, no input, no home."""
    done = subprocess.run(
        [*FLAMEPY, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**environment(connection), "HOME": str(tmp_path / "nowhere"), "TERM": "dumb"},
        start_new_session=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_word_is_completed(connection: Connection, shell: str) -> None:
    """What a shell asks for, as the script of ``flamepy completion`` does it."""

    def complete(*words: str) -> str:
        done = subprocess.run(
            FLAMEPY,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=environment(
                connection,
                _FLAMEPY_COMPLETE=f"{shell}_complete",
                COMP_WORDS=" ".join(["flamepy", *words]),
                COMP_CWORD=str(len(words)) if shell != "fish" else words[-1],
            ),
        )
        return done.stdout

    assert "sessions" in complete("sess")
    assert "close" in complete("sessions", "cl")
    assert SESSION in complete("sessions", "close", "a-s")
    assert SESSION in complete("tasks", "a-s")
    assert "recorded" in complete("submit", "rec")
    assert "recorded" in complete("describe", "app", "rec")
    assert "yaml" in complete("sessions", "-o", "y")
    assert "--cancel-pending" in complete("sessions", "close", "--can")


def test_completion_scripts_are_printed() -> None:
    for shell, has in (("bash", "complete"), ("zsh", "compdef"), ("fish", "complete --no-files")):
        done = subprocess.run(
            [*FLAMEPY, "completion", shell], capture_output=True, text=True, check=True
        )
        assert has in done.stdout
        assert "_FLAMEPY_COMPLETE" in done.stdout
