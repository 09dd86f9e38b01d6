"""The service: its input is the path of a Python file, its output what is in it, as JSON."""

from pathlib import Path

from census import count, reason

from flamepy.core import FlameService, TaskContext, run


class CensusService(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        path = Path((context.input or b"").decode())
        try:
            return count(path).to_bytes()
        except (SyntaxError, ValueError, RecursionError, OSError) as error:
            raise ValueError(reason(error)) from error


if __name__ == "__main__":
    run(CensusService())
