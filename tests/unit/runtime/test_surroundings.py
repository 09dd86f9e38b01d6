"""Where threads were replaced by greenlets the first use says so; nothing waits for ever."""

from __future__ import annotations

import asyncio
import os
import queue
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from support.server_process import TESTS

from flamepy import aio
from flamepy.core import FlameService, connect, list_sessions
from flamepy.core.service import run
from flamepy.errors import InvalidStateError
from flamepy.informers import Reactor
from flamepy.local import LocalCluster
from flamepy.runtime.queues import SimpleQueue
from flamepy.runtime.surroundings import check_threads
from flamepy.testing import ChaosProxy, FakeEngine

NOBODY = "http://127.0.0.1:1"


def enter(made: object) -> None:
    with made:  # type: ignore[attr-defined]  # each is a context manager
        raise AssertionError("it began")


USES: dict[str, Callable[[], object]] = {
    "connect": lambda: connect(NOBODY, timeout=1),
    "module": list_sessions,
    "aio": lambda: asyncio.run(aio.connect(NOBODY, timeout=1)),
    "reactor": lambda: Reactor(endpoint=NOBODY, plugins=()).start(),
    "cluster": lambda: LocalCluster(executors=1).start(),
    "service": lambda: LocalCluster().register_service("a", FlameService),
    "run": lambda: run(SimpleNamespace(on_task_invoke=print)),  # type: ignore[arg-type]  # enough
    "engine": lambda: enter(FakeEngine()),
    "proxy": lambda: enter(ChaosProxy(NOBODY)),
}


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_the_first_use_of_anything_is_refused_where_threads_are_patched(
    library: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    patched = {
        "gevent.monkey": SimpleNamespace(is_module_patched=lambda name: name == "threading"),
        "eventlet.patcher": SimpleNamespace(is_monkey_patched=lambda name: name == "thread"),
    }
    name = next(one for one in patched if one.startswith(library))
    monkeypatch.setitem(sys.modules, name, patched[name])
    with pytest.raises(InvalidStateError, match=rf"{library} has patched.*\(thread=False"):
        use()


def test_libraries_that_patched_nothing_are_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(is_module_patched=bool, is_monkey_patched=bool)
    module.is_module_patched = module.is_monkey_patched = lambda name: False
    for name in ("gevent.monkey", "eventlet.patcher"):
        monkeypatch.setitem(sys.modules, name, module)
    check_threads()


def test_a_connection_made_before_the_patching_says_so_at_its_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeEngine() as engine, connect(engine.endpoint) as connection:
        with monkeypatch.context() as patching:
            module = SimpleNamespace(is_module_patched=lambda name: True)
            patching.setitem(sys.modules, "gevent.monkey", module)
            with pytest.raises(InvalidStateError, match="gevent has patched"):
                connection.list_sessions()
        assert connection.list_sessions() == []


def test_queues_between_threads_are_not_those_that_others_put_into_module_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert SimpleQueue is queue.SimpleQueue  # nobody has, here
    code = (
        "import queue; queue.SimpleQueue = None; "
        "import flamepy.runtime.queues as q; q.SimpleQueue()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
{patching}
from flamepy.core import FlameService, connect
from flamepy.informers import Reactor, TaskInformer
from flamepy.local import LocalCluster

class Echo(FlameService):
    def on_task_invoke(self, context):
        return context.input

with LocalCluster(executors=1, cache_port=None) as cluster:
    cluster.register_service("echo", Echo)
    with connect(cluster.endpoint) as connection:
        session = connection.create_session("echo")
        assert list(session.map([b"1", b"2"])) == [b"1", b"2"]
        assert session.run(b"x").result(20) == b"x"
        with Reactor(connection=connection, plugins=()) as reactor:
            reactor.register(TaskInformer()).wait_synced(20)
print("end")
"""
WORKING = {
    "gevent": "from gevent import monkey; monkey.patch_all(thread=False)",
    "eventlet": "import eventlet; eventlet.monkey_patch(thread=False)",
}


@pytest.mark.parametrize("library", WORKING)
def test_the_way_out_that_the_error_names_works(library: str) -> None:
    patching = WORKING[library] if find_spec(library) is not None else ""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(patching=patching)],
        env={**os.environ, "PYTHONPATH": TESTS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "end\n", done.stderr
