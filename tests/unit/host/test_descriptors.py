"""Descriptors 0 to 2 that somebody closed: the null device, and no abort of uvloop."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

FILL = """
import os, sys
before = os.stat("/dev/null").st_rdev
os.close({number})
from flamepy.host.descriptors import fill_standard
assert fill_standard() and fill_standard()
assert os.fstat({number}).st_rdev == before
assert os.get_inheritable({number})
os._exit(7)
"""
EMBEDDED = """
import os, sys
if {kind!r} == "asyncio":
    sys.modules["uvloop"] = None
from flamepy.core import FlameService, connect
from flamepy.informers import Reactor
from flamepy.local import LocalCluster

class Echo(FlameService):
    def on_task_invoke(self, context):
        return context.input

for number in range(3):
    os.close(number)
with LocalCluster(cache_port=None) as cluster:
    cluster.register_service("echo", Echo)
    with connect(cluster.endpoint) as connection, Reactor(connection=connection):
        right = connection.create_session("echo").invoke(b"x", timeout=20) == b"x"
from flamepy.runtime.loops import close_retired
close_retired()  # where uvloop closes its pipes
sys.exit(7 if right else 1)
"""


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_one_becomes_the_null_device(number: int) -> None:
    program = FILL.format(number=number)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_program_without_them_uses_everything(kind: str) -> None:
    """As a daemon that closes them before it starts its work."""
    if kind == "uvloop" and importlib.util.find_spec("uvloop") is None:
        pytest.skip("needs the extra speed")
    done = subprocess.run(
        [sys.executable, "-c", EMBEDDED.format(kind=kind)], timeout=60, check=False
    )
    assert done.returncode == 7


def test_streams_that_python_has_not_are_made() -> None:
    program = (
        "import sys\n"
        "from flamepy.host.descriptors import open_standard_streams\n"
        "assert sys.stdout is None and sys.stdin is None\n"
        "open_standard_streams()\n"
        "print('nobody reads this', flush=True)\n"
        "sys.exit(7 if sys.stdin.read() == '' else 1)\n"
    )
    line = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(line, check=False).returncode == 7
