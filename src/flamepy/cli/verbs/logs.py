"""``flamepy logs SESSION``: what the services of a session wrote, on a ``flamepy up``.

The cluster keeps the files (``local.services.kept_logs``), also of services and sessions that have
ended; this command reads them. An engine's are on its nodes.
"""

from __future__ import annotations

import sys

import click

from flamepy.cli.cluster_file import find
from flamepy.cli.engine import completions, endpoint_option, failure
from flamepy.cli.live import ends_quietly, every
from flamepy.cli.service_logs import STREAMS, Follower, LogFile
from flamepy.cli.showing.output import printable, styled
from flamepy.config import FlameContext
from flamepy.errors import FlameError
from flamepy.texts import repr_of

LOOK = 0.25  # seconds


@click.command()
@click.argument("session", shell_complete=completions("list_sessions", "id"))
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written, until SIGINT.")
@click.option(
    "--tail",
    type=click.IntRange(0),
    metavar="N",
    help="Of what each service wrote only the last N lines; default: all.",
)
@click.option("--stream", type=click.Choice(list(STREAMS)), help="Only standard output, or error.")
@endpoint_option
def logs(
    session: str, follow: bool, tail: int | None, stream: str | None, endpoint: str | None
) -> None:
    """Print what the services of SESSION wrote.

    Of a `flamepy up` of this user on this machine.

    Each service's output has a title on standard error if there are several.
    """
    try:
        folder = find(FlameContext(endpoint).address).logs
    except FlameError as error:
        raise failure(error) from None
    follower, printer = Follower(folder, session, stream), _Printer()
    found = list(follower.skip_to(tail))
    if not found and not follow:
        raise failure(
            f"services of session {repr_of(session)} wrote nothing that is kept; `flamepy describe "
            f"session {printable(session)}` says whether one was started"
        )

    def begin() -> None:
        for file, data in found:
            printer.show(file, data, several=len(found) > 1)

    if not follow:
        begin()
        return
    with ends_quietly() as interrupts:
        begin()  # a signal may come as soon as this is read
        for _ in interrupts.between(every(LOOK)):
            for file, data in follower.more():
                printer.show(file, data, several=True)


class _Printer:
    """Prints pieces of files: as they are in a pipe, without control characters in a terminal."""

    def __init__(self) -> None:
        self._last: LogFile | None = None

    def show(self, file: LogFile, data: bytes, *, several: bool) -> None:
        """Print a piece, after a title if it is another file's than the last one."""
        if several and file != self._last:
            sys.stdout.flush()
            click.echo(styled(f"==> {file.title} <==", dim=True), err=True)
        self._last = file
        if not sys.stdout.isatty():
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return
        for line in data.decode(errors="replace").splitlines():
            click.echo("\t".join(map(printable, line.split("\t"))))
