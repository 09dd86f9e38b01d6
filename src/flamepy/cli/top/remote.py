"""The informers of another process, ``flamepy run --http``, as its port shows them."""

from __future__ import annotations

import threading

from flamepy.cli.serving.control import ask
from flamepy.errors import FlameError
from flamepy.runtime.clocks import wall
from flamepy.view import HandlerRow
from flamepy.view.handlers import Handlers


class RemoteHandlers:
    """Asks a process for its informers. ``refresh`` blocks: call it on a thread of its own.

    Args:
        address: ``HOST:PORT``, as of ``flamepy run --http``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.error = ""
        self._lock = threading.Lock()  # guards the rest
        self._handlers = Handlers()

    def refresh(self) -> None:
        """Ask once; what goes wrong is ``error``."""
        try:
            described = ask(self.address, "GET", "handlers")["handlers"]
        except FlameError as error:
            self.error = error.message
            return
        with self._lock:
            self._handlers.observe([(one, "") for one in described], wall())
        self.error = ""

    def rows(self, now: float) -> list[HandlerRow]:
        """Return them by name, as of the last answer."""
        with self._lock:
            return self._handlers.rows(now)

    def pause(self, name: str) -> str:
        """Pause an informer, or resume it if it is paused; return what to say.

        Raises:
            FlameError: the process refused, or does not answer.
        """
        state = {one.name: one.state for one in self.rows(wall())}.get(name)
        verb = "resume" if state == "paused" else "pause"
        answer = ask(self.address, "POST", "handlers", name, verb)
        return f"{name}: {answer['state']}"
