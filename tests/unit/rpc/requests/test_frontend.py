"""What bounds a call that has no ``timeout=`` (docs/retry.md#time)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.made import made_session

from flamepy.rpc.requests.adoption import Claims
from flamepy.rpc.requests.frontend import Frontend
from flamepy.rpc.retry.call_limits import Terms
from flamepy.types import RetryPolicy, SessionInfo


class Channel:
    """No call of it is made."""

    endpoint = "http://x:1"
    calls = outcome = None


class Recording:
    """A retrier that keeps the terms and makes no call."""

    def __init__(self, found: list[Terms]) -> None:
        self.found = found

    async def run(self, name: str, terms: Terms, *others: Any) -> SessionInfo:
        self.found.append(terms)
        return made_session()


def terms_of(call: Callable[[Frontend], Awaitable[object]]) -> Terms:
    """Return the terms with which a call goes to the retrier."""
    found: list[Terms] = []

    async def main() -> None:
        retrier: Any = Recording(found)
        transport: Any = Channel()
        frontend = Frontend(transport, retrier, Claims(), RetryPolicy(), 120.0)
        await call(frontend)

    asyncio.run(main())
    (terms,) = found
    return terms


@pytest.mark.parametrize(
    ("call", "one_try"),
    [
        (lambda frontend: frontend.get_session("s"), 30.0),
        (lambda frontend: frontend.collect_tasks("s"), 300.0),
    ],
    ids=["an ordinary call", "a list of tasks"],
)
def test_a_try_has_its_time_beside_the_patience(
    call: Callable[[Frontend], Awaitable[object]], one_try: float
) -> None:
    terms = terms_of(call)
    assert (terms.one_try, terms.limit) == (one_try, one_try + 120.0)


def test_a_timeout_bounds_everything() -> None:
    terms = terms_of(lambda frontend: frontend.collect_tasks("s", timeout=7.0))
    assert (terms.one_try, terms.limit) == (7.0, 7.0)
