"""Asking a dashboard over HTTP, for tests."""

from __future__ import annotations

import http.client
import json
from typing import Any


def ask(
    port: int, path: str, body: Any = None, *, method: str = "", **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """Return status, JSON or text, and headers of an answer; with a body it is a POST."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        given = {"x-flamepy": "1", "content-type": "application/json", **given}
    data = None if body is None else json.dumps(body)
    connection.request(method or ("POST" if body is not None else "GET"), path, data, given)
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    found = {name.lower(): value for name, value in answer.getheaders()}
    if found.get("content-type") == "application/json":
        return answer.status, json.loads(read), found
    return answer.status, read.decode(), found


class Stream:
    """Server-sent events of a page, one after another."""

    def __init__(self, port: int, address: str, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/api/stream?{address}", headers=given)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self.last = ""

    def next(self, *kinds: str) -> tuple[str, Any]:
        """Return kind and data of the next event of some kinds; ("", None) at the end."""
        kind = ""
        while True:
            line = self._answer.readline().decode().rstrip("\n")
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("id: "):
                self.last = line[4:]
            elif line.startswith("data: ") and (not kinds or kind in kinds):
                return kind, json.loads(line[6:])
            elif self._answer.isclosed():
                return "", None

    def close(self) -> None:
        self._answer.close()
        self._connection.close()
