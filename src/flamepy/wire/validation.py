"""Rules for what users send, checked before it is sent: the value and the rule in the message.

Engines accept ids that later break their files, and payloads that make an executor loop for ever
(docs/protocol.md#identifiers, docs/protocol.md#limits). Pure; ``aio`` calls it, and
``local`` for what its Python callers give. What arrives by a call, the embedded cluster answers as
an engine does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import (
    ApplicationAttributes,
    ApplicationSchema,
    ResourceRequirement,
    SessionAttributes,
    Shim,
    TaskOptions,
)

PAYLOAD_LIMIT = 4 * 1024 * 1024 - 64 * 1024
SESSION_ID_LIMIT = 128
APPLICATION_NAME_LIMIT = 253
AFFINITY_KEYS = 1024
AFFINITY_KEY_LIMIT = 256  # bytes
AFFINITY_LIMIT = 64 * 1024  # bytes of all keys
_SESSION_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_APPLICATION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_I32 = (1 << 31) - 1
_I64 = (1 << 63) - 1


def session_id(value: object) -> str:
    """Return a session id that is safe as a file name: ``[A-Za-z0-9._-]``, no leading dot."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"session id must be text, got {repr_of(value)}")
    if len(value) > SESSION_ID_LIMIT:
        raise InvalidArgumentError(
            f"session id {repr_of(value[:40])}... has {len(value)} characters; at most "
            f"{SESSION_ID_LIMIT} are allowed"
        )
    if not _SESSION_ID.fullmatch(value) or ".." in value:
        raise InvalidArgumentError(
            f"session id {repr_of(value)}: use letters, digits, '.', '_' and '-' only, at least "
            "one, "
            "no leading '.', no '..'"
        )
    return value


def application_name(value: object) -> str:
    """Return an application name that every engine accepts."""
    if not isinstance(value, str):
        raise InvalidArgumentError(f"application name must be text, got {repr_of(value)}")
    if len(value) > APPLICATION_NAME_LIMIT:
        raise InvalidArgumentError(
            f"application name {repr_of(value[:40])}... has {len(value)} characters; at most "
            f"{APPLICATION_NAME_LIMIT} are allowed"
        )
    if not _APPLICATION_NAME.fullmatch(value) or ".." in value:
        raise InvalidArgumentError(
            f"application name {repr_of(value)}: use letters, digits, '.', '_' and '-' only, at "
            "least "
            "one, no leading '.' or '-', no '..'"
        )
    return value


def task_id(value: object) -> str:
    """Return a task id as text: a decimal number, 1 and up; an int is taken as well."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
        raise InvalidArgumentError(f"task id {_short(value)} must be a decimal number such as '1'")
    if len(text) > len(str(_I64)) or int(text) > _I64:
        raise InvalidArgumentError(f"task id {_short(value)} must be a number up to {_I64}")
    return text


def affinity(value: object, option: TaskOptions | None = None) -> tuple[bytes, ...]:
    """Return the keys of executors that a task prefers, of the argument or else of the options."""
    if option is not None:
        if not isinstance(option, TaskOptions):
            raise InvalidArgumentError(f"option must be TaskOptions, got {_short(option)}")
        value = value or option.affinity
    if isinstance(value, (str, bytes, bytearray)) or not isinstance(value, Iterable):
        raise InvalidArgumentError(
            f"affinity must be a list of keys, each bytes, got {_short(value)}"
        )
    keys = tuple(value)
    for key in keys:
        if not isinstance(key, bytes) or not 1 <= len(key) <= AFFINITY_KEY_LIMIT:
            raise InvalidArgumentError(
                f"affinity: each key must be 1 to {AFFINITY_KEY_LIMIT} bytes, got {_short(key)}"
            )
    size = sum(map(len, keys))
    if len(keys) > AFFINITY_KEYS or size > AFFINITY_LIMIT:
        raise InvalidArgumentError(
            f"affinity: {len(keys)} keys of {size} bytes; at most {AFFINITY_KEYS} keys of "
            f"{AFFINITY_LIMIT} bytes in all are allowed"
        )
    return keys


def payload(value: object, what: str = "input_data") -> bytes:
    """Return bytes-like ``value`` as bytes of at most 4 MiB minus 64 KiB."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidArgumentError(
            f"{what} must be bytes in core API, got {type(value).__name__}: {_short(value)}; "
            "encode it first"
        )
    size = value.nbytes if isinstance(value, memoryview) else len(value)
    if size > PAYLOAD_LIMIT:
        raise InvalidArgumentError(
            f"{what} has {size} bytes; at most {PAYLOAD_LIMIT} (4 MiB minus 64 KiB) travel "
            "through the engine: put larger data into the object cache (put_object) and send "
            "its reference"
        )
    return bytes(value)


