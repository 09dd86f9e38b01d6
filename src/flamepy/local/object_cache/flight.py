"""``FlightCache``: the object cache's calls, between Arrow Flight and ``ObjectStore``.

What is answered to what is docs/protocol.md#object-cache. pyarrow's server appends where an error
was raised to its text; an engine's text comes first.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight

from flamepy.errors import InvalidArgumentError
from flamepy.local.object_cache.payload import (
    RESPONSE,
    BadUpload,
    Native,
    read_upload,
    response,
    table,
)
from flamepy.local.object_cache.store import (
    MemoryBusy,
    ObjectMissing,
    ObjectRefused,
    ObjectStore,
    Upload,
)
from flamepy.runtime.serving import serving
from flamepy.texts import text_of
from flamepy.wire.objects import (
    DELETE,
    PATCH,
    PIECES,
    WILDCARD,
    ObjectRef,
    encode_reply,
    parse_key,
    parse_path,
    parse_ticket,
    utf8_failure,
)

NAME = "flamepy-cache"  # in errors: the threads are pyarrow's
LEAST_PIECE = 1 << 16  # bytes: smaller ones cost more than they save
NO_KEY = "key must be provided in descriptor path or command"


class _Pieces(flight.ServerMiddleware):  # type: ignore[misc]  # pyarrow has no types
    """What a call's header says of pieces."""

    def __init__(self, size: int) -> None:
        self.size = size


