"""``python -m flamepy.tools.flmping``: the embedded cluster's service of the application flmping.

A task waits for a while and holds memory meanwhile; its output says how long that took.
"""

from __future__ import annotations

import json
import platform
import threading
from typing import Any

from flamepy.core.service import FlameService, TaskContext, run
from flamepy.runtime.clocks import monotonic
from flamepy.texts import repr_of


class PingService(FlameService):
    """Input: JSON ``{"duration": milliseconds or null, "memory": bytes or null}``, or none."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        """Wait, and say so.

        Raises:
            ValueError: the input is not such JSON.
        """
        request: Any = json.loads(context.input) if context.input else {}
        if not isinstance(request, dict):
            raise ValueError(f"the input must be a JSON object, got {repr_of(context.input)}")
        begun = monotonic()
        size = int(request.get("memory") or 0)
        held = bytearray(size)
        threading.Event().wait(int(request.get("duration") or 0) / 1000)
        spent = int((monotonic() - begun) * 1000)
        text = f"Completed on {platform.node()} in {spent} milliseconds with {len(held)} memory"
        return json.dumps({"message": text}).encode()


if __name__ == "__main__":
    run(PingService())
