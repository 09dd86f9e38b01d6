"""Typed services: a client's ``Session`` and a service's ``FlameInstance``.

Requests and results are Python objects, pickled by cloudpickle; a session may have a context object
that its service reads and replaces. An administrator registers the application; for functions that
travel with the call see ``flamepy.runner``. Payloads are those of the official SDK, byte for byte,
so that either side may use it (docs/services.md).
"""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.service.client import ServiceFuture, Session
    from flamepy.service.instance import FlameInstance

__all__ = ["FlameInstance", "ServiceFuture", "Session"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "flamepy.service.client": "ServiceFuture Session",
        "flamepy.service.instance": "FlameInstance",
    },
    ("client", "instance"),
)