class _PiecesFactory(flight.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow has no types
    def start_call(self, info: Any, headers: Any) -> _Pieces | None:
        said = headers.get(PIECES) or ["0"]
        size = int(said[0]) if str(said[0]).isdecimal() else 0
        return _Pieces(max(size, LEAST_PIECE)) if size else None


class FlightCache(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow has no types
    """A server; it serves from its construction on.

    Args:
        store: what it serves.
        location: where to listen, ``grpc://host:port``; port 0 picks one.
        options: of pyarrow's server: TLS.
    """

    def __init__(self, store: ObjectStore, location: str, **options: Any) -> None:
        super().__init__(location, middleware={PIECES: _PiecesFactory()}, **options)
        self._store = store
        self.endpoint = ""  # what clients receive as the address; set once the port is known

    @serving(NAME)
    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Store an object or append a patch; reply with its reference."""
        key, patch = _target(descriptor)
        try:
            with self._store.upload(key if patch else None) as upload:
                payload = read_upload(reader, upload.take, opaque=patch)
                if context.is_cancelled():
                    # A client that dies looks as if its stream had ended: part is not the whole.
                    raise flight.FlightCancelledError("the client went during the upload")
                version = self._write(key, payload, upload, patch=patch)
        except BadUpload as error:
            raise (_internal if error.internal else pa.ArrowInvalid)(str(error)) from None
        except (ObjectRefused, ValueError) as error:
            raise pa.ArrowInvalid(_text(error)) from None
        except ObjectMissing as error:
            raise pa.ArrowKeyError(str(error)) from None
        except MemoryBusy as error:
            raise flight.FlightUnavailableError(str(error)) from None
        except OSError as error:
            raise _internal(
                f"object <{key}> cannot be written: {text_of(error)}; nothing was changed"
            ) from None
        writer.write(pa.py_buffer(encode_reply(ObjectRef(self.endpoint, key, version))))

    def _write(self, key: str, payload: Any, upload: Upload, *, patch: bool) -> int:
        if patch:
            return self._store.patch(key, payload, upload)
        return self._store.put(key, payload, upload)

    @serving(NAME)
    def do_get(self, context: Any, ticket: Any) -> Any:
        """Return what the client lacks of an object."""
        try:
            key, version = parse_ticket(ticket.ticket)
            base, patches = self._store.get(key, version)
        except InvalidArgumentError as error:
            raise pa.ArrowInvalid(error.message) from None
        except ObjectMissing as error:
            raise pa.ArrowKeyError(str(error)) from None
        except OSError as error:
            raise _internal(f"object <{key}> cannot be read: {text_of(error)}") from None
        if isinstance(base, Native):
            return flight.RecordBatchStream(table(base))
        pieces = context.get_middleware(PIECES)
        return flight.RecordBatchStream(response(base, patches, pieces.size if pieces else 0))

    @serving(NAME)
    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        """Delete."""
        if action.type != DELETE:
            raise pa.ArrowInvalid(
                f"Unknown action type: {action.type}. Only {DELETE} is supported."
            )
        try:
            target = action.body.to_pybytes().decode()
            parse_path(target)
            self._store.delete(target)
        except UnicodeDecodeError as error:
            raise pa.ArrowInvalid(f"Invalid action body: {utf8_failure(error)}") from None
        except InvalidArgumentError as error:
            raise pa.ArrowInvalid(error.message) from None
        except OSError as error:
            raise _internal(f"<{target}> cannot be deleted: {text_of(error)}") from None
        return iter([b"OK"])

    @serving(NAME)
    def list_actions(self, context: Any) -> list[tuple[str, str]]:
        """Return the one action."""
        return [(DELETE, "Delete objects by key prefix")]

    @serving(NAME)
    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """Say where an object would be; whether it is there is not looked at."""
        path = "/".join(_decoded(part) for part in descriptor.path or ())
        if not path:
            raise pa.ArrowInvalid("Empty descriptor path")
        try:
            parse_key(path)
        except InvalidArgumentError as error:
            raise pa.ArrowInvalid(error.message) from None
        return self._info(path, self._store.schema(path), -1)

    @serving(NAME)
    def list_flights(self, context: Any, criteria: bytes) -> Iterator[Any]:
        """Return all objects. With a descriptor, which an engine leaves out: pyarrow needs one."""
        return iter([self._info(key, None, size) for key, size in self._store.list()])

    def _info(self, key: str, schema: Any, size: int) -> Any:
        descriptor = flight.FlightDescriptor.for_path(key)
        endpoint = flight.FlightEndpoint(key.encode(), [self.endpoint])
        empty = pa.schema([]) if schema is None else schema
        return flight.FlightInfo(empty, descriptor, [endpoint], -1, size)

    @serving(NAME)
    def get_schema(self, context: Any, descriptor: Any) -> Any:
        """Return the schema of answers."""
        return flight.SchemaResult(RESPONSE)


def _target(descriptor: Any) -> tuple[str, bool]:
    """Return the full key that a put goes to, and whether it is a patch."""
    try:
        if descriptor.descriptor_type == flight.DescriptorType.PATH and descriptor.path:
            return _new_key(_decoded(descriptor.path[0])), False
        command = descriptor.command if descriptor.command is not None else b""
    except InvalidArgumentError as error:
        raise pa.ArrowInvalid(error.message) from None
    if not command.startswith(PATCH):
        raise pa.ArrowInvalid(NO_KEY)
    key = _decoded(command[len(PATCH) :])
    try:
        parse_path(key)
    except InvalidArgumentError as error:
        raise pa.ArrowInvalid(f"Invalid PATCH key '{key}': {error.message}") from None
    try:
        parse_key(key)
    except InvalidArgumentError as error:
        raise pa.ArrowInvalid(error.message) from None
    return key, True


def _new_key(path: str) -> str:
    app, session, name = parse_path(path)
    if session == WILDCARD:
        parse_path(app)  # refuses it, as an engine does: it cuts the wildcard off
    return f"{app}/{session}/{name if name is not None else uuid.uuid4()}"


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"Invalid key: {utf8_failure(error)}") from None


def _internal(text: str) -> Exception:
    made: Exception = flight.FlightInternalError(text)
    return made


def _text(error: Exception) -> str:
    return error.message if isinstance(error, InvalidArgumentError) else str(error)
