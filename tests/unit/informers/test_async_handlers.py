"""The shared loop of coroutine callbacks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import pytest

from flamepy.informers.async_handlers import AsyncCalls
from flamepy.informers.joining import waits_for_us


def test_who_waits_is_noted_before_the_coroutine_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, begun = threading.current_thread(), threading.Event()
    waited: list[bool] = []
    submit = asyncio.run_coroutine_threadsafe

    def slowly(
        coroutine: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop
    ) -> Future[object]:
        future = submit(coroutine, loop)
        begun.wait(10)
        return future

    async def callback() -> None:
        waited.append(waits_for_us(owner))
        begun.set()

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", slowly)
    calls = AsyncCalls()
    calls.run(callback())
    calls.close()
    assert waited == [True]
