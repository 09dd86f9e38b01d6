"""Packages are stored where the URL says: a folder, an HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flamepy.errors import FlameError, FlameErrorCode
from flamepy.runner.storage import create_storage_backend


@pytest.fixture
def package(tmp_path: Path) -> str:
    path = tmp_path / "package"
    path.write_bytes(b"content")
    return str(path)


def test_a_folder(tmp_path: Path, package: str) -> None:
    folder = tmp_path / "with blank"
    folder.mkdir()
    storage = create_storage_backend(f"file://{folder}")
    url = storage.upload(package, "a.tar.gz")
    assert url == f"file://{folder}/a.tar.gz".replace(" ", "%20")
    storage.download("a.tar.gz", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"content"
    storage.delete("a.tar.gz")
    storage.delete("a.tar.gz")
    assert list(folder.iterdir()) == []
    with pytest.raises(FlameError, match="does not exist"):
        storage.download("a.tar.gz", str(tmp_path / "back"))


@pytest.mark.parametrize(
    ("url", "text"),
    [("file:///not/there", "Storage directory does not exist"), ("s3://x", "Unsupported storage")],
)
def test_what_cannot_be_used_is_refused(url: str, text: str) -> None:
    with pytest.raises(FlameError, match=text) as failure:
        create_storage_backend(url, "app")
    assert failure.value.code == FlameErrorCode.INVALID_CONFIG


class _Store(BaseHTTPRequestHandler):
    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        self.kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def do_GET(self) -> None:
        data = self.kept.get(self.path)
        self._answer(404 if data is None else 200, data or b"")

    def do_DELETE(self) -> None:
        self._answer(404 if self.kept.pop(self.path, None) is None else 204)

    def _answer(self, status: int, data: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    _Store.kept = {}
    with HTTPServer(("127.0.0.1", 0), _Store) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/base"
        http.shutdown()
        thread.join()


def test_an_http_server(server: str, package: str, tmp_path: Path) -> None:
    storage = create_storage_backend(server)
    assert storage.upload(package, "a b.tar.gz") == f"{server}/a%20b.tar.gz"
    storage.download("a b.tar.gz", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"content"
    storage.delete("a b.tar.gz")
    storage.delete("a b.tar.gz")
    with pytest.raises(FlameError, match="answered 404"):
        storage.download("a b.tar.gz", str(tmp_path / "back"))


def test_a_server_that_is_not_there(package: str) -> None:
    with pytest.raises(FlameError, match=r"PUT http://127.0.0.1:1/a failed") as failure:
        create_storage_backend("http://127.0.0.1:1").upload(package, "a")
    assert failure.value.code == FlameErrorCode.UNAVAILABLE
