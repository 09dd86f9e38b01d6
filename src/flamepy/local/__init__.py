"""The embedded cluster: an engine for one machine, for development, tests and small deployments.

Belongs here: the engine's states and rules (``state``, ``scheduler``, pure), the frontend that
speaks its wire (``frontend``), the executors that run services (``executor``, ``process``,
``threads``), and ``LocalCluster`` that holds them together. It never imports client code: client
and cluster are two readings of one protocol, so that a test between them means something.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flamepy.local.cluster import LocalCluster
    from flamepy.local.tls import ClusterTls

__all__ = ["ClusterTls", "LocalCluster"]


def __getattr__(name: str) -> Any:  # Any: a module attribute of whatever kind
    if name == "LocalCluster":
        from flamepy.local.cluster import LocalCluster

        return LocalCluster
    if name == "ClusterTls":
        from flamepy.local.tls import ClusterTls

        return ClusterTls
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
