"""A service that notes each run in a file before it does anything: who ran, when."""

import os
import time

from flamepy.core.service import FlameService, SessionContext, TaskContext, run


class NotingService(FlameService):
    def on_session_enter(self, context: SessionContext) -> None:
        self.file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        line = f"{time.time_ns()} {context.session_id} {context.task_id}\n"
        os.write(self.file, line.encode())
        return b"done " + (context.input or b"")


if __name__ == "__main__":
    run(NotingService())
