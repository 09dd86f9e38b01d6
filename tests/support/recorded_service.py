"""The service behind the recordings: it answers by the first word of its input."""

import json
import os
import sys
import threading

from flamepy.core.service import FlameService, SessionContext, TaskContext, run

NAMES = ("CONF_VAR", "EXP", "FLAME_INSTANCE_ENDPOINT", "FLAME_ENDPOINT", "PWD", "TMPDIR", "HOME")


class RecordedService(FlameService):
    def on_session_enter(self, context: SessionContext) -> None:
        self.common = context.common_data()
        text = (self.common or b"").decode(errors="replace")
        if text.startswith("enter-fail "):
            raise ValueError(text.removeprefix("enter-fail "))

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        data = context.input or b""
        word, _, rest = data.partition(b" ")
        answer = getattr(self, f"do_{word.decode(errors='replace')}", None)
        return data if answer is None else answer(context, rest)

    def do_echo(self, context: TaskContext, rest: bytes) -> bytes:
        return rest

    def do_none(self, context: TaskContext, rest: bytes) -> None:
        return None

    def do_empty(self, context: TaskContext, rest: bytes) -> bytes:
        return b""

    def do_fail(self, context: TaskContext, rest: bytes) -> bytes:
        raise ValueError(rest.decode())

    def do_sleep(self, context: TaskContext, rest: bytes) -> bytes:
        threading.Event().wait(int(rest) / 1000)
        return b"slept " + rest

    def do_exit(self, context: TaskContext, rest: bytes) -> bytes:
        os._exit(int(rest))

    def do_size(self, context: TaskContext, rest: bytes) -> bytes:
        return b"x" * int(rest)

    def do_len(self, context: TaskContext, rest: bytes) -> bytes:
        return str(len(context.input or b"")).encode()

    def do_common(self, context: TaskContext, rest: bytes) -> bytes:
        return b"<none>" if self.common is None else self.common

    def do_ids(self, context: TaskContext, rest: bytes) -> bytes:
        return json.dumps({"task": context.task_id, "session": context.session_id}).encode()

    def do_argv(self, context: TaskContext, rest: bytes) -> bytes:
        return json.dumps(sys.argv[1:]).encode()

    def do_env(self, context: TaskContext, rest: bytes) -> bytes:
        return json.dumps({name: os.environ.get(name) for name in NAMES}).encode()

    def do_cwd(self, context: TaskContext, rest: bytes) -> bytes:
        return os.getcwd().encode()

    def do_pid(self, context: TaskContext, rest: bytes) -> bytes:
        return str(os.getpid()).encode()


if __name__ == "__main__":
    run(RecordedService())
