"""Events of a Flame engine in a stream of NATS JetStream: an informer plugin."""

from __future__ import annotations

from flamepy_nats.sink import Nats

__all__ = ["Nats"]
