"""Every example runs as its README says and prints what its README shows."""

from __future__ import annotations

import ast
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
BASE = {"flamepy", "grpc", "google"}  # what flamepy brings
ALONE = sorted(path.parent.name for path in EXAMPLES.glob("*/main.py"))


def expected(name: str) -> list[str]:
    text = (EXAMPLES / name / "README.md").read_text()
    shown = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert shown, f"{name}: the README shows no output"
    return shown.group(1).splitlines()


def run(*command: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def imported(path: Path) -> set[str]:
    try:
        nodes = list(ast.walk(ast.parse(path.read_text())))
    except SyntaxError:  # the census's own broken file
        return set()
    named = [one.name for node in nodes if isinstance(node, ast.Import) for one in node.names]
    named += [one.module or "" for one in nodes if isinstance(one, ast.ImportFrom)]
    return {name.partition(".")[0] for name in named}


@pytest.mark.parametrize("name", sorted(one.parent.name for one in EXAMPLES.glob("*/README.md")))
def test_its_readme_names_what_has_to_be_installed(name: str) -> None:
    files = list((EXAMPLES / name).rglob("*.py"))
    known = {*sys.stdlib_module_names, *BASE, *(one.stem for one in files)}
    others = set().union(*map(imported, files)) - known
    text = (EXAMPLES / name / "README.md").read_text()
    missing = {one for one in others if one not in text and one.replace("_", "-") not in text}
    assert sorted(missing) == []


@pytest.fixture
def cluster() -> Iterator[str]:
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1]
        process.terminate()


@pytest.mark.parametrize("name", [name for name in ALONE if name != "watch"])
def test_it_prints_what_its_readme_shows(name: str) -> None:
    assert run(str(EXAMPLES / name / "main.py")) == expected(name)


def test_a_watch_may_skip_a_state_but_not_the_last() -> None:
    printed, shown = run(str(EXAMPLES / "watch" / "main.py")), expected("watch")
    assert printed[-3:] == shown[-3:]
    rest = iter(shown)
    assert all(line in rest for line in printed)


def test_a_web_application_has_a_reactor_on_its_loop() -> None:
    assert run(str(EXAMPLES / "asyncio" / "web.py")) == expected("asyncio")


def test_a_test_with_pytest_asyncio_has_one() -> None:
    printed = run("-m", "pytest", "-q", str(EXAMPLES / "asyncio" / "test_ends.py"))
    assert printed[-1].startswith("1 passed")


NOTEBOOK = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
where = {"metadata": {"path": sys.argv[2]}}
nbclient.NotebookClient(notebook, timeout=60, resources=where).execute()
for cell in notebook.cells:
    for output in cell.outputs:
        print(output["text"], end="")
"""


def test_a_notebook_has_one_that_cells_share() -> None:
    folder = EXAMPLES / "asyncio"
    assert run("-c", NOTEBOOK, str(folder / "notebook.ipynb"), str(folder)) == ["144 SUCCEED"]


SHOWN = """
import os, nbclient, nbformat
cells = [
    "from flamepy.local import LocalCluster",
    "from flamepy.core import FlameService, TaskOutput",
    "class Double(FlameService):\\n"
    "    def on_session_enter(self, context): pass\\n"
    "    def on_task_invoke(self, context): return context.input * 2\\n"
    "    def on_session_leave(self): pass",
    "cluster = LocalCluster()",
    "cluster.register_service('double', Double)",
    "_ = cluster.start()",
    "from flamepy.core import connect",
    "connection = connect(cluster.endpoint)",
    "session = connection.create_session('double')",
    "outputs = list(session.map([b'a', b'b', b'c'], progress=True))",
    "session.refresh()",
    "session.get_task('1')",
    "connection",
    "session.close(); connection.close(); cluster.stop()",
]
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
nbclient.NotebookClient(notebook, timeout=60).execute()
for cell in notebook.cells:
    for output in cell.outputs:
        print(" ".join(output["data"]["text/html"].split()))
"""


def test_a_notebook_shows_a_bar_and_small_tables() -> None:
    bar, session, task, connection = run("-c", SHOWN)
    assert 'value="3" max="3"' in bar
    assert "3 of 3 tasks ended, 0 failed" in bar
    assert "3 succeeded" in session
    assert "2 bytes" in task
    assert "connected" in connection


def test_the_byte_service_and_its_client(cluster: str) -> None:
    client = str(EXAMPLES / "byte_service" / "client.py")
    for _ in range(2):  # the second time the application is there already
        assert run(client, FLAME_ENDPOINT=cluster) == expected("byte_service")


def test_the_census_counts_what_a_direct_count_counts(tmp_path: Path) -> None:
    client = str(EXAMPLES / "stdlib_census" / "client.py")
    printed = run(client, "--limit", "40")
    assert printed[-1] == "the totals are equal"
    assert any("broken.py (this example's own): SyntaxError" in line for line in printed)
    assert any("40/40 ended, 0 running" in line for line in printed)


def census_in_terminal(*arguments: str, keys: bytes = b"", after: bytes = b"") -> tuple[int, bytes]:
    """Run it in a terminal, type once a text was shown; return its status and what it wrote."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    command = [sys.executable, str(EXAMPLES / "stdlib_census" / "client.py"), *arguments]
    written, typed = b"", not keys

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that its keys send signals

    with subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=own_terminal,
        env={**os.environ, "TERM": "xterm-256color"},
    ) as process:
        os.close(follower)
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


def test_the_census_moves_on_a_terminal_and_says_what_to_try_next() -> None:
    status, written = census_in_terminal("--limit", "40")
    text = written.decode()
    assert status == 0, text
    for shown in ("40/40", "informer Progress", "SyntaxError", "the totals are equal", "Try next"):
        assert shown in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back


def test_an_interrupted_census_leaves_a_tidy_screen() -> None:
    status, written = census_in_terminal("--limit", "900", keys=b"\x03", after=b" succeed")
    text = written.decode()
    assert (status, text.splitlines()[-1]) == (130, "interrupted"), text[-2000:]
    assert "Traceback" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_the_census_runs_against_a_given_cluster(cluster: str) -> None:
    client = str(EXAMPLES / "stdlib_census" / "client.py")
    printed = run(client, "--limit", "20", "--endpoint", cluster)
    assert printed[-1] == "the totals are equal"
    assert any(line.startswith(f"connected to {cluster}") for line in printed)


def test_examples_are_short_and_explained() -> None:
    for folder in EXAMPLES.iterdir():
        if folder.is_dir() and any(folder.glob("*.py")):
            text = (folder / "README.md").read_text()
            for part in ("**What.**", "**Run.**", "**Expected output.**"):
                assert part in text, f"{folder.name}: {part}"
            if folder.name != "stdlib_census":
                lines = [len(path.read_text().splitlines()) for path in folder.glob("*.py")]
                assert max(lines) < 80
