"""``check_reconciler`` lets good reconcilers pass and names what is wrong with the others."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.informers import ReconcileContext, Reconciler, Result, TaskInformer, TemporaryError
from flamepy.testing import check_reconciler
from flamepy.testing.key_situations import KEY_SITUATIONS


class Good(Reconciler):
    """Reads what is there, and bears that it is not."""

    def reconcile(self, key: str, ctx: ReconcileContext) -> Result | None:
        session = ctx.sessions.get(key)
        if session is None:
            return None
        return Result(requeue_after=60) if session.counts.pending else None


class Async(Reconciler):
    """The same, as coroutines, of tasks."""

    def keys(self, event: Any) -> Any:
        return [event.application, event.session_id]

    async def reconcile(self, key: str, ctx: ReconcileContext) -> None:
        ctx.applications.get(key)


class Trying(Reconciler):
    """Fails at first, and asks to be run again."""

    def reconcile(self, key: str, ctx: ReconcileContext) -> None:
        if not ctx.failures:
            raise TemporaryError("not yet", delay=0.001)


@pytest.mark.parametrize("make", [Good, Async, Trying])
def test_good_ones_pass(make: type[Reconciler]) -> None:
    report = check_reconciler(make)
    assert report.ok, report
    assert report.called["reconcile"] > 0
    assert {one.name for one in report.situations} > set(KEY_SITUATIONS)


def test_one_that_does_not_bear_a_vanished_session_is_found() -> None:
    class Naive(Reconciler):
        def reconcile(self, key: str, ctx: ReconcileContext) -> None:
            ctx.sessions.get(key).counts  # type: ignore[union-attr]  # that is the mistake  # noqa: B018

    with pytest.raises(AssertionError, match="keys that vanished: reconcile raised AttributeError"):
        check_reconciler(Naive, situations=["keys that vanished"])


def test_one_that_keeps_a_state_that_two_workers_share_is_found() -> None:
    class Sharing(Reconciler):
        inside: str | None = None

        def reconcile(self, key: str, ctx: ReconcileContext) -> None:
            if self.inside is not None:
                raise RuntimeError(f"{self.inside} runs")
            self.inside = key
            threading.Event().wait(0.02)
            self.inside = None

    with pytest.raises(AssertionError, match="four workers: reconcile raised RuntimeError"):
        check_reconciler(Sharing, situations=["four workers"])


def test_keys_that_raise_are_found() -> None:
    class Wrong(Reconciler):
        def keys(self, event: Any) -> Any:
            return event.task.id

        def reconcile(self, key: str, ctx: ReconcileContext) -> None:
            pass

    with pytest.raises(AssertionError, match="keys raised AttributeError"):
        check_reconciler(Wrong, situations=["a session's life"])


def test_a_run_that_hangs_is_found() -> None:
    class Hanging(Reconciler):
        def reconcile(self, key: str, ctx: ReconcileContext) -> None:
            ctx.stopping.wait(60)

    with pytest.raises(AssertionError, match=r"reconcile ran for|reconcile hangs"):
        check_reconciler(Hanging, limit=0.1, situations=["a task's life"])


def test_an_informer_is_not_a_reconciler() -> None:
    with pytest.raises(InvalidArgumentError, match="check_informer is for informers"):
        check_reconciler(TaskInformer)  # type: ignore[arg-type]  # that is the test


def test_a_key_that_waits_for_another_run_may_be_dropped_by_a_stop() -> None:
    class Waiting(Reconciler):
        def reconcile(self, key: str, ctx: ReconcileContext) -> None:
            raise TemporaryError("not yet", delay=60.0)

    assert check_reconciler(Waiting, situations=["keys that vanished"]).ok
