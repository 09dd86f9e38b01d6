"""Failures as one message in a chat, and another one when it is over; a stand-in plays the chat."""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from flamepy_notify import Notify

from flamepy.core import FlameService, TaskContext, connect
from flamepy.informers import Reactor
from flamepy.local import LocalCluster


class Render(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input:
            raise OSError(context.input.decode())
        return b"a frame"


class Chat(BaseHTTPRequestHandler):
    """Prints the first line of each message, and keeps that it recovered."""

    recovered = threading.Event()
    alarmed = threading.Event()

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        title = message["text"].splitlines()[0]
        print(title, flush=True)
        (self.recovered if "recovered" in title else self.alarmed).set()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def chat() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Chat) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="chat")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/services/secret"
        finally:
            server.shutdown()
            thread.join()


def main(url: str, folder: Path) -> None:
    alerts = Notify(
        channel="slack",
        url=url,
        collect=1.0,
        recover_after=1.0,
        templates={"recovered": "{scope} has recovered; {count} {tasks} had failed"},
    )
    with (
        LocalCluster() as cluster,
        connect(cluster.endpoint) as connection,
        Reactor(connection=connection, checkpoint=folder / "state.db") as reactor,
    ):
        cluster.register_service("render", Render)
        registration = reactor.register(alerts, uid="alerts", application="render", replay="none")
        registration.wait_synced(timeout=10)
        with connection.create_session("render") as session:
            for reason in (b"disk full",) * 4 + (b"no license",):
                session.run(reason)
            Chat.alarmed.wait(30)
            while not Chat.recovered.wait(0.2):
                session.invoke(b"", timeout=30)


if __name__ == "__main__":
    with chat() as url, tempfile.TemporaryDirectory() as made:
        main(url, Path(made))
