"""What the object cache keeps of an upload, and what it sends of it; in Arrow's terms.

An upload is opaque (rows of bytes, joined to one) or native (a table, kept as it is):
docs/protocol.md#object-cache. Nothing here decides about keys, versions or memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from flamepy.wire.objects import (
    BASE_KIND,
    FORMAT,
    NATIVE,
    OPAQUE_LIMIT,
    PATCH_KIND,
    SIZE,
    VERSION,
)

RESPONSE = pa.schema(
    [
        pa.field("version", pa.uint64(), nullable=False),
        pa.field("kind", pa.utf8(), nullable=False),
        pa.field("data", pa.binary(), nullable=False),
    ]
)


class BadUpload(Exception):
    """An upload that the engine refuses.

    Attributes:
        internal: the engine answers INTERNAL, else INVALID_ARGUMENT.
    """

    def __init__(self, message: str, *, internal: bool = False) -> None:
        super().__init__(message)
        self.internal = internal


@dataclass(frozen=True, slots=True)
class Opaque:
    """Bytes that were written at a version: an object's base, or one patch."""

    data: pa.Buffer
    version: int = 0

    @property
    def size(self) -> int:
        """Bytes."""
        size: int = self.data.size
        return size


@dataclass(frozen=True, slots=True)
class Native:
    """A table that was written at a version, which its schema names as well."""

    schema: pa.Schema
    batches: Sequence[pa.RecordBatch]
    version: int = 0
    size: int = field(default=0)

    def at(self, version: int) -> Native:
        """Return it as of this version."""
        metadata = {**(self.schema.metadata or {}), VERSION: str(version).encode()}
        schema = self.schema.with_metadata(metadata)
        batches = [one.replace_schema_metadata(metadata) for one in self.batches]
        return Native(schema, batches, version, self.size)


Base = Opaque | Native


def at_version(payload: Base, version: int) -> Base:
    """Return what was uploaded as of the version that it got."""
    if isinstance(payload, Native):
        return payload.at(version)
    return Opaque(payload.data, version)


def read_upload(reader: Any, take: Callable[[int], None], *, opaque: bool = False) -> Base:
    """Read a put's stream to its end.

    Args:
        reader: Flight's.
        take: called with each batch's bytes before the next is read; may raise.
        opaque: it has to be opaque, whatever its schema says.

    Raises:
        BadUpload: with an engine's text.
    """
    schema = reader.schema
    native = not opaque and (schema.metadata or {}).get(FORMAT) == NATIVE
    return _read_native(reader, schema, take) if native else _read_opaque(reader, schema, take)


def _batches(reader: Any) -> Any:
    while True:
        try:
            chunk = reader.read_chunk()
        except StopIteration:
            return
        if chunk.data is not None:
            yield chunk.data


def _read_native(reader: Any, schema: pa.Schema, take: Callable[[int], None]) -> Native:
    batches, size = [], 0
    encoded = any(_has_dictionary(one.type) for one in schema)
    for batch in _batches(reader):
        if encoded:
            raise BadUpload(
                "Failed to decode batch: dictionary-encoded columns are not supported",
                internal=True,
            )
        take(batch.nbytes)
        size += batch.nbytes
        batches.append(batch)
    if not any(batch.num_rows for batch in batches):
        raise BadUpload("No data received")
    return Native(schema, batches, size=size)


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(place).type) for place in range(kind.num_fields))


def _read_opaque(reader: Any, schema: pa.Schema, take: Callable[[int], None]) -> Opaque:
    cells: list[pa.Buffer] = []
    rows = kept = 0
    for batch in _batches(reader):
        if len(schema) < 1 or schema.field(0).type != pa.uint64():
            raise BadUpload("Invalid version column", internal=True)
        if len(schema) < 2 or schema.field(1).type != pa.binary():
            raise BadUpload("Invalid data column", internal=True)
        rows += batch.num_rows
        if batch.num_rows:
            cell = joined_cells(batch.column(1))
            take(cell.size)
            kept += batch.nbytes
            cells.append(cell)
    if not rows:
        raise BadUpload("No data received")
    size = sum(cell.size for cell in cells)
    if size > OPAQUE_LIMIT:
        raise BadUpload(f"Object of {size} bytes is larger than {OPAQUE_LIMIT} bytes")
    # A single cell is kept where it was received, unless most of what it was received in is not it.
    if len(cells) == 1 and 2 * size >= kept:
        return Opaque(cells[0])
    return Opaque(_join(cells, size))


def joined_cells(column: pa.Array) -> pa.Buffer:
    """Return the bytes of all cells of a binary array, in order, without copying them."""
    if column.null_count:
        column = column.drop_null()
    _, offsets, data = column.buffers()
    if data is None or not len(column):
        return pa.py_buffer(b"")
    ends = memoryview(offsets)
    (start,) = struct.unpack_from("<i", ends, 4 * column.offset)
    (stop,) = struct.unpack_from("<i", ends, 4 * (column.offset + len(column)))
    return data.slice(start, stop - start)


def _join(cells: list[pa.Buffer], size: int) -> pa.Buffer:
    """Join cells, letting each go as soon as it is copied."""
    joined = pa.allocate_buffer(size)
    if size:
        writer = pa.FixedSizeBufferWriter(joined)
        cells.reverse()
        while cells:
            writer.write(cells.pop())
        writer.close()
    return joined


def one_cell(data: pa.Buffer) -> pa.Array:
    """Return a binary array of one cell, which is the buffer itself."""
    offsets = pa.py_buffer(struct.pack("<ii", 0, data.size))
    return pa.Array.from_buffers(pa.binary(), 1, [None, offsets, data])


def one_number(value: int) -> pa.Array:
    """Return an array of one number; of a buffer, as ``pa.array`` would import pandas."""
    return pa.Array.from_buffers(pa.uint64(), 1, [None, pa.py_buffer(struct.pack("<Q", value))])


def _text(value: str) -> pa.Array:
    data = value.encode()
    offsets = pa.py_buffer(struct.pack("<ii", 0, len(data)))
    return pa.Array.from_buffers(pa.utf8(), 1, [None, offsets, pa.py_buffer(data)])


def response(
    base: Opaque | None, patches: Sequence[Opaque], piece: int = 0
) -> pa.RecordBatchReader:
    """Return what answers a get of an opaque object: one batch a row.

    Args:
        base: sent first, if it is sent.
        patches: sent after it.
        piece: bytes of each row into which the base may be cut; 0: send it whole.
    """
    schema, rows = RESPONSE, [(PATCH_KIND, one) for one in patches]
    if base is not None:
        cells = [base]
        if 0 < piece < base.size:
            schema = RESPONSE.with_metadata({SIZE: str(base.size).encode()})
            cells = [
                Opaque(base.data.slice(start, min(piece, base.size - start)), base.version)
                for start in range(0, base.size, piece)
            ]
        rows = [*((BASE_KIND, one) for one in cells), *rows]
    batches = [
        pa.RecordBatch.from_arrays(
            [one_number(one.version), _text(kind), one_cell(one.data)],
            schema=schema,
        )
        for kind, one in rows
    ]
    return pa.RecordBatchReader.from_batches(schema, batches)


def table(base: Native) -> pa.RecordBatchReader:
    """Return what answers a get of a native object."""
    return pa.RecordBatchReader.from_batches(base.schema, list(base.batches))
