"""The page and its events over HTTP."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from board import Board

PAGE = Path(__file__).with_name("page.html").read_bytes()


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
