"""A service as an object of this process."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from support.loops import run
from support.made import made_session

from flamepy.core.service import FlameService, SessionContext, TaskContext
from flamepy.local.services.instance import BindFailure, TaskOutcome
from flamepy.local.services.threads import ThreadInstance
from flamepy.types import Application, ApplicationState

APPLICATION = Application("app", "app", ApplicationState.ENABLED, datetime.now(timezone.utc))


class Service(FlameService):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_session_enter(self, context: SessionContext) -> None:
        self.seen.append(context.session_id)

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        text = (context.input or b"").decode()
        if text == "fail":
            raise ValueError("no way")
        if text == "half":
            raise ValueError("name \udcff")
        if text == "leave":
            raise SystemExit(3)
        if text == "wrong":
            return "text"  # type: ignore[return-value]
        if text == "large":
            return b"x" * (4 * 1024 * 1024 + 1)
        return None if text == "none" else text.encode() + b"/" + self.seen[0].encode()

    def on_session_leave(self) -> None:
        self.seen.append("left")


def outcomes(source: object, *texts: str) -> list[TaskOutcome]:
    async def go() -> list[TaskOutcome]:
        one = ThreadInstance(source, "app")  # type: ignore[arg-type]
        try:
            await one.start()
            await one.enter(made_session("s9"), APPLICATION)
            done = [await one.invoke(TaskContext("1", "s9", text.encode())) for text in texts]
            await one.leave()
            return done
        finally:
            await one.stop()

    return run(go())


def test_a_class_is_made_once_per_executor_and_an_object_is_shared() -> None:
    assert outcomes(Service, "a") == [TaskOutcome(0, b"a/s9", None)]
    shared = Service()
    outcomes(shared, "a")
    assert shared.seen == ["s9", "left"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail", "no way"),
        ("half", "name \\udcff"),
        ("leave", "SystemExit: 3"),
        ("wrong", "on_task_invoke must return bytes or None, got str"),
        ("large", "the limit is: 4194304 bytes"),
    ],
)
def test_what_goes_wrong_fails_the_task_with_its_text(text: str, message: str) -> None:
    failed, after = outcomes(Service, text, "none")
    assert failed.return_code == -1
    assert message in (failed.message or "")
    assert after == TaskOutcome(0, None, None), "the next task runs"


def test_a_constructor_that_raises_is_a_bind_failure() -> None:
    class Broken(Service):
        def __init__(self) -> None:
            raise RuntimeError("not today")

    with pytest.raises(BindFailure, match="not today"):
        outcomes(Broken, "a")


class Only:
    """Has the one method that a service needs."""

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return (context.input or b"").upper()


def test_a_service_needs_no_method_but_on_task_invoke() -> None:
    assert outcomes(Only, "a") == [TaskOutcome(0, b"A", None)]


def test_a_factory_of_something_else_is_a_bind_failure() -> None:
    with pytest.raises(BindFailure, match="7 is not a service: it has no on_task_invoke"):
        outcomes(lambda: 7, "a")
