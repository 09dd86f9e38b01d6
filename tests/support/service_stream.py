"""The executor's end of a task stream, over a plain socket (docs/protocol.md#task-stream)."""

from __future__ import annotations

import os
import socket
from typing import Any

import grpc

from flamepy.wire.services import INSTANCE
from flamepy.wire.task_stream import TASK_STREAM_KEY, Frames, frame


class Stream:
    """A stream of tasks as an executor has it: one at a time."""

    def __init__(self, channel: grpc.Channel, socket_path: str) -> None:
        path = f"{socket_path}.task"
        method = INSTANCE["OnSessionEnter"]
        send = channel.unary_unary(method.path, method.request.SerializeToString)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            offer = ((TASK_STREAM_KEY, os.fsencode(path)),)
            send(method.request(session_id="s"), metadata=offer, timeout=20, wait_for_ready=True)
            listener.settimeout(20)
            self.socket, _ = listener.accept()
        self.socket.settimeout(20)
        self._frames = Frames()

    def send(self, task: str, payload: bytes) -> None:
        request = INSTANCE["OnTaskInvoke"].request(task_id=task, session_id="s", input=payload)
        self.socket.sendall(frame(request.SerializeToString()))

    def read(self) -> bytes | None:
        while (message := self._frames.take()) is None:
            if not (data := self.socket.recv(1 << 16)):
                return None
            self._frames.feed(data)
        return message

    def ask(self, task: str, payload: bytes) -> Any:
        self.send(task, payload)
        return INSTANCE["OnTaskInvoke"].response.FromString(self.read() or b"")

    def close(self) -> None:
        self.socket.close()
