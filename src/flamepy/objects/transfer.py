"""One put, get or delete over a Flight connection: messages in, messages out, no repeats.

Uploads go in messages of ``CHUNK`` bytes, made of the caller's own memory. Errors are pyarrow's;
the callers translate them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.flight as flight

from flamepy.errors import InternalError
from flamepy.objects.codec import Opaque, Payload, Table
from flamepy.objects.pool import Pool
from flamepy.objects.status import FAILED
from flamepy.wire.objects import (
    BASE_KIND,
    DELETE,
    FORMAT,
    NATIVE,
    PATCH,
    PIECES,
    SIZE,
    ObjectRef,
    Ticket,
)

CHUNK = 4 << 20  # bytes of a message
TOGETHER = 2 << 20  # bytes that are joined rather than sent in several messages, which cost more
SCHEMA = pa.schema([("version", pa.uint64()), ("data", pa.binary())])
IN_PIECES = (PIECES.encode(), str(CHUNK).encode())
# The version is the server's to choose. Of a buffer: ``pa.array`` would import pandas, for seconds.
WRITTEN = pa.Array.from_buffers(pa.uint64(), 1, [None, pa.py_buffer(bytes(8))])

Progress = Callable[[int, int], object]  # bytes done, bytes in all


class Row(NamedTuple):
    """Bytes that were written at a version."""

    version: int
    data: pa.Buffer


class Answer(NamedTuple):
    """What a get was answered: a table, or rows; without either it was not modified."""

    table: pa.Table | None
    base: Row | None
    patches: tuple[Row, ...]

    @property
    def not_modified(self) -> bool:
        """True if what the caller has is what there is."""
        return self.table is None and self.base is None and not self.patches


def put_descriptor(key: str) -> Any:
    """Return where a put goes."""
    return flight.FlightDescriptor.for_path(key)


def patch_descriptor(key: str) -> Any:
    """Return where a patch goes."""
    return flight.FlightDescriptor.for_command(PATCH + key.encode())


def put(
    pool: Pool,
    location: str,
    descriptor: Any,
    payload: Payload,
    *,
    seconds: float,
    progress: Progress | None = None,
) -> ObjectRef:
    """Send a payload; return the server's reference."""
    if isinstance(payload, Table):
        schema, messages = payload.table.schema, _table_messages(payload.table)
    else:
        schema, messages = SCHEMA, _messages(payload)
    return send(pool, location, descriptor, schema, messages, payload.size, seconds, progress)


def send(
    pool: Pool,
    location: str,
    descriptor: Any,
    schema: pa.Schema,
    messages: Iterator[pa.RecordBatch],
    total: int,
    seconds: float,
    progress: Progress | None,
) -> ObjectRef:
    """Send messages as one upload; if anything but the connection fails, nothing is stored."""
    with pool.client(location) as client:
        options = flight.FlightCallOptions(timeout=seconds)
        writer, reader = client.do_put(descriptor, schema, options)
        try:
            done = 0
            for batch in messages:
                _write(writer.write_batch, batch)
                if progress is not None:
                    done = min(total, done + batch.nbytes)
                    progress(done, total)
            _write(writer.done_writing)
        except _EndedError as ended:
            raise ended.args[0] from None
        except BaseException:
            pool.break_off(location, writer)
            raise
        reply = reader.read()
        writer.close()  # raises what the server said
    if reply is None:
        raise InternalError(f"the object cache at {location} stored the object without an answer")
    return ObjectRef.decode(reply.to_pybytes())


class _EndedError(Exception):
    """The server, or the connection, has ended the stream; it holds pyarrow's error."""


def _write(write: Callable[..., object], *arguments: object) -> None:
    try:
        write(*arguments)
    except FAILED as error:
        raise _EndedError(error) from None


def _messages(payload: Opaque) -> Iterator[pa.RecordBatch]:
    pieces = list(payload.pieces)
    if len(pieces) > 1 and payload.size <= TOGETHER:
        pieces = [_joined(pieces, payload.size)]
    for piece in pieces:
        for start in range(0, max(piece.size, 1), CHUNK):
            yield message(piece.slice(start, min(CHUNK, piece.size - start)))


def _joined(pieces: Sequence[pa.Buffer], size: int) -> pa.Buffer:
    # Arrow's own memory: it is used again, where Python's would be new pages each time.
    joined = pa.allocate_buffer(size)
    with pa.FixedSizeBufferWriter(joined) as writer:
        for one in pieces:
            writer.write(one)
    return joined


def message(data: pa.Buffer) -> pa.RecordBatch:
    """Return a message of one cell, which is the buffer itself."""
    ends = pa.py_buffer(struct.pack("<ii", 0, data.size))
    cell = pa.Array.from_buffers(pa.binary(), 1, [None, ends, data])
    return pa.RecordBatch.from_arrays([WRITTEN, cell], schema=SCHEMA)


def _table_messages(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Return a table's own batches; a large one in slices of about ``CHUNK`` bytes."""
    for batch in table.to_batches():
        rows = max(1, batch.num_rows * CHUNK // max(batch.nbytes, 1))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def get(
    pool: Pool,
    location: str,
    ticket: Ticket,
    *,
    seconds: float,
    progress: Progress | None = None,
) -> Answer:
    """Return what is newer than the ticket's version."""
    with pool.client(location) as client:
        options = flight.FlightCallOptions(timeout=seconds, headers=[IN_PIECES])
        reader = client.do_get(flight.Ticket(ticket.encode()), options)
        try:
            return _read(reader, progress)
        except FAILED:
            raise
        except BaseException:
            reader.cancel()
            raise


def _read(reader: Any, progress: Progress | None) -> Answer:
    metadata = reader.schema.metadata or {}
    size = int(metadata.get(SIZE, b"0"))
    if size:
        joined = _pieces(reader, size, progress)
        return Answer(None, joined, tuple(row for _, row in _rows(reader.read_all())))
    table = reader.read_all()
    if progress is not None:
        progress(table.nbytes, table.nbytes)
    if metadata.get(FORMAT) == NATIVE:
        return Answer(table, None, ())
    rows = list(_rows(table))
    base = next((row for kind, row in rows if kind == BASE_KIND), None)
    return Answer(None, base, tuple(row for kind, row in rows if kind != BASE_KIND))


def _rows(table: pa.Table) -> Iterator[tuple[str, Row]]:
    for batch in table.to_batches():
        versions, kinds, cells = (batch.column(place) for place in range(3))
        for place in range(batch.num_rows):
            yield kinds[place].as_py(), Row(versions[place].as_py(), cells[place].as_buffer())


def _pieces(reader: Any, size: int, progress: Progress | None) -> Row:
    """Return a base that comes in several rows, joined as they come: it is never there twice."""
    joined, done, version = pa.allocate_buffer(size), 0, 0
    with pa.FixedSizeBufferWriter(joined) as writer:
        while done < size:
            batch = reader.read_chunk().data
            piece = batch.column(2)[0].as_buffer()
            writer.write(piece)
            version = batch.column(0)[0].as_py()
            done += piece.size
            if progress is not None:
                progress(done, size)
    return Row(version, joined)


def delete(pool: Pool, location: str, target: str, *, seconds: float) -> None:
    """Delete what is named."""
    with pool.client(location) as client:
        options = flight.FlightCallOptions(timeout=seconds)
        for _ in client.do_action(flight.Action(DELETE, target.encode()), options):
            pass
