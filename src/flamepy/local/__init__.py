"""The embedded cluster: an engine for one machine, for development, tests and small deployments.

Belongs here: the engine's states and rules (``state``, ``scheduler``, pure), the frontend that
speaks its wire (``frontend``), the executors that run services (``executor``, ``process``,
``threads``), and ``LocalCluster`` that holds them together. It never imports client code: client
and cluster are two readings of one protocol, so that a test between them means something.
"""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.local.cluster import LocalCluster
    from flamepy.local.net.tls import ClusterTls

__all__ = ["ClusterTls", "LocalCluster"]

__getattr__, __dir__ = lazy_names(
    __name__, {"flamepy.local.cluster": "LocalCluster", "flamepy.local.net.tls": "ClusterTls"}
)
