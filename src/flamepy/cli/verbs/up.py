"""``flamepy up``: an embedded cluster in the foreground.

One line ``ready: http://HOST:PORT cache: grpc://HOST:PORT`` on standard output when it serves,
without the second part where there is no object cache, and with ``dashboard: ADDRESS`` where that
is served; a terminal gets a banner after it. Logs on standard error.
SIGINT, SIGTERM and SIGHUP stop it within 5 s; a later SIGINT or SIGTERM ends it at once. As
process 1 of a container it collects the orphaned processes of services.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from flamepy.cli.cluster_file import left
from flamepy.cli.demo import APPLICATION, ATTRIBUTES, Demo
from flamepy.cli.engine import failure
from flamepy.cli.serving.dashboards import dashboard_of
from flamepy.cli.serving.line_writer import LineHandler
from flamepy.cli.serving.logs import FORMATS, set_up_logging, trim_records
from flamepy.cli.serving.stopping import StopSignals
from flamepy.cli.showing.up_screen import ShortFormatter, StatusLine, banner, print_banner
from flamepy.cli.values import SECONDS
from flamepy.config.endpoint import Endpoint
from flamepy.errors import FlameError, InvalidArgumentError, UnavailableError
from flamepy.local.cluster import LocalCluster
from flamepy.local.net.listening import check_free
from flamepy.local.net.tls import ClusterTls
from flamepy.local.services.changes import EXECUTORS, TASKS, note
from flamepy.local.services.orphans import Orphans
from flamepy.local.state.dialects import SPOKEN
from flamepy.resources import parse_resources
from flamepy.texts import repr_of
from flamepy.wire.objects import PORT

FILE = click.Path(dir_okay=False)
LOOK = 0.2  # seconds between two looks for orphans
logger = logging.getLogger(__name__)


def _size(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """Return a number of bytes, such as 512M; fails with the rule."""
    try:
        return parse_resources(f"mem={value}")["memory"]
    except InvalidArgumentError:
        raise click.BadParameter(
            f"{repr_of(value)} is no number of bytes; write it like 512M or 2G"
        ) from None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    metavar="N",
    help="Port; 0 picks a free one.",
)
@click.option(
    "--executors",
    type=click.IntRange(1),
    metavar="N",
    help="Service processes at once; default: one per CPU, at least 8.",
)
@click.option(
    "--app",
    "apps",
    multiple=True,
    type=click.Path(),
    metavar="FILE.yaml",
    help="Register the application of this manifest; may be given more than once.",
)
@click.option(
    "--cache-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port of the object cache; 0 picks a free one; default: 9090 if it is free.",
)
@click.option(
    "--cache-memory",
    callback=_size,
    default="1G",
    show_default=True,
    metavar="BYTES",
    help="Memory for objects: K, M, G or T may follow the number. The oldest go when it is full.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Keep everything in this folder, over restarts and kills; default: in memory.",
)
@click.option(
    "--max-sessions",
    type=click.IntRange(1),
    metavar="N",
    help="Drop closed sessions, oldest first, while there are N or more; default: keep all.",
)
@click.option(
    "--task-timeout",
    type=SECONDS,
    metavar="SECONDS",
    help="Fail a task that runs longer and end its service; default: a task may run for ever.",
)
@click.option(
    "--bind-timeout",
    type=SECONDS,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time that a service has to open its socket.",
)
@click.option(
    "--dialect",
    type=click.Choice([one.value for one in SPOKEN]),
    default=SPOKEN[0].value,
    show_default=True,
    help="Which engine to be: the released one, or its unreleased line.",
)
@click.option("--tls-cert", type=FILE, help="Serve https with this certificate (PEM, with chain).")
@click.option("--tls-key", type=FILE, help="The certificate's key (PEM, not encrypted).")
@click.option("--tls-ca", type=FILE, help="The authority that services trust; default: --tls-cert.")
@click.option("--client-ca", type=FILE, help="Ask clients for a certificate of this authority.")
@click.option(
    "--dashboard",
    is_flag=True,
    help="Serve the dashboard of the cluster as well.",
)
@click.option(
    "--dashboard-port",
    type=click.IntRange(0, 65535),
    default=8265,
    show_default=True,
    metavar="N",
    help="Port of the dashboard; 0 picks a free one.",
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="Logs on standard error: lines for people, or one JSON object a line.",
)
@click.option(
    "-v",
    "--verbose",
    count=True,
    help="Log every change of a task and of an executor, too; -vv logs more than changes.",
)
@click.option("-q", "--quiet", is_flag=True, help="Log warnings and errors only.")
@click.option(
    "--demo", is_flag=True, help="Register byte-service, and submit a few tasks a second to it."
)
def up(log_format: str, verbose: int, quiet: bool, demo: bool, **options: Any) -> None:
    """Run an embedded Flame cluster until it gets a signal.

    A line is logged for every change of a session or an application. A terminal also gets a line
    that says how many tasks wait, run and have ended.
    """
    on_screen = log_format == "text" and not quiet and sys.stderr.isatty()
    handler = _set_up_logging(log_format, verbose, quiet=quiet, short=on_screen and not verbose)
    trim_records()
    stop = StopSignals()
    try:
        check_free(options["host"], options["port"])  # the port that was asked for, first of all
        options["cache_port"] = _cache_port(options)
        if demo:
            options["apps"] = [*options["apps"], (APPLICATION, ATTRIBUTES)]
        shown = {name: options.pop(name) for name in ("dashboard", "dashboard_port")}
        tls = _tls(options)
        cluster = LocalCluster(tls=tls, keep_logs=True, **options)
        cluster.start()
    except FlameError as error:
        raise failure(error) from None
    try:
        status = StatusLine(handler, cluster) if on_screen and handler is not None else None
        with (
            dashboard_of(cluster, tls, **shown) as address,
            left(Endpoint.parse(cluster.endpoint).port, cluster.log_folder),
            _load(cluster, demo),
        ):
            _announce(cluster, options, address, quiet=quiet, demo=demo)
            _wait(stop, status)
    except FlameError as error:
        raise failure(error) from None
    finally:
        cluster.stop()


def _set_up_logging(style: str, verbose: int, *, quiet: bool, short: bool) -> LineHandler | None:
    level = logging.WARNING if quiet else logging.DEBUG if verbose > 1 else logging.INFO
    handler = set_up_logging(style, level)
    if not verbose:
        for one in (TASKS, EXECUTORS):  # three lines a task: they cost more than the task
            one.setLevel(logging.WARNING)
    if short and handler is not None:
        handler.setFormatter(ShortFormatter())
    return handler


def _announce(
    cluster: LocalCluster,
    options: dict[str, Any],
    dashboard: str | None,
    *,
    quiet: bool,
    demo: bool,
) -> None:
    """Print the ready line, and for people what to do next."""
    cache = f" cache: {cluster.cache_endpoint}" if cluster.has_cache else ""
    shows = f" dashboard: {dashboard}" if dashboard else ""
    print(f"ready: {cluster.endpoint}{cache}{shows}", flush=True)
    executors, data = cluster.totals().limit, options["data"]
    if sys.stdout.isatty() and not quiet:
        print_banner(banner(cluster, data=data, executors=executors, demo=demo))
    else:
        note(logger, "cluster ready", endpoint=cluster.endpoint, data=data, executors=executors)


@contextmanager
def _load(cluster: LocalCluster, demo: bool) -> Iterator[None]:
    if not demo:
        yield
        return
    load = Demo(cluster.context)
    load.start()
    try:
        yield
    finally:
        load.stop()


def _wait(stop: StopSignals, status: StatusLine | None) -> None:
    """Wait for a signal; look after orphans and the status line meanwhile."""
    orphans = Orphans()
    try:
        while not stop.wait(LOOK):
            orphans.collect()
            if status is not None:
                status.update()
    finally:
        if status is not None:
            status.end()


def _cache_port(options: dict[str, Any]) -> int:
    """Return the object cache's port: the one given, else 9090 or a free one."""
    given: int | None = options["cache_port"]
    if given is not None:
        return given
    if options["port"] == 0:
        return 0
    try:
        check_free(options["host"], PORT)
    except UnavailableError:
        logger.warning(
            "port %s, where an object cache is looked for by default, is taken: taking a free one "
            "(--cache-port chooses)",
            PORT,
        )
        return 0
    return PORT


def _tls(options: dict[str, Any]) -> ClusterTls | None:
    """Take the options of TLS out of ``options``."""
    names = ("tls_cert", "tls_key", "client_ca", "tls_ca")
    cert, key, client_ca, ca = (options.pop(name) for name in names)
    if cert is not None and key is not None:
        return ClusterTls(cert, key, client_ca, ca)
    if any(one is not None for one in (cert, key, client_ca, ca)):
        raise click.UsageError("TLS needs both --tls-cert and --tls-key")
    return None
