"""``flamepy dashboard``: an engine in a browser.

One line with the address on standard output when it serves. SIGINT, SIGTERM and SIGHUP end it.
"""

from __future__ import annotations

import logging

import click

from flamepy.cli.context_option import context_option
from flamepy.cli.engine import endpoint_option, failure, silence_grpc
from flamepy.cli.serving.dashboards import address_of, token_for
from flamepy.cli.serving.logs import FORMATS, set_up_logging
from flamepy.cli.serving.stopping import StopSignals
from flamepy.config import FlameContext
from flamepy.errors import ConfigError, FlameError

LOOK = 3600.0  # seconds; a signal ends the wait at once
PORT = 8265
RETAIN = 100_000
UNUSABLE = 2


@click.command()
@endpoint_option
@context_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Others than this machine's own need the token, which is printed "
    "with the address; FLAME_DASHBOARD_TOKEN chooses it.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="N",
    help="Port; 0 picks a free one.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which browsers reach it, as of a proxy; may be given more than once. "
    "Addresses and localhost are always allowed.",
)
@click.option(
    "--allow-actions",
    is_flag=True,
    help="Let pages close and delete sessions, after asking. Without it nothing can be changed.",
)
@click.option(
    "--history",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Keep the charts there, over restarts.",
)
@click.option(
    "--retain",
    type=click.IntRange(0),
    default=RETAIN,
    show_default=True,
    metavar="N",
    help="Finished tasks that can be listed. All are counted.",
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Logs on standard error: lines for people, or one JSON object a line.",
)
def dashboard(
    endpoint: str | None,
    context: str | None,
    host: str,
    port: int,
    allow_hosts: tuple[str, ...],
    allow_actions: bool,
    history: str | None,
    retain: int,
    log_format: str,
) -> None:
    """Show an engine in a browser until SIGINT or SIGTERM.

    It also starts while the engine is away, and shows it when it comes.
    """
    set_up_logging(log_format, logging.WARNING)
    silence_grpc()
    stop = StopSignals()
    try:
        settings = FlameContext(endpoint, context=context)
    except ConfigError as error:
        raise failure(error, UNUSABLE) from None
    try:
        from flamepy.dashboard import Dashboard
        from flamepy.informers import Reactor

        token = token_for(host)
        reactor = Reactor(context=settings, plugins=(), retain_terminal=retain)
        served = Dashboard(
            reactor,
            host=host,
            port=port,
            token=token,
            allow_hosts=allow_hosts,
            allow_actions=allow_actions,
            context=settings,
            history=history,
        )
        with served, reactor:
            click.echo(f"dashboard of {settings.address.url}: {address_of(served, token)}")
            while not stop.wait(LOOK):
                pass
            served.stop()
    except FlameError as error:
        raise failure(error) from None
