"""A page that shows how far sessions are, live: an informer, and server-sent events."""

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from flamepy.core import FlameService, TaskContext, connect
from flamepy.informers import Reactor, SessionEvent, SessionInformer, SessionProgress
from flamepy.local import LocalCluster

PAGE = Path(__file__).with_name("page.html").read_bytes()
KEEP_ALIVE = 15.0  # seconds after which a client that is gone is noticed


class Board(SessionInformer):
    """What is true now, by session. A slow client skips states and never delays an event."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._version = 0
        self._sessions: dict[str, tuple[int, dict[str, object]]] = {}
        self._closed = False

    def on_progress(self, counts: SessionProgress) -> None:
        self._show(counts.event)

    def on_opened(self, event: SessionEvent) -> None:
        self._show(event)

    on_drained = on_closed = on_opened

    def _show(self, event: SessionEvent | None) -> None:
        if event is None:
            return
        now = event.counts
        ended = now.succeed + now.failed + now.cancelled
        line = {
            "session": event.session_id,
            "tasks": ended + now.pending + now.running,
            "ended": ended,
            "failed": now.failed,
        }
        with self._changed:
            self._version += 1
            self._sessions[event.session_id] = (self._version, line)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def newer(self, version: int) -> tuple[int, list[dict[str, object]]] | None:
        """Wait for changes after a version; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version or self._closed, KEEP_ALIVE)
            if self._closed:
                return None
            changes = sorted(one for one in self._sessions.values() if one[0] > version)
            return self._version, [line for _, line in changes]


class Handler(BaseHTTPRequestHandler):
    board: Board

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer("text/html; charset=utf-8")
            self.wfile.write(PAGE)
        elif self.path == "/events":
            self._answer("text/event-stream")
            self._stream()
        else:
            self.send_error(404)

    def _answer(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def _stream(self) -> None:
        version = 0
        try:
            while (found := self.board.newer(version)) is not None:
                version, lines = found
                for line in lines:
                    self.wfile.write(f"data: {json.dumps(line)}\n\n".encode())
                self.wfile.write(b": still here\n\n")
        except ConnectionError:
            return  # the browser has left

    def log_message(self, *_: object) -> None:
        pass


class Wave(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"3":
            raise ValueError("too high")
        return b"over"


def watch(address: str) -> None:
    """Read the page's events as a browser does, until five tasks have ended."""
    with urllib.request.urlopen(address + "/") as answer:
        print("the page has", len(answer.read().split(b"<script>")) - 1, "script")
    with urllib.request.urlopen(address + "/events") as answer:
        for text in answer:
            line = json.loads(text[6:]) if text.startswith(b"data: ") else {}
            if line.get("ended") == 5:
                print("{session}: {ended} of {tasks} tasks, {failed} failed".format(**line))
                return


if __name__ == "__main__":
    board = Board()
    made = type("OfBoard", (Handler,), {"board": board})
    with (
        LocalCluster() as cluster,
        connect(cluster.endpoint) as connection,
        ThreadingHTTPServer(("127.0.0.1", 0), made) as server,
    ):
        threading.Thread(target=server.serve_forever, args=(0.05,), name="page").start()
        cluster.register_service("wave", Wave)
        with Reactor(connection=connection) as reactor:
            reactor.register(board, application="wave")
            with connection.create_session("wave", session_id="sea") as session:
                for number in range(5):
                    session.run(b"%d" % number)
                watch(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
