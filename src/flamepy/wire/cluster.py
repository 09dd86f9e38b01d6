"""Executors, nodes and resources: messages to dataclasses of ``types`` and back."""

from __future__ import annotations

from flamepy._proto import types_pb2
from flamepy.types import (
    Executor,
    ExecutorState,
    Node,
    NodeState,
    ResourceRequirement,
    Shim,
)


def decode_resources(message: types_pb2.ResourceRequirement) -> ResourceRequirement:
    """Return CPUs, bytes of memory and GPUs."""
    return ResourceRequirement(cpu=message.cpu, memory=message.memory, gpu=message.gpu)


def encode_resources(resources: ResourceRequirement) -> types_pb2.ResourceRequirement:
    """Return the message of ``resources``."""
    return types_pb2.ResourceRequirement(
        cpu=resources.cpu, memory=resources.memory, gpu=resources.gpu
    )


def decode_executor(message: types_pb2.Executor) -> Executor:
    """Return the executor of a message."""
    spec, status = message.spec, message.status
    return Executor(
        id=message.metadata.name or message.metadata.id,
        state=ExecutorState(status.state),
        node=spec.node,
        resreq=decode_resources(spec.resreq),
        shim=Shim(spec.shim),
        session_id=status.session_id if status.HasField("session_id") else None,
        application=spec.application or None,
    )


def encode_executor(executor: Executor) -> types_pb2.Executor:
    """Return the message of an executor."""
    return types_pb2.Executor(
        metadata=types_pb2.Metadata(id=executor.id, name=executor.id),
        spec=types_pb2.ExecutorSpec(
            node=executor.node,
            resreq=encode_resources(executor.resreq),
            shim=int(executor.shim),  # type: ignore[arg-type]  # enums of the wire are open
            application=executor.application or "",
        ),
        status=types_pb2.ExecutorStatus(
            state=int(executor.state),  # type: ignore[arg-type]  # enums of the wire are open
            session_id=executor.session_id,
        ),
    )


def decode_node(message: types_pb2.Node) -> Node:
    """Return the node of a message."""
    status = message.status
    return Node(
        name=message.metadata.name or message.metadata.id,
        state=NodeState(status.state),
        capacity=decode_resources(status.capacity),
        allocatable=decode_resources(status.allocatable),
        arch=status.info.arch,
        os=status.info.os,
        addresses=tuple(address.address for address in status.addresses),
    )


def encode_node(node: Node) -> types_pb2.Node:
    """Return the message of a node."""
    return types_pb2.Node(
        metadata=types_pb2.Metadata(id=node.name, name=node.name),
        spec=types_pb2.NodeSpec(hostname=node.name),
        status=types_pb2.NodeStatus(
            state=int(node.state),  # type: ignore[arg-type]  # enums of the wire are open
            capacity=encode_resources(node.capacity),
            allocatable=encode_resources(node.allocatable),
            info=types_pb2.NodeInfo(arch=node.arch, os=node.os),
        ),
    )
