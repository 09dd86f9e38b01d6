"""``flamepy report``: a recording, or a session of an engine, as one HTML file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from flamepy._version import __version__
from flamepy.cli.engine import CALL_TIMEOUT, completions, endpoint_option, engine, failure
from flamepy.cli.showing.output import counted
from flamepy.cli.verbs.handlers import ask_process
from flamepy.errors import FlameError
from flamepy.recording.file import Recording
from flamepy.recording.page import render
from flamepy.recording.report import ReportBuilder
from flamepy.types import TaskState
from flamepy.watching.state.events import SessionEvent, TaskEvent

TEXTS = 200  # failed tasks that are asked for their text, one call each


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--session",
    metavar="ID",
    help="Report this session of the engine instead of a recording.",
    shell_complete=completions("list_sessions", "id"),
)
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    show_default=True,
    metavar="FILE.html",
    help="The file to write.",
)
@click.option("--title", help="The title of the page.")
@click.option(
    "--http",
    "address",
    metavar="HOST:PORT",
    envvar="FLAME_HTTP",
    help="Also show the informers of this flamepy run --http.",
)
@endpoint_option
def report(
    file: Path | None,
    session: str | None,
    output: Path,
    title: str | None,
    address: str | None,
    endpoint: str | None,
) -> None:
    """Write a page about a recording, or about a session.

    FILE is the recording.

    It has throughput, durations, failures by text, the slowest tasks, a timeline and the sessions;
    one file without scripts, which asks no other host for anything and can be printed.
    """
    if (file is None) == (session is None):
        raise click.UsageError("give a recording FILE, or --session ID")
    handlers = [] if address is None else ask_process(address, "GET", "handlers")["handlers"]
    try:
        made = (
            _of_recording(file, title, handlers)
            if file is not None
            else _of_session(str(session), endpoint, title, handlers)
        )
        output.write_text(made, encoding="utf-8")
    except FlameError as error:
        raise failure(error) from None
    except OSError as error:
        raise failure(f"{output} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {output} ({output.stat().st_size:,} bytes)")


def _of_recording(file: Path, title: str | None, handlers: list[dict[str, Any]]) -> str:
    recording, builder = Recording(file), ReportBuilder()
    outages: list[tuple[float, float]] = []
    away: float | None = None
    for fields in recording.fields():
        if fields.get("type") == "connection":
            at = datetime.fromisoformat(fields["at"]).timestamp()
            if fields["state"] == "connected":
                outages += [(away, at)] if away is not None else []
                away = None
            elif away is None:
                away = at
    number = 0
    for item in recording:
        if isinstance(item, (TaskEvent, SessionEvent)):
            number += 1
            builder.add(item)
    header = recording.header
    about = {
        "recording": f"{file.name}, {counted(number, 'event')}",
        "engine": str(header.get("endpoint") or "-"),
        "recorded by": f"flamepy {header.get('flamepy')}, Python {header.get('python')}",
    }
    for name in ("application", "session"):
        if header.get(name):
            about[f"only {name}"] = str(header[name])
    made = builder.build(title or f"Flame: {file.stem}", about, handlers=handlers, outages=outages)
    return render(made)


def _of_session(
    session: str, endpoint: str | None, title: str | None, handlers: list[dict[str, Any]]
) -> str:
    with engine(endpoint) as connection:
        found = connection.get_session(session, timeout=CALL_TIMEOUT)
        tasks, asked = [], 0
        for task in found.list_tasks(timeout=CALL_TIMEOUT):
            if task.state == TaskState.FAILED and task.error is None and asked < TEXTS:
                asked += 1
                task = found.get_task(task.id, timeout=CALL_TIMEOUT)
            tasks.append(task)
        where = connection.endpoint
    builder = ReportBuilder()
    builder.add_listed(found.info, tasks)
    about = {
        "session": session,
        "application": found.application,
        "engine": where,
        "times": "the engine's, which are whole seconds; a recording has exact ones",
        "reported by": f"flamepy {__version__}",
    }
    return render(builder.build(title or f"Flame session {session}", about, handlers=handlers))
