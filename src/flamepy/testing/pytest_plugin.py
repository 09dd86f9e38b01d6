"""Fixtures for pytest, found by its entry point; flamepy itself is imported at their first use.

- ``flame_cluster``: a running ``LocalCluster`` of the test's own.
- ``flame_connection``: a connection to it.
- ``flame_endpoint``: its endpoint; calls without a connection go there as well.
- ``reactor``: a running ``Reactor`` on that connection, without plugins.
- ``fake_engine``: a running ``FakeEngine``.
- ``chaos_proxy``: a running ``ChaosProxy`` in front of the test's cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flamepy.core import Connection
    from flamepy.informers import Reactor
    from flamepy.local import LocalCluster
    from flamepy.testing.chaos_proxy import ChaosProxy
    from flamepy.testing.fake_engine import FakeEngine


@pytest.fixture
def flame_cluster() -> Iterator[LocalCluster]:
    """A running embedded cluster; it ends with the test."""
    from flamepy.local import LocalCluster

    with LocalCluster() as cluster:
        yield cluster


@pytest.fixture
def flame_connection(flame_cluster: LocalCluster) -> Iterator[Connection]:
    """A connection to the test's cluster; it is closed with the test."""
    from flamepy.core import connect

    with connect(flame_cluster.endpoint) as connection:
        yield connection


@pytest.fixture
def flame_endpoint(flame_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint of the test's cluster; calls without a connection go there until the test ends.

    ``FLAME_ENDPOINT`` and, where the cluster has an object cache, ``FLAME_CACHE_ENDPOINT`` name it.
    """
    from flamepy.rpc.implicit import reset_implicit_link

    monkeypatch.setenv("FLAME_ENDPOINT", flame_cluster.endpoint)
    if flame_cluster.has_cache:
        monkeypatch.setenv("FLAME_CACHE_ENDPOINT", flame_cluster.cache_endpoint)
    reset_implicit_link()
    yield flame_cluster.endpoint
    reset_implicit_link()


@pytest.fixture
def reactor(flame_connection: Connection) -> Iterator[Reactor]:
    """A reactor that watches the test's cluster; it stops with the test."""
    from flamepy.informers import Reactor

    with Reactor(connection=flame_connection, plugins=()) as running:
        yield running


@pytest.fixture
def fake_engine() -> Iterator[FakeEngine]:
    """A scripted engine; it ends with the test."""
    from flamepy.testing.fake_engine import FakeEngine

    with FakeEngine() as engine:
        yield engine


@pytest.fixture
def chaos_proxy(flame_cluster: LocalCluster) -> Iterator[ChaosProxy]:
    """A proxy in front of the test's cluster, which breaks connections on demand."""
    from flamepy.testing.chaos_proxy import ChaosProxy

    with ChaosProxy(flame_cluster.endpoint) as proxy:
        yield proxy
