"""``replay``: what was recorded of a real engine, played to an informer in a test."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.informers.informer import Informer
from flamepy.recording.playback import AS_FAST_AS_POSSIBLE, PlaybackReport, play
from flamepy.texts import repr_of


def replay(
    path: str | os.PathLike[str],
    *informers: Informer | Callable[[], Informer],
    speed: float | str = AS_FAST_AS_POSSIBLE,
    strict: bool = True,
    **options: Any,
) -> PlaybackReport:
    """Play a recording of ``flamepy record`` to informers, as a reactor would; then return.

    They get the events in the recorded order with the flags, keys and times that they had, on
    threads of their own, which have ended when this returns. No engine is needed, and no receivers
    of signals are called::

        def test_billing() -> None:
            billing = Billing()
            replay("tests/busy-day.flr", billing)
            assert billing.total == 1234

    Args:
        path: of the recording.
        informers: instances, or classes and functions that return one.
        speed: how much faster than it happened; ``"max"`` waits for nothing.
        strict: raise if a callback failed for good.
        **options: of ``Reactor.register``: ``application``, ``where``, ``retry``, ``workers`` ...

    Raises:
        AssertionError: a callback failed for good; informer, callback and error are named.
        ConfigError: the recording cannot be read, or a line of it is wrong.
        InvalidArgumentError: an argument is wrong.
    """
    if not informers:
        raise InvalidArgumentError("replay needs an informer to play to")
    made = [one if isinstance(one, Informer) else one() for one in informers]
    report = play(path, *made, speed=speed, **options)
    if strict and report.failures:
        lines = [
            f"{name}.{callback} failed: {repr_of(error)}"
            for name, callback, error in report.failures
        ]
        raise AssertionError("\n".join(lines)) from report.failures[0][2]
    return report
