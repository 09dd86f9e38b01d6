"""Photograph the dashboard into docs/images, from a running cluster with a little load.

``.venv/bin/python scripts/make_screenshots.py`` runs three applications and one that cannot start
for two minutes, watches them with three informers of which one is stuck, and takes the pages of
``SHOTS`` in a headless Chromium, light or dark. ``--seconds 20`` loads it for less time, a NAME
takes that picture alone. Needs Chromium and the group ``pictures``; ``make_pictures.py`` draws the
terminals. Run by a maintainer, not by CI.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, expect, sync_playwright

from flamepy.core import ApplicationAttributes, Connection, FlameService, TaskContext, connect
from flamepy.dashboard import Dashboard
from flamepy.errors import FlameError
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.local import LocalCluster
from flamepy.types import TaskState

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
MOST = 150_000  # bytes of a picture


@dataclass(frozen=True)
class Shot:
    """One picture: of which page, how large, in which colours."""

    name: str
    address: str
    scheme: str = "light"
    width: int = 1280
    height: int = 800


SHOTS = (
    Shot("overview", "/"),
    Shot("overview-dark", "/", "dark"),
    Shot("sessions", "/sessions", "dark", height=640),
    Shot("task", "/task?session=embed-day&task={failed}", height=640),
    Shot("handlers", "/handlers", height=700),
    Shot("phone", "/", "dark", width=400, height=760),
)


# ---------------------------------------------------------------------- what is photographed


class Work(FlameService):
    """Takes a moment, and fails now and then in one of a few ways."""

    def __init__(self, seconds: float, failures: tuple[str, ...] = ()) -> None:
        self._seconds, self._failures = seconds, failures
        self._chance = random.Random(7)  # the same picture each time
        self._never = threading.Event()

    def on_task_invoke(self, context: TaskContext) -> bytes:
        """Take a moment."""
        self._never.wait(self._seconds * self._chance.uniform(0.3, 1.7))
        if self._failures and self._chance.random() < 0.03:
            raise ValueError(
                self._chance.choice(self._failures).format(self._chance.randint(2, 900))
            )
        return (context.input or b"").upper()


class Audit(TaskInformer):
    """Notes what failed."""

    def on_failed(self, event: TaskEvent) -> None:
        """Do nothing: it is fast."""


class Mail(TaskInformer):
    """Cannot handle some of its events: they become dead letters."""

    def on_failed(self, event: TaskEvent) -> None:
        """Fail for one application."""
        if event.application == "embed":
            raise ConnectionError("mail.example.org does not answer")


class Thumbnails(TaskInformer):
    """Gets stuck at its tenth event."""

    def __init__(self, end: threading.Event) -> None:
        self._end, self._count = end, 0

    def on_succeeded(self, event: TaskEvent) -> None:
        """Wait until the end, once."""
        self._count += 1
        if self._count == 10:
            self._end.wait()


@contextmanager
def scene(folder: Path, seconds: float) -> Iterator[tuple[str, str]]:
    """Run the cluster, its load and the dashboard; give its address and a task that failed."""
    end = threading.Event()
    cluster = LocalCluster(executors=8, cache_port=None)
    out_of_memory = ("out of memory: {} bytes wanted", "image {}.png: cannot decode")
    cluster.register_service("resize", Work(0.08, out_of_memory))
    cluster.register_service("embed", Work(0.1, ("HTTP 503 from shard-{}: try again",)))
    cluster.register_service("census", Work(0.9))
    with cluster, connect(cluster.endpoint) as connection:
        broken = ApplicationAttributes(
            command=sys.executable, arguments=["-c", "raise SystemExit(3)"]
        )
        connection.register_application("broken-app", broken)
        threads = [
            threading.Thread(target=load, args=(connection, end, name, at), name=f"load-{name}")
            for at, name in enumerate(("resize", "embed", "census"))
        ]
        reactor = Reactor(connection=connection, plugins=(), checkpoint=folder / "state.db")
        reactor.register(Audit(), name="audit")
        reactor.register(Mail(), name="mail", uid="mail")
        reactor.register(Thumbnails(end), name="thumbnails")
        with Dashboard(reactor, port=0, allow_actions=True) as served, reactor:
            for thread in threads:
                thread.start()
            connection.create_session("broken-app", session_id="broken-app-1").run(b"x")
            try:
                end.wait(seconds)
                tasks = connection.get_session("embed-day").list_tasks()
                failed = max(int(one.id) for one in tasks if one.state == TaskState.FAILED)
                yield served.url.rstrip("/"), str(failed)
            finally:
                end.set()
                for thread in threads:
                    thread.join()
                served.stop()


def load(connection: Connection, end: threading.Event, name: str, seed: int) -> None:
    """Submit batches to an application, session after session, until the end."""
    chance, number = random.Random(seed), 0
    day = connection.create_session(name, session_id=f"{name}-day")
    while not end.is_set():
        number += 1
        session = connection.create_session(name, session_id=f"{name}-{number}")
        size = chance.randint(4, 12) if name == "census" else chance.randint(60, 240)
        futures = session.run_many([b"photo.png"] * size) + day.run_many(
            [b"photo.png"] * (size // 4)
        )
        for future in futures:
            while not future.done() and not end.wait(0.05):
                pass
        try:
            session.close()
        except FlameError:  # at the end tasks still run
            return
        end.wait(chance.uniform(0.0, 1.5))


# ---------------------------------------------------------------------- the camera


def photograph(browser: Browser, address: str, shot: Shot) -> Path:
    """Take one picture of a page that is live and has settled."""
    path = IMAGES / f"dashboard-{shot.name}.png"
    size = {"width": shot.width, "height": shot.height}
    context = browser.new_context(viewport=size, color_scheme=shot.scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(address)
    expect(page.locator(".pill b")).to_have_text("live", timeout=30_000)
    page.wait_for_load_state("load")
    page.wait_for_timeout(1500)
    page.screenshot(path=path)
    context.close()
    return path


def main() -> int:
    """Take the pictures; status 1 if one is larger than it may be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="some of: " + ", ".join(one.name for one in SHOTS))
    parser.add_argument("--seconds", type=float, default=120.0, help="load before the pictures")
    wanted = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        print(f"missing: Chromium (none of {', '.join(CHROMIUM)} is on the PATH)")
        return 1
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    too_large = 0
    with (
        TemporaryDirectory(prefix="flamepy-pictures-") as folder,
        scene(Path(folder), wanted.seconds) as (address, failed),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for shot in SHOTS:
            if not wanted.names or shot.name in wanted.names:
                size = (
                    photograph(browser, address + shot.address.format(failed=failed), shot)
                    .stat()
                    .st_size
                )
                too_large += size > MOST
                print(f"docs/images/dashboard-{shot.name}.png: {size // 1024} KiB", flush=True)
        browser.close()
    return int(too_large > 0)


if __name__ == "__main__":
    sys.exit(main())
