"""Measure the dashboard: 1,000 sessions with 100,000 tasks on an engine that costs next to nothing.

``python benchmarks/dashboard.py`` prints JSON, in about three minutes: milliseconds to the first
paint and to a full table in a headless Chromium (apt ``chromium``, pip ``playwright``), elements of
the page, from a change at the engine to the pixel, the server's CPU with 1 and with 100 viewers
while ten tasks a second end, its memory, and what the extra adds to an installation. Look at
ratios, not at the numbers of a noisy machine.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from scale import SESSIONS, TASKS, Engine

CHANGES, REST, MANY, RATE = 20, 15.0, 100, 10
EXTRA = ("starlette", "uvicorn", "anyio", "h11", "idna", "typing_extensions")
STATIC = Path(__file__).resolve().parents[1] / "src" / "flamepy" / "dashboard" / "static"
TICKS = os.sysconf("SC_CLK_TCK")
# Notes when a tile's number becomes another one, and was painted.
SEEN = """() => {
  window.seen = [];
  const tiles = [...document.querySelectorAll(".tile")];
  const tile = tiles.find(one => one.textContent.startsWith("Running"));
  const value = tile.querySelector(".tile-value");
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(
    () => window.seen.push([value.textContent, performance.timeOrigin + performance.now()]))))
    .observe(value, { characterData: true, childList: true, subtree: true });
}"""


class Server:
    """``flamepy dashboard`` in a process of its own."""

    def __init__(self, endpoint: str) -> None:
        command = [sys.executable, "-m", "flamepy", "dashboard", "--endpoint", endpoint]
        self.process = subprocess.Popen(
            [*command, "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        found = re.search(r"(http://127\.0\.0\.1:(\d+))/", self.process.stdout.readline())
        assert found is not None
        self.url, self.port = found[1], int(found[2])

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory(self) -> float:
        """MiB of resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) / 1024 if found else 0.0

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.communicate()


class Viewers:
    """Streams of the overview that are read and forgotten."""

    def __init__(self, port: int, count: int) -> None:
        self.read = 0
        self._sockets = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port))
            one.sendall(b"GET /api/stream?page=overview HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            self._sockets.append(one)
            threading.Thread(target=self._drain, args=(one,), daemon=True).start()

    def _drain(self, one: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                self.read += len(data)
        except OSError:
            return

    def close(self) -> None:
        """End them."""
        for one in self._sockets:
            one.shutdown(socket.SHUT_RDWR)
            one.close()


def main() -> None:
    """Measure and print."""
    engine = Engine()
    began = time.monotonic()
    server = Server(engine.endpoint)
    try:
        with socket.create_connection(("127.0.0.1", server.port)):
            pass
        found: dict[str, Any] = {"tasks": SESSIONS * TASKS, "sessions": SESSIONS}
        until_read(server)
        found["read_all_s"] = round(time.monotonic() - began, 1)
        found["rss_mib"] = round(server.memory, 1)
        found.update(in_browser(server, engine))
        found["cpu_no_viewer_percent"] = cpu(server, engine, 0)
        found["cpu_1_viewer_percent"] = cpu(server, engine, 1)
        found["cpu_100_viewers_percent"] = cpu(server, engine, MANY)
        found["rss_after_mib"] = round(server.memory, 1)
        found["install_kib"] = {name: size_of(name) for name in EXTRA}
        found["static_kib"] = round(sum(one.stat().st_size for one in STATIC.iterdir()) / 1024)
        print(json.dumps(found, indent=2))
    finally:
        server.close()
        engine.close()


def until_read(server: Server) -> None:
    """Wait until every task was read."""
    from http.client import HTTPConnection

    while True:
        connection = HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/api/page?page=overview")
        top = json.loads(connection.getresponse().read())["top"]
        connection.close()
        if sum(top["observed"].values()) >= SESSIONS * TASKS:
            return
        threading.Event().wait(0.2)


def in_browser(server: Server, engine: Engine) -> dict[str, Any]:
    """Measure what a person waits for."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        for name in ("tasks", "sessions"):
            times = [loaded(page, f"{server.url}/{name}") for _ in range(5)]
            found[f"{name}_first_paint_ms"] = round(statistics.median(one for one, _ in times))
            found[f"{name}_full_table_ms"] = round(statistics.median(one for _, one in times))
            found[f"{name}_elements"] = page.evaluate("document.querySelectorAll('*').length")
        page.goto(f"{server.url}/")
        page.wait_for_selector(".tile")
        found.update(latency(page, engine))
        found["overview_elements"] = page.evaluate("document.querySelectorAll('*').length")
        browser.close()
    return found


def loaded(page: Any, url: str) -> tuple[float, float]:
    """Return the milliseconds to the first paint and to rows in a table, from the navigation."""
    page.goto("about:blank")
    page.goto(url, wait_until="commit")
    page.wait_for_selector(".row")
    full = page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => done(performance.now())))"
    )
    paints = "performance.getEntriesByName('first-contentful-paint').map(one => one.startTime)"
    return (page.evaluate(paints) or [full])[0], full


def latency(page: Any, engine: Engine) -> dict[str, Any]:
    """Start tasks one after another; return how late the pixels are."""
    page.evaluate(SEEN)
    offset = time.time() - time.monotonic()
    late = []
    for number in range(CHANGES):
        moved = engine.move(f"s{number}", "+", 1) + offset
        while page.evaluate("window.seen.length") <= number:  # ``wait_for_function`` would evaluate
            page.wait_for_timeout(20)  # a text, which the pages' policy forbids
        late.append(page.evaluate(f"window.seen[{number}][1]") / 1000 - moved)
        threading.Event().wait(0.3)
    late.sort()
    return {
        "change_to_pixel_p50_ms": round(1000 * late[len(late) // 2]),
        "change_to_pixel_worst_ms": round(1000 * late[-1]),
    }


def cpu(server: Server, engine: Engine, count: int) -> float:
    """Return the percents of one CPU that the server takes with so many viewers."""
    viewers = Viewers(server.port, count)
    threading.Event().wait(2.0)
    began, used = time.monotonic(), server.cpu
    number = 0
    while time.monotonic() - began < REST:
        engine.move(f"s{number % SESSIONS}", "+", 2)
        number += 1
        threading.Event().wait(1 / RATE)
    share = 100 * (server.cpu - used) / (time.monotonic() - began)
    viewers.close()
    return round(share, 1)


def size_of(name: str) -> int:
    """Return the KiB of an installed distribution."""
    files = importlib.metadata.files(name) or []
    sizes = [Path(str(one.locate())).stat().st_size for one in files if one.locate().is_file()]
    return round(sum(sizes) / 1024)


if __name__ == "__main__":
    main()
