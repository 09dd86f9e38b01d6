"""``Starting``: ``informer.start()``, tried again until it works; its events wait for that.

An informer whose file or connection could not be opened would fail with each event. ``dispatch``
runs this on the informer's thread before the first event; ``registration`` shows its failure.
"""

from __future__ import annotations

from collections.abc import Callable

from flamepy.informers.delivery.callbacks import Call
from flamepy.informers.delivery.invocation import CallbackRunner
from flamepy.runtime.flags import Flag
from flamepy.texts import described

FIRST_DELAY, MOST_DELAY = 1.0, 60.0  # seconds between two attempts; each is twice the one before


class Starting:
    """The start of one informer; on its thread, but for ``failure``.

    Args:
        runner: calls it.
        stopping: ends the wait between two attempts.

    Attributes:
        failure: what the last attempt raised, while none has worked; from any thread.
    """

    def __init__(self, runner: CallbackRunner, stopping: Flag) -> None:
        self._runner = runner
        self._stopping = stopping
        self.failure: str | None = None

    def run(self, start: Callable[[], object]) -> None:
        """Call ``start`` until it works, or a stop drops what waits."""
        call, delay, attempts = Call("start", start), FIRST_DELAY, 0
        while (error := self._runner.attempt(call, None, plain=True)) is not None:
            attempts += 1
            self.failure = f"start raised {described(error)}"
            self._runner.fail("start", None, error, attempts)
            del error  # its traceback, while nothing happens
            if self._stopping.wait(delay):
                return
            delay = min(2 * delay, MOST_DELAY)
        self.failure = None
