"""A stand-in for the chat: it prints what it is sent."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
