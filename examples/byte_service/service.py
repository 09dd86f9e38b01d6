"""The byte service: gives back what it gets, in capitals."""

from flamepy.core import FlameService, SessionContext, TaskContext, run


class ByteService(FlameService):
    def on_session_enter(self, context: SessionContext) -> None:
        self.greeting = context.common_data() or b""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        data = context.input or b""
        if not data:
            raise ValueError("nothing to shout")
        return self.greeting + data.upper()


if __name__ == "__main__":
    run(ByteService())
