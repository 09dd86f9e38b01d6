"""``flamepy top`` in a real terminal, without one, and without the package that draws it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from flamepy.testing import FakeEngine

COMMAND = [sys.executable, "-m", "flamepy", "top"]
ALTERNATE, BACK = b"\x1b[?1049h", b"\x1b[?1049l"


def in_terminal(*arguments: str, keys: bytes, after: bytes, **variables: str) -> tuple[int, bytes]:
    """Run it in a terminal, type once a text was shown; return its status and what it wrote."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        written, typed = b"", False
        try:
            while True:
                written += os.read(leader, 65536)
                if not typed and after in written:
                    os.write(leader, keys)
                    typed = True
        except OSError:  # its end has closed the terminal
            pass
        finally:
            os.close(leader)
        return process.wait(30), written


@pytest.mark.parametrize("colour", [True, False])
def test_it_shows_sessions_and_leaves_the_screen_as_it_was(
    fake_engine: FakeEngine, colour: bool
) -> None:
    fake_engine.add_session("night-shift")
    given = {} if colour else {"NO_COLOR": "1"}
    status, written = in_terminal(
        "--endpoint", fake_engine.endpoint, keys=b"q", after=b"night-shift", **given
    )
    assert status == 0, written[-500:]
    assert ALTERNATE in written
    assert BACK in written


def test_an_engine_that_is_not_there_is_one_line() -> None:
    status, written = in_terminal(
        "--endpoint", "http://127.0.0.1:1", keys=b"", after=b"", FLAME_ENDPOINT=""
    )
    assert status == 1
    assert written.startswith(b"flamepy top: ")
    assert ALTERNATE not in written


def test_a_pipe_is_told_what_to_use() -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "flamepy top: this needs a terminal; "
        "in a pipe, `flamepy sessions` lists the sessions once, `flamepy sessions --watch` prints "
        "those that change, and `flamepy watch` every change\n"
    )


def test_without_textual_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "textual.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'textual'\", name='textual')\n"
    )
    status, written = in_terminal(keys=b"", after=b"", PYTHONPATH=str(tmp_path))
    assert status == 2
    assert b'pip install "flamepy-informers[top]"' in written
