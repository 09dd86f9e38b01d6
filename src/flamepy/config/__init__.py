"""Where the engine is and how to reach it: ``FlameContext``, and where each value came from.

Precedence, value by value: argument, environment, file, default. The file is the one that is
named (``config_file=``, ``from_file``), else ``FLAME_CONFIG``, else ``~/.flame/flame.yaml`` if it
exists. Reads files and the environment, never the network. ``rpc`` makes channels from it.
"""

from flamepy.config.context import CACHE_SCHEMES, DEFAULT_TEMPLATE, FlameContext
from flamepy.config.endpoint import DEFAULT_PORT, Endpoint, without_password
from flamepy.config.values import (
    DEFAULT_EXCLUDES,
    FlameClientCache,
    FlameClientTls,
    FlameContextRunner,
    FlameInformer,
    FlameKeepalive,
    FlamePackage,
)

__all__ = [
    "CACHE_SCHEMES",
    "DEFAULT_EXCLUDES",
    "DEFAULT_PORT",
    "DEFAULT_TEMPLATE",
    "Endpoint",
    "FlameClientCache",
    "FlameClientTls",
    "FlameContext",
    "FlameContextRunner",
    "FlameInformer",
    "FlameKeepalive",
    "FlamePackage",
    "without_password",
]
