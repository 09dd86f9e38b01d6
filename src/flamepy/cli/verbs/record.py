"""``flamepy record FILE``: every observed event, written to a file for ``replay`` and ``report``.

It can be stopped and started again with the same file: beside it, in ``FILE.state``, is what was
recorded, so that what happened meanwhile is recorded as well. Ctrl-C ends it with status 0: the
file is complete.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from flamepy.cli.engine import completions, endpoint_option
from flamepy.cli.live import Interrupts, ends_quietly, every, reactor, tell
from flamepy.cli.showing.output import counted
from flamepy.cli.showing.progress import Progress
from flamepy.cli.values import BYTES, SECONDS
from flamepy.recording.file import RecordingFile
from flamepy.recording.recorder import Recorder
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag

TICK = 0.25  # seconds
QUEUE = 100_000  # events


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--for",
    "duration",
    type=SECONDS,
    metavar="TIME",
    help="Stop after this time, such as 90s or 1h; default: at SIGINT.",
)
@click.option(
    "--max-size",
    type=BYTES,
    default="1G",
    show_default=True,
    metavar="BYTES",
    help="Stop when the file is that large.",
)
@click.option(
    "--application",
    metavar="NAME",
    help="Only this application.",
    shell_complete=completions("list_applications", "name"),
)
@click.option(
    "--session",
    metavar="ID",
    help="Only this session.",
    shell_complete=completions("list_sessions", "id"),
)
@endpoint_option
def record(
    file: Path,
    duration: float | None,
    max_size: int,
    application: str | None,
    session: str | None,
    endpoint: str | None,
) -> None:
    """Record every change of tasks and sessions to FILE.

    Until SIGINT, or for a time.

    The same command with the same FILE continues it, also after a kill, with what happened
    meanwhile; FILE.state has what is needed for that. The lines are JSON: zcat FILE shows them.
    """
    limit = None if duration is None else monotonic() + duration
    full = Flag()
    with ends_quietly() as interrupts:
        recording = RecordingFile(file)
        try:
            with reactor(endpoint, checkpoint=f"{os.fspath(file)}.state", say=False) as made:
                about = {
                    "endpoint": made.health().endpoint,
                    "application": application,
                    "session": session,
                }
                recorder = Recorder(recording, max_size=max_size, full=full.set, about=about)
                made.register(
                    recorder,
                    uid="record",
                    application=application,
                    session=session,
                    queue_size=QUEUE,
                )
                tell(f"watching {about['endpoint']}")  # from now on it is a recording
                reason = _wait(interrupts, recorder, limit, full)
            recorder.finish(reason)
        finally:
            recording.close()
        words = counted(recorder.events, "event")
        tell(f"{words} written to {file} ({recording.size:,} bytes): {reason}")
        if interrupts.numbers == [signal.SIGINT]:
            interrupts.numbers.clear()  # that is how it ends


def _wait(interrupts: Interrupts, recorder: Recorder, limit: float | None, full: Flag) -> str:
    """Wait for an end; return which one it was."""
    with Progress() as progress:
        for _ in interrupts.between(every(TICK)):
            progress.show(
                f"{counted(recorder.events, 'event')}, {recorder.file.size:,} bytes; Ctrl-C ends it"
            )
            if full.is_set():
                return "the file has reached --max-size"
            if limit is not None and monotonic() >= limit:
                return "the time of --for is over"
    return "stopped"
