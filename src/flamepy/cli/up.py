"""``flamepy up``: an embedded cluster in the foreground.

One line ``ready: http://HOST:PORT`` on standard output when it serves, logs on standard error.
SIGINT and SIGTERM stop it within 5 s; a second one ends it at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

import click

from flamepy.errors import FlameError
from flamepy.local.cluster import LocalCluster


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, help="Port; 0 picks a free one.")
@click.option("--executors", type=int, help="Service processes at once; default: one per CPU.")
@click.option(
    "--app",
    "apps",
    multiple=True,
    metavar="FILE.yaml",
    help="Register the application of this manifest; may be given more than once.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def up(host: str, port: int, executors: int | None, apps: tuple[str, ...], verbose: bool) -> None:
    """Run an embedded Flame cluster on this machine until SIGINT or SIGTERM."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    stop = threading.Event()
    _stop_on_signals(stop)
    try:
        cluster = LocalCluster(host=host, port=port, executors=executors, apps=apps)
        cluster.start()
    except FlameError as error:
        raise SystemExit(f"flamepy up: {error.message}") from None
    try:
        print(f"ready: {cluster.endpoint}", flush=True)
        while not stop.wait(0.2):
            pass
    finally:
        cluster.stop()


def _stop_on_signals(stop: threading.Event) -> None:
    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)  # asked twice: the user does not want to wait
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)
