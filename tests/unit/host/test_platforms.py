"""What a platform lacks is met where it is needed, by an error of ours, not at an import."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import flamepy
from flamepy.errors import ConfigError
from flamepy.host import platforms

MODULES = ("fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty")
ATTRIBUTES = {
    "os": (
        *("fork", "forkpty", "register_at_fork", "pidfd_open", "waitid", "wait3", "wait4"),
        *("getuid", "geteuid", "getgid", "getegid", "getgroups", "setuid", "chown", "fchown"),
        *("killpg", "getpgid", "setpgid", "getpgrp", "setsid", "getsid", "nice", "sysconf"),
        *("O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "WNOHANG", "P_PIDFD"),
        *("uname", "getloadavg", "sched_getaffinity", "mkfifo", "statvfs", "posix_spawn"),
    ),
    "signal": (
        *("SIGHUP", "SIGKILL", "SIGCHLD", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGSTOP"),
        *("SIGCONT", "SIGQUIT", "pthread_sigmask", "setitimer", "sigwait", "pidfd_send_signal"),
    ),
    "socket": ("AF_UNIX", "SO_REUSEPORT", "SO_PEERCRED", "MSG_DONTWAIT", "CMSG_LEN"),
}
# The libraries of others come first: they are not what is tried here.
PRELUDE = """
import asyncio, concurrent.futures, functools, importlib, logging, multiprocessing, os
import shutil, signal, socket, sqlite3, ssl, subprocess, sys, tempfile, threading
import blinker, click, cloudpickle, grpc, grpc.aio, jsonschema, pytest, rich.table, tenacity, yaml
import google.protobuf.descriptor_pool
for name in ("bson", "pyarrow.flight", "uvloop"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass

socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)  # as a platform's own

class Without:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {modules!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

for name in {modules!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Without)
for module, names in {attributes!r}.items():
    for name in names:
        if hasattr(sys.modules[module], name):
            delattr(sys.modules[module], name)
"""
LEFT_OUT = (
    *("flamepy.__main__", "flamepy.local.services.reaper_main"),  # run, not imported
    "flamepy.cli.top.app",  # textual asks the platform itself, not whether it has a function
)
EVERYTHING = [
    one.name
    for one in pkgutil.walk_packages(flamepy.__path__, "flamepy.")
    if one.name not in LEFT_OUT
]
HIDDEN = {
    "modules": (MODULES, {}),
    "attributes": ((), ATTRIBUTES),
    "both": (MODULES, ATTRIBUTES),
}


def run_without(what: str, program: str) -> str:
    modules, attributes = HIDDEN[what]
    prelude = PRELUDE.format(modules=modules, attributes=attributes)
    done = subprocess.run(
        [sys.executable, "-c", prelude + program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("what", HIDDEN)
def test_every_module_can_be_imported(what: str) -> None:
    program = (
        "failed = {}\n"
        f"for name in {EVERYTHING!r}:\n"
        "    try:\n"
        "        importlib.import_module(name)\n"
        "    except Exception as error:\n"
        "        failed[name] = repr(error)\n"
        "print(failed)\n"
    )
    assert run_without(what, program) == "{}\n"


USED = """
from flamepy import connect
from flamepy.informers import Reactor
from flamepy.testing import FakeEngine, RecordingInformer, ScriptedConnection
from flamepy.core import FlameService
from flamepy.errors import ConfigError
from flamepy.local import LocalCluster
from flamepy.types import ApplicationAttributes

class Echo(FlameService):
    def on_task_invoke(self, context):
        return context.input

with FakeEngine() as engine, connect(engine.endpoint) as connection:
    with Reactor(connection=connection, plugins=()) as reactor:
        seen = RecordingInformer()
        engine.add_session("s")
        task = engine.add_task("s")
        reactor.register(seen).wait_synced(10)
        engine.succeed("s", task)
        seen.wait_for(lambda seen: seen.terminal(), 10)
        print("informed")

def refused(act):
    try:
        act()
    except ConfigError as error:
        print(error.message)

folder = tempfile.mkdtemp()
address = "http://127.0.0.1:1"
refused(lambda: Reactor(endpoint=address, plugins=(), checkpoint=folder + "/c.db").start())
refused(lambda: LocalCluster(data=folder + "/data", cache_port=None).start())
with LocalCluster(executors=1, cache_port=None) as cluster, connect(cluster.endpoint) as connection:
    cluster.register_service("echo", Echo)
    print(connection.create_session("echo").invoke(b"hi", timeout=20))
    connection.register_application("process", ApplicationAttributes(command=sys.executable))
    session = connection.create_session("process")
    session.run(b"x")
    deadline = threading.Event()
    while not (events := session.refresh().events) and not deadline.wait(0.05):
        pass
    print(events[0].message)
shutil.rmtree(folder)
"""


def test_what_works_works_and_the_rest_is_refused_by_name_with_a_way_out() -> None:
    informed, checkpoint, data, echoed, process = run_without("both", USED).splitlines()
    assert (informed, echoed) == ("informed", "b'hi'")
    assert "c.db needs fcntl.flock, which Python does not have" in checkpoint
    assert "leave checkpoint= out" in checkpoint
    assert "data needs fcntl.flock, os.geteuid" in data
    assert "leave data= out" in data
    assert "a service process needs socket.AF_UNIX, os.killpg, signal.SIGKILL" in process
    assert "use LocalCluster.register_service" in process


def test_what_is_there_is_found_and_what_is_not_is_named() -> None:
    assert platforms.missing("os.getpid", "os.nothing", "no_such_module.x") == [
        "os.nothing",
        "no_such_module.x",
    ]
    platforms.require("x", "os.getpid", instead="y")
    assert platforms.without("os.getpid") is None
    with pytest.raises(ConfigError, match=r"^x needs os\.nothing, which .*: y "):
        platforms.require("x", "os.nothing", instead="y")
