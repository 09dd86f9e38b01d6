"""Payload formats: a Python value to what travels, and back; the official client's, to the byte.

An opaque payload is four bytes that name the format and a body (docs/objects.md#formats); tables
travel as tables. Nothing is joined that can be sent in pieces, and what is read shares the buffer
that it was received in, where the format allows. An array's or a table's first message is padded,
which every reader of Arrow takes, so that the data after it are aligned.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types
import pyarrow as pa

from flamepy.errors import FlameError, InvalidArgumentError, MissingExtraError, PickleRefusedError
from flamepy.texts import repr_of, text_of
from flamepy.wire.objects import (
    FORMAT,
    LOGICAL_TYPE,
    METADATA,
    NATIVE,
    OPAQUE_LIMIT,
    VERSION,
    WRITE,
)

PICKLE, TENSOR, TABLE, ARRAY, BATCH = (b"FLM" + bytes([kind]) for kind in range(5))
PREFIX = 4
ALIGN = 64
HEADER = 1 << 14  # bytes that an array's description has at most: 64 dimensions
LINE = 1 << 16  # bytes of a line of an old pickle at most
LARGE = 1 << 16  # bytes from which on pickle hands a value over without copying it
MARK = 16  # bytes at the end of a write that are looked for when its answer was lost

PANDAS, POLARS, DATASET = "pandas.dataframe", "polars.dataframe", "dataset"
ARROW_TABLE, ARROW_BATCH = "pyarrow.table", "pyarrow.record_batch"


@dataclass(frozen=True, slots=True)
class Opaque:
    """Bytes in pieces, which the server joins."""

    pieces: Sequence[pa.Buffer]

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(one.size for one in self.pieces)

    def marked(self, mark: bytes) -> Opaque:
        """Return it with a mark appended, which every format ignores."""
        return Opaque([*self.pieces, pa.py_buffer(mark)])


@dataclass(frozen=True, slots=True)
class Table:
    """A table that travels as one."""

    table: pa.Table

    @property
    def size(self) -> int:
        """Bytes of its columns."""
        size: int = self.table.nbytes
        return size

    def marked(self, mark: bytes) -> Table:
        """Return it with a mark in its schema, which readers take off."""
        metadata = {**(self.table.schema.metadata or {}), WRITE: mark.hex().encode()}
        return Table(self.table.replace_schema_metadata(metadata))


Payload = Opaque | Table

# ---------------------------------------------------------------------- to what travels


def encode(value: object) -> Payload:
    """Return what travels of a value that is put or updated.

    Raises:
        InvalidArgumentError: it cannot be pickled, or is too large.
    """
    table = _table(value)
    if table is not None:
        return table
    return encode_opaque(value)


def encode_opaque(value: object) -> Opaque:
    """Return what travels of a patch, which is never a table. Raises InvalidArgumentError."""
    made = Opaque(_pieces(value))
    if made.size + MARK > OPAQUE_LIMIT:
        raise InvalidArgumentError(
            f"the object has {made.size} bytes as it travels; one object takes less than 2 GiB: "
            "split it, or put it as a table, which has no such limit"
        )
    return made


def _pieces(value: object) -> list[pa.Buffer]:
    if isinstance(value, pa.Table):
        return _stream(TABLE, value.schema, value.to_batches())
    if isinstance(value, pa.RecordBatch):
        return _stream(BATCH, value.schema, [value])
    if isinstance(value, pa.Array):
        batch = pa.RecordBatch.from_arrays([value], names=["data"])
        return _stream(ARRAY, batch.schema, [batch])
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and _is_tensor(value):
        return _tensor(value)
    return _pickled(value)


def _table(value: object) -> Table | None:
    """Return a value as a table that travels as one; None if it is not one, or cannot."""
    made, kind = _as_table(value)
    if made is None or not made.num_rows or not made.num_columns:
        return None  # an engine refuses tables without rows
    if any(_has_dictionary(one.type) for one in made.schema):
        return None  # and dictionaries
    metadata = {
        **(made.schema.metadata or {}),
        FORMAT: NATIVE,
        LOGICAL_TYPE: kind.encode(),
        VERSION: b"0",
    }
    return Table(made.replace_schema_metadata(metadata))


def _as_table(value: Any) -> tuple[pa.Table | None, str]:
    if isinstance(value, pa.Table):
        return value, ARROW_TABLE
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value]), ARROW_BATCH
    for module, kind in (("pandas", PANDAS), ("polars", POLARS)):
        loaded = sys.modules.get(module)
        if loaded is not None and type(value) is getattr(loaded, "DataFrame", None):
            try:
                made = pa.Table.from_pandas(value) if kind == PANDAS else value.to_arrow()
            except (pa.ArrowException, TypeError, ValueError):
                return None, kind  # columns that no table has: they are pickled
            return made, kind
    to_arrow = getattr(value, "to_arrow", None)
    if callable(to_arrow) and not isinstance(value, type):
        made = to_arrow()
        if isinstance(made, pa.Table):
            return made, DATASET
    return None, ""


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(place).type) for place in range(kind.num_fields))


def _is_tensor(array: Any) -> bool:
    """True if an array comes back the same from Arrow's form of it, which has no other types."""
    flags = array.flags
    return (
        array.dtype.kind in "iuf"
        and array.dtype.isnative
        and array.dtype.itemsize <= 8
        and (flags.c_contiguous or flags.f_contiguous)
    )


