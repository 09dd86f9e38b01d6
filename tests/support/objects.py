"""A cache of the test's own, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flamepy.config import FlameContext
from flamepy.local.object_cache.server import ObjectCache
from flamepy.objects.client import ObjectClient
from flamepy.types import RetryPolicy

QUICK = RetryPolicy(attempts=4, wait_initial=0.01, wait_max=0.05, wait_jitter=0.01)


@contextmanager
def serving(folder: Path | None = None, **options: Any) -> Iterator[ObjectCache]:
    """Run a cache."""
    cache = ObjectCache(host="127.0.0.1", folder=folder, **options)
    cache.start()
    try:
        yield cache
    finally:
        cache.stop()


@contextmanager
def client_of(endpoint: str, **options: Any) -> Iterator[ObjectClient]:
    """Make a client; its configuration is the endpoint alone."""
    context = FlameContext(cache_endpoint=endpoint, environ={"HOME": "/nonexistent"})
    made = ObjectClient(
        context,
        **{"policy": QUICK, "patience": 20.0, "on_ambiguous": "verify", **options},
    )
    try:
        yield made
    finally:
        made.close()
