"""The methods of ``flame.v1.Frontend`` and ``flame.v1.Instance``, read from the descriptors.

Clients (``rpc.requests.frontend``, ``local.services.executor``) and servers (``local.frontend``,
``core.service``) build their gRPC multicallables and handlers from these two tables, so no
generated stub exists and a method is written down once, in ``protos/``. ``TASK_STREAM`` is no
method of Flame's: it is what our executors and our services speak where both can
(docs/protocol.md#task-stream).
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
    """One RPC: its full path, its message classes, and whether the answer is a stream."""

    name: str
    path: str
    request: type[Message]
    response: type[Message]
    streams: bool


def _methods(service: ServiceDescriptor) -> Mapping[str, Method]:
    return {
        method.name: Method(
            name=method.name,
            path=f"/{service.full_name}/{method.name}",
            request=GetMessageClass(method.input_type),
            response=GetMessageClass(method.output_type),
            streams=method.server_streaming,
        )
        for method in service.methods
    }


FRONTEND_SERVICE = "flame.v1.Frontend"
INSTANCE_SERVICE = "flame.v1.Instance"
FRONTEND: Mapping[str, Method] = _methods(frontend_pb2.DESCRIPTOR.services_by_name["Frontend"])
INSTANCE: Mapping[str, Method] = _methods(shim_pb2.DESCRIPTOR.services_by_name["Instance"])

TASK_STREAM_SERVICE = "flamepy.v1.TaskStream"
TASK_STREAM = Method(
    name="InvokeEach",
    path=f"/{TASK_STREAM_SERVICE}/InvokeEach",
    request=INSTANCE["OnTaskInvoke"].request,
    response=INSTANCE["OnTaskInvoke"].response,
    streams=True,
)
TASK_STREAM_OFFER = ("flamepy-task-stream", "1")
"""What a service that serves ``TASK_STREAM`` has in the trailer of its answer to OnSessionEnter."""

TASK_STREAM_GRACE = 5.0
"""Seconds before a service that leaves cancels a stream with a task that it has begun; at once it
cancels one without."""
