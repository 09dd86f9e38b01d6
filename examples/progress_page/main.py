"""A page that shows how far sessions are, live: an informer, and server-sent events."""

import json
import threading
import urllib.request
from http.server import ThreadingHTTPServer

from board import Board
from page import Handler

from flamepy.core import FlameService, TaskContext, connect
from flamepy.informers import Reactor
from flamepy.local import LocalCluster


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
