"""Runners, typed services and sandboxes on any engine: docs/runner.md, docs/services.md.

An engine that is given needs ``--flame-cache-endpoint`` as well, and the Python of this process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.conftest import WholeCluster
from support.waiting import eventually

from flamepy.core import (
    get_application,
    list_sessions,
    register_application,
    short_name,
    unregister_application,
)
from flamepy.errors import SessionRetryLimitError, TaskFailedError
from flamepy.runner import Runner, get_data
from flamepy.service import Session
from flamepy.tools import Sandbox, SandboxAttr
from flamepy.types import ApplicationAttributes, ApplicationState

TYPED = str(Path(__file__).parent.parent / "support" / "typed_service.py")
VERSION = "{}.{}".format(*sys.version_info)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def here(
    whole_cluster: WholeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> WholeCluster:
    """Work in an empty folder, on the cluster."""
    monkeypatch.setenv("FLAME_ENDPOINT", whole_cluster.endpoint)
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", whole_cluster.cache_endpoint)
    monkeypatch.delenv("FLAME_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return whole_cluster


@pytest.fixture
def runner(here: WholeCluster) -> Iterator[Runner]:
    """Yield a runner; afterwards nothing of it is left."""
    name = short_name("contract-runner")
    with Runner(name, python_version=None if here.own else VERSION) as made:
        yield made
    if (left := get_application(name)) is not None:  # engines after 0.6 remove it a moment later
        assert left.state is ApplicationState.DISABLED
        eventually(lambda: get_application(name) is None, "the application to be removed")
    assert not [one.id for one in list_sessions() if one.application == name]


@pytest.fixture
def typed(here: WholeCluster) -> Iterator[str]:
    """Yield an application of a typed service."""
    name = short_name("contract-typed")
    register_application(name, ApplicationAttributes(command=sys.executable, arguments=[TYPED]))
    yield name
    unregister_application(name)


def test_functions_are_called_mapped_and_chained(runner: Runner) -> None:
    def square(number: int) -> int:
        return number * number

    service = runner.service(square)
    futures = [service(number) for number in range(4)]
    assert runner.get(futures, timeout=120) == [0, 1, 4, 9]
    assert service(futures[3]).get(timeout=60) == 81
    assert list(service.map(range(20))) == [number * number for number in range(20)]
    assert get_data(futures[2].ref().encode())["result"] == 4


def test_an_instance_keeps_its_state_but_not_that_of_a_failed_call(runner: Runner) -> None:
    class Counter:
        def __init__(self) -> None:
            self.value = 2

        def add(self, number: int) -> int:
            self.value += number
            if number < 0:
                raise ValueError("only up")
            return self.value

    counter: Any = runner.service(Counter())
    assert counter.add(4).get(timeout=120) == 6
    with pytest.raises(TaskFailedError, match="only up"):
        counter.add(-1).get(timeout=60)
    assert counter.add(1).get(timeout=60) == 7


def test_large_arguments_and_results_go_through_the_cache(runner: Runner) -> None:
    large = b"x" * (5 << 20)  # more than a message holds
    doubled = runner.service(lambda data: data + data)(large)
    assert doubled.get(timeout=120) == large + large
    assert runner.service(len)(doubled).get(timeout=60) == 2 * len(large)


def test_an_object_that_cannot_be_loaded_ends_the_wait_with_the_reason(runner: Runner) -> None:
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("cannot be made")

        def call(self) -> None:
            """Never comes to be called."""

    service: Any = runner.service(Broken)
    with pytest.raises(SessionRetryLimitError, match="cannot be made"):
        service.call().get(timeout=200)


def test_a_typed_service_answers_with_objects_and_keeps_a_context(typed: str) -> None:
    with Session(typed, ctx=1) as session:
        assert session.invoke([1, "a"], timeout=120) == [1, "a"]
        assert session.invoke("count", timeout=60) == 2
        assert session.context() == 2
        assert list(session.map(range(10))) == list(range(10))
        with pytest.raises(TaskFailedError, match="as asked"):
            session.invoke("fail", timeout=60)


def test_a_sandbox_runs_scripts() -> None:
    with Sandbox.create(SandboxAttr("shell", runtime="sh")) as sandbox:
        output = sandbox.submit_code("cat; echo", b"given").result(timeout=120)
        assert output.data == b"given\n"
        assert output.exit_code in (0, None)  # an engine of 0.6 does not say it