def _tensor(array: Any) -> list[pa.Buffer]:
    tensor = pa.Tensor.from_numpy(array)
    head = pa.allocate_buffer(HEADER)
    with contextlib.suppress(OSError, ValueError):
        # The description is written, then the data, for which there may be no room: they are not
        # wanted here, and so are not copied.
        pa.ipc.write_tensor(tensor, pa.FixedSizeBufferWriter(head))
    data = array.data if array.flags.c_contiguous else array.T.data
    flat = pa.py_buffer(data) if array.size else pa.py_buffer(b"")
    return [pa.py_buffer(_aligned(TENSOR, head)), flat]


def _stream(kind: bytes, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> list[pa.Buffer]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    written = sink.getvalue()
    return [pa.py_buffer(_aligned(kind, written)), written.slice(_first(written))]


def _first(written: pa.Buffer) -> int:
    """Return the bytes of the first message's head: two numbers and what the second counts."""
    return 8 + int.from_bytes(written[4:8].to_pybytes(), "little")


def _aligned(kind: bytes, written: pa.Buffer) -> bytes:
    """Return prefix and first head, padded so that what follows is aligned."""
    size = _first(written)
    padding = -(PREFIX + size) % ALIGN
    length = (size - 8 + padding).to_bytes(4, "little")
    head = written[:size].to_pybytes()
    return b"".join((kind, head[:4], length, head[8:], b"\0" * padding))


def _pickled(value: object) -> list[pa.Buffer]:
    sink = _Pieces(PICKLE)
    try:
        cloudpickle.Pickler(sink, protocol=5).dump(value)
    except Exception as error:
        raise InvalidArgumentError(
            f"{type(value).__name__} cannot be put into the object cache, because it cannot be "
            f"pickled: {text_of(error)}"
        ) from error
    return sink.pieces()


class _Pieces:
    """A file for a pickler, which keeps large pieces as they are."""

    def __init__(self, start: bytes) -> None:
        self._done: list[pa.Buffer] = []
        self._small = bytearray(start)

    def write(self, data: Any) -> int:
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if size < LARGE:
            self._small += data
        else:
            self._flush()
            self._done.append(pa.py_buffer(data))
        return size

    def _flush(self) -> None:
        if self._small:
            self._done.append(pa.py_buffer(bytes(self._small)))
            self._small = bytearray()

    def pieces(self) -> list[pa.Buffer]:
        self._flush()
        return self._done


# ---------------------------------------------------------------------- and back


def decode(data: pa.Buffer, *, allow_pickle: bool) -> Any:
    """Return the value of an opaque payload; arrays and tables share the buffer, read-only.

    Raises:
        PickleRefusedError: it is a pickle that names classes or functions.
        InvalidArgumentError: it is no payload of a client.
    """
    prefix = data[:PREFIX].to_pybytes()
    body = data.slice(PREFIX) if prefix in _READERS or prefix == PICKLE else data
    reader = _READERS.get(prefix)
    try:
        if reader is not None:
            return reader(body)
        return _loads(body) if allow_pickle else _plain(body)
    except (pa.ArrowInvalid, EOFError, pickle.UnpicklingError, OSError) as error:
        raise InvalidArgumentError(
            f"the object of {data.size} bytes that begins with {repr_of(prefix)} cannot be read: "
            f"{text_of(error)}; "
            "was it put by a client of another language, or uploaded as a file? download_object "
            "gives its bytes"
        ) from error


def _loads(body: pa.Buffer) -> Any:
    return pickle.loads(memoryview(body))


def _plain(body: pa.Buffer) -> Any:
    try:
        return _PlainUnpickler(_Source(body)).load()
    except FlameError:
        raise
    except Exception as error:  # pickle's own, of any kind: no other code has run
        raise pickle.UnpicklingError(f"{type(error).__name__}: {text_of(error)}") from error


class _Source:
    """A file for an unpickler, which makes no more bytes than there are."""

    def __init__(self, body: pa.Buffer) -> None:
        self._view = memoryview(body).cast("B")

    def read(self, size: int) -> bytes:
        data, self._view = bytes(self._view[:size]), self._view[size:]
        return data

    def readinto(self, target: Any) -> int:
        target = memoryview(target).cast("B")
        size = min(len(target), len(self._view))
        target[:size] = self._view[:size]
        self._view = self._view[size:]
        return size

    def readline(self) -> bytes:
        end = bytes(self._view[:LINE]).find(b"\n")
        return self.read(end + 1 if end >= 0 else LINE)


class _PlainUnpickler(pickle.Unpickler):
    """It makes what pickle itself makes: bytes, text, numbers, lists, dicts, ... and no more.

    Code can only be reached by a name, so no name is looked up.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise PickleRefusedError(
            f"the object is a pickle that loads {module}.{name}, which could run anything, and "
            "unpickling is not allowed here (allow_pickle=False): read Arrow data, arrays, bytes "
            "and plain values only, or allow it if you trust every writer of the cache"
        )


def _read_tensor(body: pa.Buffer) -> Any:
    tensor = pa.ipc.read_tensor(pa.BufferReader(body))
    try:
        return tensor.to_numpy()  # read-only, as what it shares is
    except ImportError as error:
        raise MissingExtraError(
            "the object is an array, and reading it needs numpy: run pip install numpy"
        ) from error


def _read_table(body: pa.Buffer) -> Any:
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()


def _read_batch(body: pa.Buffer) -> Any:
    with pa.ipc.open_stream(body) as reader:
        return _only_batch(reader.read_all())


def _read_array(body: pa.Buffer) -> Any:
    return _read_batch(body).column(0)


_READERS = {TENSOR: _read_tensor, TABLE: _read_table, ARRAY: _read_array, BATCH: _read_batch}


def _only_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.to_batches()
    if len(batches) != 1:
        batches = table.combine_chunks().to_batches()
    if batches:
        return batches[0]
    return pa.RecordBatch.from_arrays(
        [pa.array([], one.type) for one in table.schema], schema=table.schema
    )


def decode_table(table: pa.Table) -> Any:
    """Return the value of a table that travelled as one."""
    metadata = table.schema.metadata or {}
    kind = metadata.get(LOGICAL_TYPE, b"").decode()
    rest = {key: one for key, one in metadata.items() if not key.startswith(METADATA)}
    table = table.replace_schema_metadata(rest or None)
    if kind == ARROW_BATCH:
        return _only_batch(table)
    if kind in (PANDAS, POLARS):
        return _frame(table, kind)
    return table


def _frame(table: pa.Table, kind: str) -> Any:
    name = kind.partition(".")[0]
    try:
        if kind == PANDAS:
            return table.to_pandas()
        import polars  # type: ignore[import-not-found,unused-ignore]  # the reader's own

        return polars.from_arrow(table)
    except ImportError as error:
        raise MissingExtraError(
            f"the object is a {name} DataFrame, and reading it needs {name}: run pip install {name}"
        ) from error


def is_constant(value: object) -> bool:
    """True for an immutable value, which several readers may share."""
    return value is None or type(value) in _CONSTANTS


_CONSTANTS = frozenset({bytes, str, int, float, complex, bool, pa.Table, pa.RecordBatch})
