"""The methods of ``flame.v1.Frontend`` and ``flame.v1.Instance``, read from the descriptors.

Clients (``rpc.requests.frontend``, ``local.services.executor``) and servers (``local.frontend``,
``core.service``) build their gRPC multicallables and handlers from these two tables, so no
generated stub exists and a method is written down once, in ``protos/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flamepy._proto import frontend_pb2, shim_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its full path, its message classes, and whether answer and requests are streams."""

    name: str
    path: str
    request: type[Message]
    response: type[Message]
    streams: bool
    requests_stream: bool = False


def _methods(service: ServiceDescriptor) -> Mapping[str, Method]:
    return {
        method.name: Method(
            name=method.name,
            path=f"/{service.full_name}/{method.name}",
            request=GetMessageClass(method.input_type),
            response=GetMessageClass(method.output_type),
            streams=method.server_streaming,
            requests_stream=method.client_streaming,
        )
        for method in service.methods
    }


FRONTEND_SERVICE = "flame.v1.Frontend"
INSTANCE_SERVICE = "flame.v1.Instance"
NEW_NAMES: Mapping[str, str] = {
    "ListApplication": "ListApplications",
    "ListExecutor": "ListExecutors",
    "ListSession": "ListSessions",
    "ListTask": "ListTasks",
    "WatchTask": "WatchTasks",
}
"""The calls of engine 0.6 that later engines have by another name only; WatchTasks is also another
call: its requests are a stream, of one session, each of which begins with the present state."""

OLD_NAMES: Mapping[str, str] = {new: old for old, new in NEW_NAMES.items()}
_ALL = _methods(frontend_pb2.DESCRIPTOR.services_by_name["Frontend"])
FRONTEND: Mapping[str, Method] = {
    name: method for name, method in _ALL.items() if name not in NEW_NAMES.values()
}
RENAMED: Mapping[str, Method] = {old: _ALL[new] for old, new in NEW_NAMES.items()}
"""By the name in 0.6: what it is after it."""

INSTANCE: Mapping[str, Method] = _methods(shim_pb2.DESCRIPTOR.services_by_name["Instance"])
