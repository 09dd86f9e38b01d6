"""``flamepy.runner`` and ``flamepy.tools`` on an embedded cluster with nothing else installed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.waiting import eventually

from flamepy.core import (
    connect,
    delete_objects,
    get_application,
    get_object,
    list_applications,
    list_sessions,
    open_session,
    register_application,
    unregister_application,
)
from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InvalidArgumentError,
    InvalidStateError,
    SessionRetryLimitError,
    TaskFailedError,
)
from flamepy.informers import TaskInformer
from flamepy.local import LocalCluster
from flamepy.runner import Runner, SessionContext, get_data, progress
from flamepy.tools import Sandbox, SandboxAttr
from flamepy.types import ApplicationAttributes

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster() as running:
        yield running


@pytest.fixture(autouse=True)
def here(cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, on the cluster, without an engine's installation."""
    monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoint)
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cluster.cache_endpoint or "")
    monkeypatch.delenv("FLAME_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert [one.name for one in list_applications()] == ["flmexec", "flmping", "flmrun"]


def counter_of(value: int) -> Any:
    class Counter:  # here, so that it travels by value
        def __init__(self) -> None:
            self.value = value

        def add(self, number: int = 1) -> int:
            self.value += number
            return self.value

        def fail(self) -> None:
            self.value = 100
            raise ValueError("not so")

        label = "no method"

    return Counter()


class TestRunner:
    def test_calls_of_functions_in_every_form(self) -> None:
        with Runner("calls") as runner:
            service = runner.service(lambda x, *, plus=0: x + plus)
            assert service.session_id.startswith("calls-lambda-")
            futures = [service(n, plus=10) for n in range(20)]
            assert runner.get(futures) == [n + 10 for n in range(20)]
            assert sorted(one.get() for one in runner.select(futures)) == [
                n + 10 for n in range(20)
            ]
            assert not concurrent.futures.wait(futures, timeout=60).not_done
            assert futures[0].result() == 10
            assert futures[0].exception() is None
            assert service(futures[0], plus=futures[1]).get() == 21
            assert get_object(futures[0].ref()) == 10
            assert get_data(service(1).ref().encode())["result"] == 1
            assert get_object(futures[1].ref()) == 11
            assert futures[1].ref() == futures[1].ref()
            runner.wait(futures, progress=True)

    def test_an_instance_keeps_its_state_and_a_failed_call_does_not_change_it(self) -> None:
        with Runner("state") as runner:
            counter: Any = runner.service(counter_of(2))
            assert counter.session_id.startswith("state-Counter-")
            assert counter.add(4).get() == 6
            with pytest.raises(TaskFailedError, match=r"not so(.|\n)*Remote traceback(.|\n)*fail"):
                counter.fail().get()
            assert counter.add().get() == 7
            assert not hasattr(counter, "label")
            with pytest.raises(TypeError, match="is not callable"):
                counter(1)

    def test_nested_futures_large_values_coroutines_and_generators(self) -> None:
        async def later(x: int) -> int:
            return x + 1

        def several(n: int) -> Iterator[int]:
            yield from range(n)

        with Runner("values") as runner:
            coroutine = runner.service(later)
            assert runner.service(sum)([coroutine(1), coroutine(2)]).get() == 5
            assert runner.service(several)(3).get() == [0, 1, 2]
            big = np.ones(1_000_000)
            assert runner.service(lambda a, b: float(a.sum()) + b)(big, b=1).get() == 1_000_001
            ones = runner.service(np.ones)(100_000)
            assert ones.get().nbytes == 800_000
            assert runner.service(np.sum)(ones).get() == 100_000
            shared = runner.put_object({"x": 1})
            assert runner.service(lambda d: d["x"])(shared).get() == 1

    def test_code_of_the_folder_runs_also_when_it_was_edited(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(here))
        for version in ("one", "two two"):
            (here / "edited.py").write_text(f"def name():\n    return {version!r}\n")
            importlib.invalidate_caches()
            sys.modules.pop("edited", None)
            module = importlib.import_module("edited")
            with Runner("edited") as runner:
                assert runner.service(module.name)().get() == version
        sys.modules.pop("edited", None)
        assert sorted(one.name for one in here.iterdir() if one.name != "__pycache__") == [
            "edited.py"
        ]

    def test_an_application_of_other_code_is_used_with_a_warning(
        self, here: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (here / "edited.py").write_text("def name():\n    return 1\n")
        with Runner("left"):
            with Runner("left") as same:
                assert same.service(len)([1]).get() == 1
            assert "of its package" not in caplog.text
            (here / "edited.py").write_text("def name():\n    return 2\n")
            Runner("left").close()
        assert "not of the working directory as it is now (left-" in caplog.text
        assert "flamepy apps unregister left" in caplog.text

    def test_mistakes_name_the_value_and_the_way_out(self) -> None:
        with Runner("mistakes") as runner:
            same = runner.service(lambda x: x)
            one, lock = same(1), threading.Lock()
            with pytest.raises(InvalidArgumentError, match="argument 0 of the call, of lock, can"):
                same(lock)
            with pytest.raises(InvalidArgumentError, match="argument x of the call"):
                same(x=lock)
            with pytest.raises(InvalidArgumentError, match="object of the service, of partial, c"):
                runner.service(functools.partial(len, lock))
            with pytest.raises(InvalidArgumentError, match="or an instance, got None"):
                runner.service(None)
            with pytest.raises(ValueError, match="True, False or None, got 'no'"):
                runner.service(len, autoscale="no")  # type: ignore[arg-type]
            with pytest.raises(InvalidArgumentError, match="subclass of TaskInformer, got 3"):
                runner.service(len, informer=3)  # type: ignore[arg-type]
            with pytest.raises(InvalidArgumentError, match="subclass of TaskInformer, got 3"):
                Runner("mistakes", informer=3)  # type: ignore[arg-type]
            for takes in (runner.get, runner.ref, runner.wait, runner.select):
                with pytest.raises(InvalidArgumentError, match=r"of one call take future\.get"):
                    takes(one)  # type: ignore[arg-type]
                with pytest.raises(InvalidArgumentError, match="got 3 at position 1"):
                    takes([one, 3])  # type: ignore[list-item]
            with pytest.raises(AttributeError, match="call the service itself, or map"):
                same.method()
            counter = runner.service(counter_of(1))
            with pytest.raises(AttributeError, match="runs Counter: it has add, fail"):
                counter.subtract(1)
            assert not hasattr(counter, "__wrapped__")
            assert one.get() == 1

    def test_a_missing_module_is_named_with_the_way_out(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def needs() -> None:
            import not_installed_anywhere  # noqa: F401

        (here / "elsewhere.py").write_text("def name():\n    return 1\n")
        (here / "work").mkdir()
        monkeypatch.chdir(here / "work")
        monkeypatch.syspath_prepend(str(here))
        with Runner("missing") as runner:
            advice = r"No module named '{}': .* package.*working directory.*dependencies="
            with pytest.raises(TaskFailedError, match=advice.format("not_installed_anywhere")):
                runner.service(needs)().get(timeout=60)
            module = importlib.import_module("elsewhere")
            with pytest.raises(SessionRetryLimitError, match=advice.format("elsewhere")):
                runner.service(module.name)().get(timeout=60)
        sys.modules.pop("elsewhere", None)

    def test_a_second_service_with_one_session_id_is_refused(self) -> None:
        def first() -> int:
            return 1

        def second() -> int:
            return 2

        first._session_context = second._session_context = SessionContext("shared-id")  # type: ignore[attr-defined]
        with Runner("shared") as runner:
            assert runner.service(first)().get() == 1
            assert runner.service(first)().get() == 1
            with pytest.raises(InvalidStateError, match=r"runs .*first.*, not .*second"):
                runner.service(second)
            with connect() as connection:
                keys = [one.key for one in connection.objects.list()]
            # One context, and no result, as they are small: what was put in vain is gone.
            assert sum(key.startswith("shared/shared-id/") for key in keys) == 1

    def test_an_informer_receives_the_calls_of_its_service(self) -> None:
        class Notes(TaskInformer):
            def on_succeeded(self, event: Any) -> None:
                seen.append(event.task.id)
                payload = event.task.payload("input", allow_pickle=True)
                shown = event.to_dict()
                assert shown["session"].startswith("informed-abs-")
                calls.append((shown["application"], payload["args"]))

        seen: list[str] = []
        calls: list[tuple[str, tuple[int]]] = []
        with Runner("informed", informer=Notes()) as runner:
            service = runner.service(abs)
            runner.get([service(n) for n in (-1, -2)])
            eventually(lambda: len(seen) == 2, "two events")
            assert list(service.map([-3, -4])) == [3, 4]
            eventually(lambda: len(seen) == 4, "the events of a map")
            eventually(lambda: len(calls) == 4, "their payloads")
            assert sorted(calls) == [("informed", (number,)) for number in (-4, -3, -2, -1)]

    def test_map_makes_many_calls_in_order_with_a_bounded_window(self) -> None:
        read: list[int] = []

        def numbers() -> Iterator[int]:
            for number in range(40):
                read.append(number)
                yield number

        with Runner("mapped") as runner:
            service = runner.service(lambda x, y=0: 10 // x if y == "divide" else x + y)
            results = service.map(numbers(), window=8)
            assert next(results) == 0
            assert len(read) <= 9
            results.close()
            assert list(service.map(range(20), range(100, 200))) == [100 + 2 * n for n in range(20)]
            assert sorted(service.map(range(5), ordered=False)) == list(range(5))
            divided = service.map([5, 0, 2], ["divide"] * 3)
            assert next(divided) == 2
            with pytest.raises(TaskFailedError, match="Remote traceback"):
                next(divided)
            assert list(divided) == []
            found = list(service.map([5, 0, 2], ["divide"] * 3, return_exceptions=True))
            assert [found[0], found[2]] == [2, 5]
            assert isinstance(found[1], TaskFailedError)
            with pytest.raises(TypeError, match="one iterable or more"):
                service.map()

    def test_methods_map_and_an_object_s_own_names_win(self) -> None:
        class Mapper:
            def __init__(self) -> None:
                self.total = 0

            def add(self, number: int) -> int:
                """Add."""
                self.total += number
                return self.total

            def map(self) -> str:
                return "mine"

            def session_id(self) -> str:
                return "mine too"

        with Runner("methods") as runner:
            service: Any = runner.service(Mapper())
            assert list(service.add.map([1, 2, 3])) == [1, 3, 6]
            assert (service.add.__name__, service.add.__doc__) == ("add", "Add.")
            assert service.map().get() == "mine"
            assert service.session_id().get() == "mine too"

    def test_results_can_be_awaited(self) -> None:
        async def both(service: Any) -> list[int]:
            return list(await asyncio.gather(service(-1), service(-2)))

        with Runner("awaited") as runner:
            assert asyncio.run(both(runner.service(abs))) == [1, 2]

    def test_nested_calls_work_with_the_default_executors(self) -> None:
        """A call that waits for a call keeps its executor; there are enough for some."""

        def depth(left: int) -> int:
            from flamepy.runner import Runner

            if not left:
                return 0
            with Runner("nested") as runner:  # the application that is there already
                deeper: int = runner.service(depth)(left - 1).get(timeout=100)
                return deeper + 1

        with Runner("nested") as runner:
            assert runner.service(depth)(3).get(timeout=200) == 3

    def test_waits_have_limits(self) -> None:
        with Runner("slow") as runner:
            future = runner.service(lambda: __import__("threading").Event().wait(3))()
            with pytest.raises(DeadlineExceededError, match=r"had not ended within 0\.1 s"):
                future.get(timeout=0.1)
            with pytest.raises(DeadlineExceededError, match="1 of 1 calls"):
                runner.wait([future], timeout=0.1)


class TestCleanUp:
    def test_all_is_gone_after_close_also_sessions_of_an_application_that_stays(self) -> None:
        with Runner("outer") as outer:
            with Runner("outer") as inner:
                assert inner.service(abs)(-1).get() == 1
            assert get_application("outer") is not None
            assert all(one.state.name == "CLOSED" for one in list_sessions())
            with pytest.raises(FlameError, match="already exists"):
                Runner("outer", fail_if_exists=True)
            assert outer.service(abs)(-2).get() == 2

    def test_a_bad_name_leaves_nothing(self, here: Path) -> None:
        with pytest.raises(FlameError, match="name"):
            Runner("bad/name")
        assert list(here.iterdir()) == []

    def test_a_template_that_is_not_there_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        config = Path("flame.yaml").resolve()
        config.write_text(
            "current-context: a\ncontexts: [{name: a, runner: {template: nothing}}]\n"
        )
        monkeypatch.setenv("FLAME_CONFIG", str(config))
        with pytest.raises(FlameError, match="template application 'nothing' does not exist"):
            Runner("templated")

    def test_calls_that_run_are_waited_for_and_that_is_said(
        self, here: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def until(path: str) -> int:
            while not os.path.exists(path):
                threading.Event().wait(0.02)
            return 1

        def shown(steps: progress.Steps, text: str) -> None:
            said.append(text)
            if text.startswith("waiting"):
                (here / "go").write_text("")

        said: list[str] = []
        with Runner("waits") as runner:
            service = runner.service(until)
            future = service(str(here / "go"))
            session = open_session(service.session_id)
            eventually(lambda: session.refresh().running == 1)
            monkeypatch.setattr(progress.Steps, "show", shown)
        assert said == [f"waiting for the calls of {service.session_id} that run"]
        assert future.get(timeout=60) == 1

    def test_an_interrupted_close_says_what_stays(self, caplog: pytest.LogCaptureFixture) -> None:
        def interrupted() -> None:
            raise KeyboardInterrupt

        runner = Runner("interrupted")
        service = runner.service(len)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service, "close", interrupted)
            with pytest.raises(KeyboardInterrupt):
                runner.close()
        assert f"the sessions {service.session_id} stay" in caplog.text
        assert "flamepy apps unregister interrupted" in caplog.text
        service.close()
        unregister_application("interrupted")
        delete_objects("interrupted/*")


class TestPackages:
    def test_a_package_that_cannot_be_installed_ends_the_wait_and_says_why(
        self, here: Path
    ) -> None:
        (here / "broken.tar.gz").write_bytes(b"no archive")
        register_application(
            "broken",
            ApplicationAttributes(
                command="${FLAME_HOME}/bin/uv",
                arguments=["run", "--python", "python${FLAME_PYTHON_VERSION}", "python", "-V"],
                url=f"file://{here}/broken.tar.gz",
                installer="python",
            ),
        )
        from flamepy.core import create_session, unregister_application

        session = create_session("broken")
        with pytest.raises(
            SessionRetryLimitError, match=r"(?s)return_code <10>.*broken.tar.gz cannot be unpacked"
        ):
            session.invoke(b"")
        session.close()
        unregister_application("broken")

    def test_excludes_of_the_configuration_work_without_a_storage(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = here / "flame.yaml"
        config.write_text(
            "current-context: a\ncontexts: [{name: a, package: {excludes: [data/, '*.yaml']}}]\n"
        )
        monkeypatch.setenv("FLAME_CONFIG", str(config))
        (here / "data").mkdir()
        (here / "kept.txt").write_text("x")
        with Runner("excluding") as runner:
            files = runner.service(
                lambda: sorted(
                    __import__("os").listdir(__import__("os").environ["PYTHONPATH"].split(":")[1])
                )
            )
            assert files().get() == ["kept.txt", "pyproject.toml"]


class TestSandbox:
    def test_python(self) -> None:
        with Sandbox.create(SandboxAttr(" Python ")) as sandbox:
            out = sandbox.run_code("import sys; print(sys.stdin.read()[::-1]); sys.exit(3)", b"abc")
            assert (out.text(), out.exit_code) == ("cba\n", 3)
            assert sandbox.submit_code("print(1)").result(60).data == b"1\n"
            assert sandbox.run_code("import sys; sys.stdin.read()").data == b""
            with pytest.raises(TaskFailedError, match=r"did not end within 0\.5 s"):
                sandbox.run_code("while True: pass", timeout=0.5)
            assert len(sandbox.run_code("print('x' * 800_000)").data) == 800_001
            with pytest.raises(TaskFailedError, match="wrote 2000001 bytes to its standard output"):
                sandbox.run_code("print('x' * 2_000_000)")
            with Sandbox.open(sandbox.sandbox_id) as again:
                assert again.attr == SandboxAttr("python")

    def test_shell(self) -> None:
        with Sandbox.create(SandboxAttr("shell", runtime="/bin/sh")) as sandbox:
            out = sandbox.run_code("echo out; echo err >&2; exit 2")
            assert (out.data, out.stderr, out.exit_code) == (b"out\n", b"err\n", 2)

    @pytest.mark.parametrize(
        ("attr", "text"),
        [
            (SandboxAttr("perl"), "language must be 'python' or 'shell', got 'perl'"),
            ("python", "attr must be a SandboxAttr"),
        ],
    )
    def test_bad_attributes(self, attr: Any, text: str) -> None:
        with pytest.raises(FlameError, match=text):
            Sandbox.create(attr)

    def test_after_close(self) -> None:
        sandbox = Sandbox.create(SandboxAttr("shell"))
        sandbox.close()
        sandbox.close()
        with pytest.raises(FlameError, match="sandbox is closed"):
            sandbox.run_code("true")


def test_the_command_checks_a_cluster(cluster: LocalCluster) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flamepy.runner", "--json", "--tasks", "2"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(found) == [
        *("app_name", "chained_result", "function_results"),
        *("stateful_result", "template", "workdir"),
    ]
    assert (found["function_results"], found["chained_result"]) == ([0, 1], 13)
