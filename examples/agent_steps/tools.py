"""What the agent can do: the service that runs its steps."""

import json

from flamepy.core import FlameService, TaskContext

PAGES = {"tower height": "The tower is 330 m high.", "stairs": "One storey has 3 m."}


TOOLS = {
    "search": lambda words: PAGES[words],
    "divide": lambda numbers: numbers[0] / numbers[1],
}


class Tools(FlameService):
    """Runs one step: ``{"tool": ..., "input": ...}``; a model names tools of the table alone."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        step = json.loads(context.input or b"{}")
        return json.dumps(TOOLS[step["tool"]](step["input"])).encode()
