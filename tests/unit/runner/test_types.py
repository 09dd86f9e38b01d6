"""What a runner and its service say: each kind of object has its own rules, and a guard."""

from __future__ import annotations

import functools
import pickle
import sys
from typing import Any

import cloudpickle
import pytest

from flamepy.runner.guard import _EXPRESSION
from flamepy.runner.types import RunnerContext, RunnerRequest, SessionContext


class Counter:
    def add(self, number: int) -> int:
        return number


class Callable(Counter):
    def __call__(self) -> int:
        return 1


STATELESS = [len, lambda: 1, functools.partial(len), Callable(), Counter]


@pytest.mark.parametrize("given", STATELESS, ids=lambda one: type(one).__name__)
class TestStateless:
    def test_it_scales_by_default(self, given: Any) -> None:
        context = RunnerContext(given)
        assert (context.stateful, context.autoscale) == (False, True)
        assert (context.min_instances, context.max_instances) == (0, None)

    @pytest.mark.parametrize(("warmup", "kept"), [(0, 1), (1, 1), (3, 3)])
    def test_fixed_is_what_is_warm(self, given: Any, warmup: int, kept: int) -> None:
        context = RunnerContext(given, autoscale=False, warmup=warmup)
        assert (context.min_instances, context.max_instances) == (kept, kept)

    def test_state_is_refused(self, given: Any) -> None:
        with pytest.raises(ValueError, match="always stateless"):
            RunnerContext(given, stateful=True)


class TestInstance:
    def test_it_has_state_and_one_executor(self) -> None:
        context = RunnerContext(Counter(), warmup=1)
        assert (context.stateful, context.autoscale) == (True, False)
        assert (context.min_instances, context.max_instances) == (1, 1)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"stateful": False}, "always stateful"),
            ({"autoscale": True}, "always fixed"),
            ({"warmup": 2}, "warmup=0 or warmup=1"),
            ({"warmup": -1}, "non-negative"),
        ],
    )
    def test_what_it_does_not_have_is_refused(self, options: Any, text: str) -> None:
        with pytest.raises(ValueError, match=text):
            RunnerContext(Counter(), **options)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SessionContext(session_id=1), "session_id must be a string"),  # type: ignore[arg-type]
        (lambda: SessionContext(session_id=""), "cannot be empty"),
        (lambda: SessionContext(session_id="x" * 129), "129 chars, max 128"),
        (lambda: SessionContext(application_name=1), "application_name must be"),  # type: ignore[arg-type]
        (lambda: RunnerRequest(method=1), "method must be"),  # type: ignore[arg-type]
        (lambda: RunnerRequest(args="ab"), "args must be"),
        (lambda: RunnerRequest(kwargs=[]), "kwargs must be"),  # type: ignore[arg-type]
    ],
)
def test_bad_values_are_refused(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


class TestGuard:
    def test_a_guarded_context_loads_under_this_python(self) -> None:
        data = cloudpickle.dumps(RunnerContext(lambda: 7).guarded())
        assert pickle.loads(data).execution_object() == 7

    def test_it_comes_before_the_object_and_refuses_another_python(self) -> None:
        class Trap:
            def __reduce__(self) -> Any:
                return pytest.fail, ("the object was loaded before the guard",)

        data = cloudpickle.dumps(RunnerContext(Trap()).guarded())
        name = "{}.{}".format(*sys.version_info)
        theirs = data.replace(
            f"({sys.version_info[0]}, {sys.version_info[1]})".encode(),
            f"({sys.version_info[0]}, {sys.version_info[1] % 10})".encode().ljust(
                len(f"({sys.version_info[0]}, {sys.version_info[1]})")
            ),
        )
        with pytest.raises(RuntimeError, match=f"made by Python {name}, this service runs"):
            pickle.loads(theirs)

    def test_its_expression_has_no_names_but_builtins(self) -> None:
        code = compile(_EXPRESSION.format(version=(3, 11), name="3.11"), "guard", "eval")
        assert set(code.co_names) <= {"__import__"}

    def test_what_both_sides_import_is_not_guarded(self) -> None:
        assert b"version_info" not in cloudpickle.dumps(RunnerContext(len))
