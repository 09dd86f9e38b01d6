"""A Flame service: returns its input after the session's data; "fail WHY" fails."""

import sys

from flamepy.core import FlameService, SessionContext, TaskContext, run


class Echo(FlameService):
    def on_session_enter(self, context: SessionContext) -> None:
        print(f"session {context.session_id} begins", file=sys.stderr, flush=True)
        self.session_data = context.common_data() or b""

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        size = len(context.input or b"")
        print(f"task {context.task_id} has {size} bytes", file=sys.stderr, flush=True)
        if context.input is None:
            return None  # no input: no output
        if context.input.startswith(b"fail "):
            # An exception fails the task; its text is the task's error.
            raise ValueError(context.input.removeprefix(b"fail ").decode(errors="replace"))
        return self.session_data + context.input

    def on_session_leave(self) -> None:
        print("the session ends", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(Echo())
