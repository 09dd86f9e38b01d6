"""``python -m flamepy.tools.byte_service``: the service of ``flamepy up --demo``.

It does what the byte service of the examples does - input in capitals, after the session's common
data, an empty input fails - and takes its time for an input that begins with ``slowly``.
"""

from __future__ import annotations

import sys
import threading

from flamepy.core.service import FlameService, SessionContext, TaskContext, run

SLOWLY = b"slowly"
SECONDS = 2.0


class ByteService(FlameService):
    """Input: any bytes but none."""

    def __init__(self) -> None:
        self._greeting = b""

    def on_session_enter(self, context: SessionContext) -> None:
        """Keep the session's common data, which goes before each output."""
        self._greeting = context.common_data() or b""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        """Return the input in capitals.

        Raises:
            ValueError: there is no input.
        """
        data = context.input or b""
        if not data:
            raise ValueError("nothing to shout")
        if data.startswith(SLOWLY):
            threading.Event().wait(SECONDS)
        sys.stdout.write(f"task {context.task_id}: {len(data)} bytes\n")
        sys.stdout.flush()
        return self._greeting + data.upper()


if __name__ == "__main__":
    run(ByteService())
