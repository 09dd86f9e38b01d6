"""``flamepy run``: a reactor with plugins in the foreground, for systemd and containers.

Logs go to standard error; standard output belongs to the plugins. SIGINT and SIGTERM stop it after
what is queued was delivered; a second one drops that. SIGHUP reads the configuration again. Exit
status: 0 stopped by a signal, 1 it cannot continue, 2 the command line, the configuration or a
plugin is unusable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import click

from flamepy.cli.context_option import context_option
from flamepy.cli.engine import endpoint_option, failure, silence_grpc
from flamepy.cli.plugin_names import complete_plugins
from flamepy.cli.serving.control import make_act, make_token
from flamepy.cli.serving.dashboards import served_with_health
from flamepy.cli.serving.health import HealthServer, parse_address
from flamepy.cli.serving.logs import FORMATS, set_up_logging
from flamepy.cli.serving.reloading import NOTHING, Chosen, Hangups, Reloader
from flamepy.cli.serving.unsent import warn_of_unsent
from flamepy.errors import ConfigError, FlameError, InvalidArgumentError, PluginError

if TYPE_CHECKING:
    from flamepy.config import FlameContext
    from flamepy.informers import Reactor

logger = logging.getLogger(__name__)

FATAL, UNUSABLE = 1, 2


@click.command()
@click.option(
    "--plugin",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_plugins,
    help="Run this plugin, with its options of flame.yaml; may be given more than once. "
    "Default: FLAME_INFORMERS, else those of flame.yaml.",
)
@click.option(
    "--informer",
    "values",
    multiple=True,
    metavar="MODULE:CLASS",
    help="Run this class as well, which need not be installed; may be given more than once.",
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The flame.yaml to use; default: FLAME_CONFIG, else ~/.flame/flame.yaml.",
)
@context_option
@endpoint_option
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Serve /healthz and /readyz there, and what `flamepy handlers` and `flamepy explain` ask "
    "for; without a host on loopback.",
)
@click.option(
    "--dashboard",
    is_flag=True,
    help="Serve the dashboard at --http as well: what the plugins do, and the engine.",
)
@click.option(
    "--allow-actions",
    is_flag=True,
    help="Let the dashboard close sessions, pause informers and retry dead letters, after asking.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Record there what each plugin received; after a restart it continues from there. "
    "Default: that of reactor: in flame.yaml.",
)
@click.option("--strict", is_flag=True, help="End at once if a plugin is broken.")
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Logs on standard error: lines for people, or one JSON object a line.",
)
@click.option("-v", "--verbose", "level", flag_value=logging.DEBUG, type=int, help="Log more.")
@click.option(
    "-q",
    "--quiet",
    "level",
    flag_value=logging.WARNING,
    type=int,
    help="Log warnings and errors only.",
)
def run(
    names: tuple[str, ...],
    values: tuple[str, ...],
    config: str | None,
    context: str | None,
    endpoint: str | None,
    http: str | None,
    dashboard: bool,
    allow_actions: bool,
    checkpoint: str | None,
    strict: bool,
    log_format: str,
    level: int | None,
) -> None:
    """Run informer plugins until SIGINT or SIGTERM.

    SIGHUP reads flame.yaml again. Exit status: 0 stopped by a signal, 1 it cannot continue, 2 the
    command line, the configuration or a plugin is unusable.
    """
    set_up_logging(log_format, logging.INFO if level is None else level)
    silence_grpc()
    hangups = Hangups()  # first: one that comes during the start must not end the process
    try:
        address = None if http is None else parse_address(http)
        if dashboard and address is None:
            raise ConfigError("--dashboard needs an address: --http HOST:PORT, like 127.0.0.1:8081")
        chosen = Chosen(names, values, config, context, endpoint)
        settings = chosen.settings()
        given = settings.reactor()
        strict = strict or given.pop("strict", False)
        plugins = chosen.plugins(settings, strict=strict)
        if checkpoint is not None:
            given["checkpoint"] = checkpoint
    except (ConfigError, PluginError) as error:
        _end(UNUSABLE, error)
    from flamepy.informers import Reactor

    try:
        reactor = Reactor(context=settings, plugins=plugins, strict=strict, **given)
        with (
            _with_dashboard(reactor, address, settings, given.get("checkpoint"), allow_actions)
            if dashboard and address is not None
            else _served(reactor, address)
        ):
            file = given.get("checkpoint")
            reloader = partial(
                Reloader,
                *(reactor, plugins, settings),
                chosen=chosen,
                hangups=hangups,
                checkpoint=file,
            )
            _watch(reactor, reloader, settings.address.url, file)
    except (ConfigError, InvalidArgumentError, PluginError) as error:
        _end(UNUSABLE, error)
    except FlameError as error:
        _end(FATAL, error)


def _watch(
    reactor: Reactor, reloader: Callable[[], Reloader], engine: str, checkpoint: str | None
) -> None:
    """Run the reactor until a signal; who reads that it watches may send one at once."""
    reactor.start()
    informers = ", ".join(one.name for one in reactor.registrations)
    if not informers:
        reactor.stop()
        raise ConfigError(NOTHING)
    reload = reloader()  # it knows the informers that were started
    announced = False

    def look() -> None:  # begins when signals are noted
        nonlocal announced
        if not announced:
            announced = True
            logger.info("watching %s with: %s", engine, informers)
            warn_of_unsent(checkpoint, reactor.registrations)
        reload()

    reactor.run_looking(look)


@contextmanager
def _served(reactor: Reactor, address: tuple[str, int] | None) -> Iterator[None]:
    if address is None:
        yield
        return
    try:
        server = HealthServer(*address, reactor.health, lambda request: act(request))
        token, left_in = make_token(server.port)
    except OSError as error:
        why = error.strerror or str(error)
        _end(FATAL, ConfigError(f"cannot listen on {address[0]}:{address[1]}: {why}"))
    act = make_act(
        lambda: reactor.registrations,
        lambda session, task: reactor.explain(session, task).to_dict(),
        token,
    )
    server.start()
    logger.info("health at http://%s:%d/healthz and /readyz", address[0], server.port)
    try:
        yield
    finally:
        server.stop()
        if left_in is not None:
            left_in.unlink(missing_ok=True)


@contextmanager
def _with_dashboard(
    reactor: Reactor,
    address: tuple[str, int],
    settings: FlameContext,
    checkpoint: str | None,
    allow_actions: bool,
) -> Iterator[None]:
    served = served_with_health(
        reactor,
        address,
        context=settings,
        checkpoint=checkpoint,
        allow_actions=allow_actions,
    )
    with served as where:
        click.echo(f"dashboard: {where}", err=True)  # not logged: it may have the token
        yield


def _end(status: int, error: FlameError) -> NoReturn:
    raise failure(error, status)
