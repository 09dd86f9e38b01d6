"""Draw docs/images/demo.svg (moving), top.svg and top-light.svg from the running product.

``.venv/bin/python scripts/make_pictures.py`` runs the census in a terminal of 92 columns and
``flamepy top``, dark and light, on a cluster with a little load. Needs the group ``pictures`` and
the extra ``top``; ``make_screenshots.py`` photographs the dashboard. Run by a maintainer, not CI.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from html import escape
from pathlib import Path
from typing import Any

import pyte

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
COLUMNS, LINES = 92, 27
EVERY = 0.4  # seconds between two frames
LAST = 6.0  # seconds for which the last one stays
WIDTH, HEIGHT = 8.4, 18.0  # pixels of one character
COLOURS = {
    "default": "#d8dee9",
    "red": "#f07178",
    "green": "#a3d977",
    "cyan": "#6cc7d9",
    "magenta": "#d3869b",
    "brown": "#e5c07b",
    "blue": "#7aa2f7",
    "brightblack": "#7f8794",
}

STDLIB = sysconfig.get_paths()["stdlib"].encode()


def main() -> None:
    """Draw them."""
    IMAGES.mkdir(exist_ok=True)
    client = ROOT / "examples" / "stdlib_census" / "client.py"
    frames = record([sys.executable, str(client), "--limit", "900"])
    (IMAGES / "demo.svg").write_text(moving(frames), encoding="utf-8")
    for name, picture in zip(("top.svg", "top-light.svg"), asyncio.run(top()), strict=True):
        (IMAGES / name).write_text(picture, encoding="utf-8")
    for name in ("demo.svg", "top.svg", "top-light.svg"):
        print(f"docs/images/{name}: {(IMAGES / name).stat().st_size // 1024} KiB")


# ---------------------------------------------------------------------- a terminal


def record(command: list[str]) -> list[tuple[float, list[str]]]:
    """Run a program in a terminal; return what it showed: seconds, and each line as SVG."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": ""}
    frames: list[tuple[float, list[str]]] = []
    begun = due = time.monotonic()
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(follower)
        while True:
            try:
                data = os.read(leader, 65536)
            except OSError:
                break
            stream.feed(data.replace(STDLIB, b"/usr/lib/python3"))  # not this machine's path
            if time.monotonic() >= due:
                frames.append((time.monotonic() - begun, drawn(screen)))
                due = time.monotonic() + EVERY
        process.wait()
    os.close(leader)
    frames.append((time.monotonic() - begun, drawn(screen)))
    return frames


def drawn(screen: Any) -> list[str]:
    """Return each line of a screen as the inside of an SVG text."""
    lines = []
    for number in range(screen.lines):
        row, spans = screen.buffer[number], ""
        text, style = "", ""
        for column in range(screen.columns):
            one = row[column]
            known = COLOURS.get(one.fg)
            colour = known or (f"#{one.fg}" if len(one.fg) == 6 else COLOURS["default"])
            now = f'fill="{colour}"' + (' font-weight="bold"' if one.bold else "")
            if now != style and text:
                spans += f"<tspan {style}>{escape(text)}</tspan>"
                text = ""
            style = now
            text += one.data
        text = text.rstrip()
        lines.append(spans + (f"<tspan {style}>{escape(text)}</tspan>" if text else ""))
    return lines


def moving(frames: list[tuple[float, list[str]]]) -> str:
    """Return an SVG that shows frames one after another, for ever."""
    total = frames[-1][0] + LAST
    ends = [at for at, _ in frames[1:]] + [total]
    shown = ""
    for (at, lines), end in zip(frames, ends, strict=True):
        times = (
            f"0;{at / total:.4f};{end / total:.4f};1" if end < total else f"0;{at / total:.4f};1"
        )
        values = "hidden;visible;hidden;hidden" if end < total else "hidden;visible;visible"
        texts = "".join(
            f'<text x="16" y="{46 + HEIGHT * number:.0f}" xml:space="preserve">{line}</text>'
            for number, line in enumerate(lines)
            if line
        )
        shown += (
            f'<g visibility="hidden"><animate attributeName="visibility" values="{values}" '
            f'keyTimes="{times}" dur="{total:.1f}s" calcMode="discrete" '
            f'repeatCount="indefinite"/>{texts}</g>\n'
        )
    width, height = 32 + WIDTH * COLUMNS, 60 + HEIGHT * LINES
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-label="make demo in a terminal">\n'
        "<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}</style>\n"
        f'<rect width="100%" height="100%" rx="8" fill="#171b22"/>\n'
        '<g fill="#3b4252"><circle cx="20" cy="18" r="5"/><circle cx="38" cy="18" r="5"/>'
        f'<circle cx="56" cy="18" r="5"/></g>\n{shown}</svg>\n'
    )


# ---------------------------------------------------------------------- flamepy top


async def top() -> list[str]:
    """Return the pictures of ``flamepy top``, dark and light, on a cluster with a little load."""
    from flamepy.cli.top.app import TopApp
    from flamepy.core import connect
    from flamepy.informers import Reactor
    from flamepy.view import LiveView

    with cluster() as endpoint, connect(endpoint) as connection:
        reactor = Reactor(connection=connection, plugins=())
        with LiveView(reactor) as view, reactor:
            app = TopApp(view)
            async with app.run_test(size=(100, 24)) as pilot:
                await asyncio.sleep(3)
                pictures = []
                for theme in (app.theme, "textual-light"):
                    app.theme = theme
                    app.draw()
                    await pilot.pause()
                    pictures.append(app.export_screenshot(title="flamepy top"))
                return pictures


class cluster:
    """``LocalCluster`` with applications that work and fail; gives its endpoint."""

    def __enter__(self) -> str:
        from flamepy.core import connect
        from flamepy.local import LocalCluster

        self._cluster = LocalCluster(executors=3)
        for name in ("render", "billing", "training"):
            self._cluster.register_service(name, Work())
        endpoint = self._cluster.start().endpoint
        self._connection = connect(endpoint)
        for number, (name, tasks) in enumerate(
            (("billing", 40), ("render", 900), ("billing", 25), ("training", 1200), ("render", 400))
        ):
            session = self._connection.create_session(name, session_id=f"{name}-{number + 1}")
            futures = session.run_many([b"work"] * tasks)
            if number in (0, 2):
                for future in futures:
                    future.exception()
                session.close()
        return endpoint

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._cluster.stop()


class Work:
    """A service that takes a moment, and fails now and then."""

    def __init__(self) -> None:
        self._count = 0

    def on_session_enter(self, context: object) -> None:
        """Keep nothing."""

    def on_task_invoke(self, context: object) -> bytes:
        """Take a moment."""
        self._count += 1
        time.sleep(0.03)
        if self._count % 17 == 0:
            raise ValueError("disk full")
        return b"done"

    def on_session_leave(self) -> None:
        """Keep nothing."""


if __name__ == "__main__":
    main()
