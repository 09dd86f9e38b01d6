"""``Application`` messages to ``types.Application`` and back, and the spec of a new one."""

from __future__ import annotations

from typing import TypedDict

from flamepy._proto import types_pb2
from flamepy.types import (
    Application,
    ApplicationAttributes,
    ApplicationSchema,
    ApplicationState,
    Shim,
)
from flamepy.wire.times import from_millis, to_millis


class _Fields(TypedDict):
    """The fields that ``Application`` and ``ApplicationAttributes`` share."""

    shim: Shim | None
    image: str | None
    description: str | None
    labels: list[str]
    command: str | None
    arguments: list[str]
    environments: dict[str, str]
    working_directory: str | None
    max_instances: int | None
    delay_release: int | None
    schema: ApplicationSchema | None
    url: str | None
    installer: str | None


def decode_application(message: types_pb2.Application) -> Application:
    """Return the application of a message; never raises on unknown or absent fields."""
    return Application(
        id=message.metadata.name or message.metadata.id,
        name=message.metadata.name or message.metadata.id,
        state=ApplicationState(message.status.state),
        creation_time=from_millis(message.status.creation_time),
        **_fields(message.spec),
    )


def encode_application(application: Application) -> types_pb2.Application:
    """Return the message of an application."""
    return types_pb2.Application(
        metadata=types_pb2.Metadata(id=application.id, name=application.name),
        spec=_spec(application),
        status=types_pb2.ApplicationStatus(
            state=int(application.state),  # type: ignore[arg-type]  # enums of the wire are open
            creation_time=to_millis(application.creation_time),
        ),
    )


def decode_application_spec(message: types_pb2.ApplicationSpec) -> ApplicationAttributes:
    """Return the attributes of a spec that a client sent; duplicate variables keep the last."""
    return ApplicationAttributes(**_fields(message))


def encode_application_spec(attributes: ApplicationAttributes) -> types_pb2.ApplicationSpec:
    """Return the spec that RegisterApplication and UpdateApplication take."""
    return _spec(attributes)


def _fields(spec: types_pb2.ApplicationSpec) -> _Fields:
    def text(name: str) -> str | None:
        return str(getattr(spec, name)) if spec.HasField(name) else None

    def number(name: str) -> int | None:
        return int(getattr(spec, name)) if spec.HasField(name) else None

    return _Fields(
        shim=Shim(spec.shim),
        image=text("image"),
        description=text("description"),
        labels=list(spec.labels),
        command=text("command"),
        arguments=list(spec.arguments),
        environments={pair.name: pair.value for pair in spec.environments},
        working_directory=text("working_directory"),
        max_instances=number("max_instances"),
        delay_release=number("delay_release"),
        schema=_decode_schema(spec.schema) if spec.HasField("schema") else None,
        url=text("url"),
        installer=text("installer"),
    )


def _decode_schema(message: types_pb2.ApplicationSchema) -> ApplicationSchema:
    return ApplicationSchema(
        input=message.input if message.HasField("input") else None,
        output=message.output if message.HasField("output") else None,
        common_data=message.common_data if message.HasField("common_data") else None,
    )


def _spec(source: Application | ApplicationAttributes) -> types_pb2.ApplicationSpec:
    schema = source.schema
    return types_pb2.ApplicationSpec(
        shim=int(source.shim or Shim.HOST),  # type: ignore[arg-type]  # enums of the wire are open
        description=source.description,
        labels=source.labels or (),
        image=source.image,
        command=source.command,
        arguments=source.arguments or (),
        environments=[
            types_pb2.Environment(name=name, value=value)
            for name, value in (source.environments or {}).items()
        ],
        working_directory=source.working_directory,
        max_instances=source.max_instances,
        delay_release=source.delay_release,
        schema=types_pb2.ApplicationSchema(
            input=schema.input, output=schema.output, common_data=schema.common_data
        )
        if schema
        else None,
        url=source.url,
        installer=source.installer,
    )
