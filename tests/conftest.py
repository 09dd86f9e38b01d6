"""Every test: warnings are errors, a time limit, and no thread, process or folder left behind."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.cluster_process import ClusterProcess
from support.toolchains import left_out
from support.waiting import eventually

from flamepy.local import LocalCluster
from flamepy.runtime.log_relay import flush
from flamepy.testing import FakeEngine

GRPC_POLLER = "_poll_wrapper"  # one per process, kept by gRPC as long as it has an asyncio object
# Dummy: how Python knows a thread of Arrow Flight's server that has run a handler of ours once.
FOREIGN = ("asyncio_", "ThreadPoolExecutor", "pytest_timeout", "Dummy-")


# A busy machine makes examples slow; no test is about time.
settings.register_profile("flamepy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flamepy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--flame-endpoint",
        default=None,
        metavar="URL",
        help="also run the contract tests against the Flame cluster at this endpoint",
    )
    parser.addoption(
        "--flame-cache-endpoint",
        default=None,
        metavar="URL",
        help="also run the contract tests against the object cache at this endpoint",
    )
    parser.addoption(
        "--flame-dialect",
        default="0.6",
        choices=["0.6", "next"],
        help="what clusters and fake engines speak where a test does not say it",
    )


def heed_signals() -> None:
    """Undo what ``nohup``, or ``&`` in a script, had ignored: programs of tests inherit it."""
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_configure(config: pytest.Config) -> None:
    heed_signals()
    for kind in (LocalCluster, FakeEngine):
        kind.__init__.__kwdefaults__["dialect"] = config.getoption("--flame-dialect")
    ClusterProcess.dialect = config.getoption("--flame-dialect")


def golden_folder() -> Path | None:
    """Return the folder of the recordings, or None in a clone without them."""
    named = os.environ.get("FLAME_GOLDEN")
    return Path(named) if named and Path(named).is_dir() else None


def pytest_report_header(config: pytest.Config) -> list[str]:
    folder = golden_folder()
    golden = (
        "golden: FLAME_GOLDEN names no folder of recordings; the replay tests are left out"
        if folder is None
        else f"golden: recordings of {folder.name}"
    )
    missing = left_out()
    return [golden] if missing is None else [golden, missing]


def threads() -> set[threading.Thread]:
    return {
        one
        for one in threading.enumerate()
        if GRPC_POLLER not in one.name and not one.name.startswith(FOREIGN)
    }


def children() -> set[int]:
    """Return the process ids of this process's children (Linux; elsewhere the empty set)."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(map(int, path.read_text().split()))
        except OSError:
            continue  # a thread that ended meanwhile
    return found


def folders() -> set[str]:
    return {str(one) for one in Path(tempfile.gettempdir()).glob("flame-*")}


@pytest.fixture(autouse=True, scope="session")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give this run a temporary folder of its own: other runs may leave and remove theirs.

    It has a short name: paths of Unix sockets are limited.
    """
    tmp_path_factory.getbasetemp()  # stays where pytest keeps the last ones
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    made = tempfile.mkdtemp(prefix="ft-")
    tempfile.tempdir = os.environ["TMPDIR"] = made
    yield
    tempfile.tempdir = before[0]
    os.environ.pop("TMPDIR") if before[1] is None else os.environ.update(TMPDIR=before[1])
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def loops_closed() -> Iterator[None]:
    """Close the retired loops before pytest looks for what was never closed."""
    yield
    from flamepy.runtime.loops import close_retired

    close_retired()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half characters that a test has logged: reports go through pipes as UTF-8."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which a thread, a child process or a temporary folder of ours is left."""
    before = threads(), children(), folders()
    yield
    from flamepy.rpc.implicit import reset_implicit_link

    reset_implicit_link()
    for look, had, what in zip(
        (threads, children, folders), before, ("thread", "process", "folder"), strict=True
    ):
        eventually(
            lambda look=look, had=had: look() <= had,
            f"no {what} left by {request.node.name}: {look() - had}",
            limit=6.0,
        )


class _Captured(pytest.LogCaptureFixture):
    """What was logged, records of loops included: they are handled on a thread of their own."""

    @property
    def records(self) -> list[logging.LogRecord]:
        flush(10.0)
        return super().records

    @property
    def text(self) -> str:
        flush(10.0)
        return super().text

    @property
    def messages(self) -> list[str]:
        flush(10.0)
        return super().messages

    @property
    def record_tuples(self) -> list[tuple[str, int, str]]:
        flush(10.0)
        return super().record_tuples

    def clear(self) -> None:
        flush(10.0)
        super().clear()


@pytest.fixture
def caplog(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Wait for the records of loops before what was captured is looked at."""
    caplog.__class__ = _Captured
    return caplog


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No FLAME_* variable and an empty home folder."""
    for name in list(os.environ):
        if name.startswith("FLAME_") and name != "FLAME_GOLDEN":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
