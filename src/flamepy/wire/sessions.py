"""``Session`` messages to ``types.SessionInfo`` and back, and the spec of a new session."""

from __future__ import annotations

from flamepy._proto import types_pb2
from flamepy.types import SessionAttributes, SessionInfo, SessionState, TaskCounts
from flamepy.wire.cluster import decode_resources, encode_resources
from flamepy.wire.events import decode_events, encode_events
from flamepy.wire.times import from_millis, to_millis


def decode_session(message: types_pb2.Session) -> SessionInfo:
    """Return the session of a message; never raises on unknown or absent fields."""
    spec, status = message.spec, message.status
    completed = status.HasField("completion_time")
    return SessionInfo(
        id=message.metadata.name or message.metadata.id,
        application=spec.application,
        state=SessionState(status.state),
        creation_time=from_millis(status.creation_time),
        counts=TaskCounts(
            status.pending, status.running, status.succeed, status.failed, status.cancelled
        ),
        completion_time=from_millis(status.completion_time) if completed else None,
        common_data=spec.common_data if spec.HasField("common_data") else None,
        min_instances=spec.min_instances,
        max_instances=spec.max_instances if spec.HasField("max_instances") else None,
        batch_size=spec.batch_size,
        priority=spec.priority,
        resreq=decode_resources(spec.resreq) if spec.HasField("resreq") else None,
        events=decode_events(status.events),
    )


def encode_session(session: SessionInfo, *, events: bool = True) -> types_pb2.Session:
    """Return the message of a session, without its events when ``events`` is False."""
    counts = session.counts
    status = types_pb2.SessionStatus(
        state=int(session.state),  # type: ignore[arg-type]  # enums of the wire are open
        creation_time=to_millis(session.creation_time),
        completion_time=to_millis(session.completion_time) if session.completion_time else None,
        pending=counts.pending,
        running=counts.running,
        succeed=counts.succeed,
        failed=counts.failed,
        cancelled=counts.cancelled,
        events=encode_events(session.events) if events else (),
    )
    return types_pb2.Session(
        metadata=types_pb2.Metadata(id=session.id, name=session.id),
        spec=types_pb2.SessionSpec(
            application=session.application,
            common_data=session.common_data,
            min_instances=session.min_instances,
            max_instances=session.max_instances,
            batch_size=session.batch_size,
            priority=session.priority,
            resreq=encode_resources(session.resreq) if session.resreq else None,
        ),
        status=status,
    )


def decode_session_spec(message: types_pb2.SessionSpec) -> SessionAttributes:
    """Return the attributes of a spec that a client sent (``id`` is not part of it)."""
    return SessionAttributes(
        application=message.application,
        common_data=message.common_data if message.HasField("common_data") else None,
        min_instances=message.min_instances,
        max_instances=message.max_instances if message.HasField("max_instances") else None,
        batch_size=message.batch_size,
        priority=message.priority,
        resreq=decode_resources(message.resreq) if message.HasField("resreq") else None,
    )


def encode_session_spec(attributes: SessionAttributes) -> types_pb2.SessionSpec:
    """Return the spec that CreateSession and OpenSession take."""
    return types_pb2.SessionSpec(
        application=attributes.application,
        common_data=attributes.common_data,
        min_instances=attributes.min_instances,
        max_instances=attributes.max_instances,
        batch_size=attributes.batch_size,
        priority=attributes.priority,
        resreq=encode_resources(attributes.resreq) if attributes.resreq else None,
    )
