"""The pickled form of ``FlameContext``, which the official SDK reads and writes as well.

There an instance has six attributes: ``_endpoint _cluster_tls _cache _cache_tls _package _runner``,
each absent or None where nothing was configured. What this library adds travels beside them
as plain values, since none of its classes exist there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flamepy.call_options import CallOptions
from flamepy.config.endpoint import Endpoint
from flamepy.config.values import (
    FlameClientCache,
    FlameContextRunner,
    FlameInformer,
    FlameKeepalive,
)
from flamepy.types import (
    DEFAULT_FLAME_CACHE_ENDPOINT,
    DEFAULT_FLAME_ENDPOINT,
    RetryPolicy,
)
from flamepy.workspaces import DEFAULT_WORKSPACE

if TYPE_CHECKING:
    from flamepy.config.context import FlameContext


def context_state(context: FlameContext) -> dict[str, object]:
    """Return what a pickle holds of a context."""
    return {
        "_endpoint": context.endpoint,
        "_cluster_tls": context.tls,
        "_cache": context.cache,
        "_cache_tls": context.cache.tls,
        "_package": context.package,
        "_runner": context.runner,
        "_keepalive": tuple(context.keepalive),
        "_workspace": context.workspace,
        "_retry": None if context.retry is None else asdict(context.retry),
        "_informers": _plain(context.informers),
        "_configured_informers": _plain(context.configured_informers),
        "_reactor": dict(context.raw_reactor),
        "_sources": dict(context.sources),
    }


def restore_context(context: FlameContext, state: Mapping[str, object]) -> None:
    """Give a context what a pickle of either library holds; a value that is absent is the default.

    Raises:
        ConfigError: the endpoint is no URL of an engine.
    """
    # Any: the values have the types that this library, or the official SDK, gives them.
    found: dict[str, Any] = {key: value for key, value in state.items() if value is not None}
    cache: FlameClientCache = found.get("_cache") or FlameClientCache(DEFAULT_FLAME_CACHE_ENDPOINT)
    endpoint = found.get("_endpoint", DEFAULT_FLAME_ENDPOINT)
    retry = found.get("_retry")
    vars(context).update(
        _endpoint=endpoint,
        _parsed=Endpoint.parse(endpoint),
        _tls=found.get("_cluster_tls"),
        _cache=FlameClientCache(
            cache.endpoint or DEFAULT_FLAME_CACHE_ENDPOINT,
            cache.tls or found.get("_cache_tls"),
            cache.storage,
            cache.allow_pickle,
        ),
        _package=found.get("_package"),
        _runner=found.get("_runner") or FlameContextRunner(),
        _call_options=CallOptions(),  # secrets and functions are not pickled
        _keepalive=FlameKeepalive(*found.get("_keepalive", ())),
        _workspace=found.get("_workspace", DEFAULT_WORKSPACE),
        _retry=None if retry is None else RetryPolicy(**retry),
        _informers=_informers(found.get("_informers", ())),
        _configured_informers=_informers(found.get("_configured_informers", ())),
        _reactor=dict(found.get("_reactor", {})),
        _environ=os.environ,
        _sources=dict(found.get("_sources", {})),
    )


def _plain(informers: tuple[FlameInformer, ...]) -> list[tuple[object, ...]]:
    return [
        (one.name, dict(one.options), one.plugin, dict(one.settings), one.where)
        for one in informers
    ]


# Any: the values of ``_plain``, of which an earlier release wrote the first two.
def _informers(given: Iterable[tuple[Any, ...]]) -> tuple[FlameInformer, ...]:
    return tuple(FlameInformer(*one) for one in given)
