"""What the commands with a dashboard share: its token, its address for people, serving it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flamepy.cli.serving.control import VARIABLE as HTTP_TOKEN
from flamepy.cli.serving.control import make_act, make_token
from flamepy.cli.serving.health import answer
from flamepy.cli.serving.http_port import Act, Request
from flamepy.errors import InvalidArgumentError
from flamepy.host.addresses import is_loopback

if TYPE_CHECKING:
    from flamepy.config import FlameContext
    from flamepy.dashboard import Dashboard
    from flamepy.informers import Reactor
    from flamepy.local.cluster import LocalCluster
    from flamepy.local.net.tls import ClusterTls

VARIABLE = "FLAME_DASHBOARD_TOKEN"


def token_for(host: str, variable: str = VARIABLE) -> str | None:
    """Return the token of a dashboard: the one given, else one made where one is needed."""
    given = os.environ.get(variable)
    if given:
        return given
    return None if is_loopback(host) else secrets.token_urlsafe(32)


def address_of(dashboard: Dashboard, token: str | None) -> str:
    """Return what to open in a browser. A fragment stays there: no server and no proxy logs it."""
    return dashboard.url if token is None else f"{dashboard.url}#token={quote(token, safe='')}"


def history_of(checkpoint: str | None) -> str | None:
    """Return the file that keeps the charts beside a checkpoint."""
    return None if checkpoint is None else f"{checkpoint}.charts"


@contextmanager
def served_with_health(
    reactor: Reactor,
    address: tuple[str, int],
    *,
    context: FlameContext,
    checkpoint: str | None,
    allow_actions: bool,
) -> Iterator[str]:
    """Serve the dashboard of a reactor, its health, and what ``flamepy handlers`` asks for.

    Gives the address for a browser.

    Raises:
        UnavailableError: the address cannot be listened on.
        MissingExtraError: the extra ``dashboard`` is not installed.
    """
    from flamepy.dashboard import Dashboard

    host, port = address
    needed = token_for(host, HTTP_TOKEN)
    token = needed or secrets.token_urlsafe(32)
    act = make_act(
        lambda: reactor.registrations,
        lambda session, task: reactor.explain(session, task).to_dict(),
        token,
    )
    dashboard = Dashboard(
        reactor,
        host=host,
        port=port,
        token=needed,
        allow_actions=allow_actions,
        context=context,
        history=history_of(checkpoint),
        other=others(act, reactor.health),
    )
    with dashboard:
        _, left_in = make_token(dashboard.port, token)
        try:
            yield address_of(dashboard, needed)
        finally:
            if left_in is not None:
                left_in.unlink(missing_ok=True)


@contextmanager
def dashboard_of(
    cluster: LocalCluster, tls: ClusterTls | None, *, dashboard: bool, dashboard_port: int
) -> Iterator[str | None]:
    """Serve the dashboard of an embedded cluster, if it is wanted; give its address for a browser.

    Raises:
        UnavailableError: the port cannot be listened on.
        MissingExtraError: the extra ``dashboard`` is not installed.
    """
    if not dashboard:
        yield None
        return
    from flamepy.dashboard import Dashboard
    from flamepy.informers import Reactor

    if tls is not None and tls.client_ca is not None:
        raise InvalidArgumentError(
            "--dashboard has no certificate to show where --client-ca asks for one: run `flamepy "
            "dashboard` with a client certificate in flame.yaml"
        )
    context = cluster.context
    reactor = Reactor(context=context, plugins=())
    token = token_for("127.0.0.1")
    served = Dashboard(reactor, port=dashboard_port, token=token, context=context)
    with served, reactor:
        try:
            yield address_of(served, token)
        finally:
            served.stop()


def others(
    act: Act, look: Callable[[], Any]
) -> Callable[[str, str, Mapping[str, str], str], tuple[int, bytes] | None]:
    """Return what answers the addresses that are not the dashboard's; ``look``: the health."""

    def other(
        method: str, path: str, words: Mapping[str, str], token: str
    ) -> tuple[int, bytes] | None:
        if path in ("/healthz", "/readyz"):
            status, body = answer(path, look)
            return status, json.dumps(body).encode() + b"\n"
        job = act(Request(method, path, dict(words), token))
        return None if job is None else job()

    return other
