"""A cache for each test, and a client of it."""

from collections.abc import Iterator

import pytest
from support.objects import client_of, serving

from flamepy.local.object_cache.server import ObjectCache
from flamepy.objects.client import ObjectClient


@pytest.fixture
def cache() -> Iterator[ObjectCache]:
    with serving() as running:
        yield running


@pytest.fixture
def client(cache: ObjectCache) -> Iterator[ObjectClient]:
    with client_of(cache.endpoint) as made:
        yield made
