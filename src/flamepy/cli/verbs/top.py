"""``flamepy top``: sessions, tasks, failures, informers and executors, live in the terminal."""

from __future__ import annotations

import logging
import sys

import click

from flamepy.cli.engine import CONNECT_TIMEOUT, endpoint_option, failure, silence_grpc
from flamepy.errors import FlameError, UnavailableError

MISSING = 'the screen needs textual: run pip install "flamepy-informers[top]"'


@click.command()
@click.option(
    "--allow-actions",
    is_flag=True,
    help="Let c close and d delete a session, and p pause an informer, after a question.",
)
@click.option(
    "--http",
    "address",
    metavar="HOST:PORT",
    envvar="FLAME_HTTP",
    help="Also show the informers of the flamepy run that listens there. Default: FLAME_HTTP.",
)
@endpoint_option
def top(allow_actions: bool, address: str | None, endpoint: str | None) -> None:
    """Show what an engine does, live in the terminal.

    1 to 7 choose a page, enter shows what is inside a row, escape goes back, / filters, s sorts, r
    turns the order, q ends.
    """
    if not sys.stdout.isatty() or not sys.stdin.isatty():
        raise failure(
            "this needs a terminal; in a pipe, `flamepy sessions` lists the sessions once, "
            "`flamepy sessions --watch` prints those that change, and `flamepy watch` every change",
            2,
        )
    silence_grpc()
    try:
        from flamepy.cli.top.app import TopApp
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("textual", "rich"):
            raise
        raise failure(MISSING, 2) from None
    from flamepy.cli.top.actions import Action
    from flamepy.cli.top.remote import RemoteHandlers
    from flamepy.core import connect
    from flamepy.informers import Reactor
    from flamepy.view import LiveView

    # The screen is the terminal: log lines would be drawn over it.
    logging.getLogger("flamepy").addHandler(logging.NullHandler())
    try:
        with connect(endpoint, timeout=CONNECT_TIMEOUT) as connection:

            def change(action: Action) -> str:
                return action.act(connection)

            reactor = Reactor(connection=connection, plugins=())
            with LiveView(reactor) as view, reactor:
                handlers = RemoteHandlers(address) if address else None
                TopApp(view, change=change if allow_actions else None, handlers=handlers).run()
    except UnavailableError as error:
        raise failure(f"{error.message}; `flamepy doctor` shows where it fails") from None
    except FlameError as error:
        raise failure(error) from None