def timeout(value: object) -> float | None:
    """Return the seconds of a call, limited to ``clocks.LONGEST``; None means the default."""
    return None if value is None else seconds_or_none("timeout", value, zero=False)


def session_attributes(value: SessionAttributes) -> SessionAttributes:
    """Return the attributes, checked, with ``common_data`` as bytes."""
    given: object = value
    if not isinstance(given, SessionAttributes):
        raise InvalidArgumentError(
            f"a session's spec must be SessionAttributes(application=...), got {repr_of(given)}"
        )
    application_name(value.application)
    data = value.common_data
    minimum = _number("min_instances", value.min_instances, _U32)
    if value.max_instances is not None:
        maximum = _number("max_instances", value.max_instances, _U32)
        if minimum > maximum:
            raise InvalidArgumentError(
                f"min_instances {minimum} is more than max_instances {maximum}"
            )
    _number("priority", value.priority, _U32)
    _number("batch_size", value.batch_size, _U32)
    if value.resreq is not None:
        resources(value.resreq)
    return replace(value, common_data=None if data is None else payload(data, "common_data"))


def resources(value: ResourceRequirement) -> None:
    """Check that CPUs, memory and GPUs are whole numbers that fit the wire."""
    if not isinstance(value, ResourceRequirement):
        raise InvalidArgumentError(
            f"resreq must be a ResourceRequirement, got {repr_of(value)}; "
            'ResourceRequirement.from_string("cpu=1,mem=2g") makes one'
        )
    _number("resreq.cpu", value.cpu, _U64)
    _number("resreq.memory", value.memory, _U64)
    _number("resreq.gpu", value.gpu, _I32)


def application_attributes(value: ApplicationAttributes) -> ApplicationAttributes:
    """Return the attributes, checked and as the wire takes them; ``value`` is left alone."""
    given: dict[str, object] = {one.name: getattr(value, one.name) for one in fields(value)}
    for name in ("image", "description", "command", "url", "installer"):
        if given[name] is not None and not isinstance(given[name], str):
            raise InvalidArgumentError(f"{name} must be text, got {repr_of(given[name])}")
    for name in ("labels", "arguments"):
        texts = given[name]
        if texts is not None and not _is_texts(texts):
            raise InvalidArgumentError(f"{name} must be a list of texts, got {repr_of(texts)}")
    for name, limit in (("max_instances", _U32), ("delay_release", _I32)):
        if given[name] is not None:
            _number(name, given[name], limit)
    _check_environments(given["environments"])
    shim = given["shim"]
    if shim is not None and (isinstance(shim, bool) or not isinstance(shim, int)):
        known = ", ".join(f"Shim.{one.name}" for one in Shim)
        raise InvalidArgumentError(f"shim must be one of {known}, got {repr_of(shim)}")
    return replace(
        value,
        working_directory=_folder(given["working_directory"]),
        schema=_schema(given["schema"]),
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


def _check_environments(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(
            f"environments must be a dict of text to text, got {repr_of(value)}"
        )
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str) or not key or "=" in key:
            raise InvalidArgumentError(
                f"environments: {repr_of(key)}={repr_of(text)} must be text to text"
            )


def _folder(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or (value and not str(value).startswith("/")):
        raise InvalidArgumentError(
            f"working_directory {repr_of(value)} must be an absolute path on the machine that runs "
            "the service"
        )
    return str(value)


def _schema(value: object) -> ApplicationSchema | None:
    """Take a schema or a dict of its members; they are JSON Schemas as text."""
    if value is None or isinstance(value, ApplicationSchema):
        return value
    names = [one.name for one in fields(ApplicationSchema)]
    if not isinstance(value, Mapping) or not set(value) <= set(names):
        raise InvalidArgumentError(
            f"schema must be an ApplicationSchema, or a dict with {', '.join(names)}, got "
            f"{repr_of(value)}"
        )
    return ApplicationSchema(**value)


def _number(name: str, value: object, limit: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
        raise InvalidArgumentError(
            f"{name} must be a whole number, 0 to {limit}, got {repr_of(value)}"
        )
    return value


def _short(value: object) -> str:
    text = repr_of(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
