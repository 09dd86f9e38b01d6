"""Payload formats: values come back, share their buffer where they can, run no code if told."""

from __future__ import annotations

import contextlib
import pickle
import threading
import tracemalloc
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import InvalidArgumentError, PickleRefusedError
from flamepy.objects import codec

DTYPES = ("i1", "u2", "<i4", ">i4", "f2", "f4", "<f8", ">f8", "c16", "?", "S3", "U2", "M8[s]", "O")
STRUCTURED = np.dtype([("a", "i4"), ("b", "f8", (2,)), ("c", "U3")])


def travelled(value: object, mark: bytes = b"") -> pa.Buffer:
    """Return the opaque form of a value as a server joins it."""
    made = codec.encode_opaque(value)
    made = made.marked(mark) if mark else made
    return pa.py_buffer(b"".join(one.to_pybytes() for one in made.pieces))


def back(value: object, *, allow_pickle: bool = True) -> Any:
    made = codec.encode(value)
    if isinstance(made, codec.Table):
        return codec.decode_table(made.table)
    return codec.decode(travelled(value), allow_pickle=allow_pickle)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(st.sampled_from([*map(np.dtype, DTYPES), STRUCTURED]))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    array = np.zeros(shape, dtype)
    if dtype.kind in "iufc":
        array = (np.arange(array.size) % 100).astype(dtype).reshape(shape)
    layout = draw(st.sampled_from(("C", "F", "strided", "transposed")))
    if layout == "strided" and array.ndim:
        return array[::2]
    return array.T if layout == "transposed" else np.array(array, order=layout.replace("s", "C")[0])


class TestArrays:
    @given(arrays(), st.sampled_from((b"", b"\0" * codec.MARK, b"." * codec.MARK)))
    def test_any_array_comes_back(self, array: np.ndarray, mark: bytes) -> None:
        read = codec.decode(travelled(array, mark), allow_pickle=True)
        # numpy's own pickles of strided arrays come back in the machine's byte order.
        dtype = pickle.loads(pickle.dumps(array, 5)).dtype
        assert (read.dtype, read.shape) == (dtype, array.shape)
        np.testing.assert_array_equal(read, array)

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_numbers_share_the_buffer_read_only_and_aligned(self, order: Any) -> None:
        array = np.array(np.arange(3000.0).reshape(30, 100), order=order)
        buffer = travelled(array)
        read = codec.decode(buffer, allow_pickle=False)
        inside = read.ctypes.data - buffer.address
        assert 0 < inside <= buffer.size - array.nbytes, "copied"
        assert inside % codec.ALIGN == 0, "data in a received buffer are not aligned"
        with pytest.raises(ValueError, match="read-only"):
            read[0, 0] = 1.0

    def test_an_array_is_sent_from_its_own_memory(self) -> None:
        array = np.zeros(1 << 20)
        tracemalloc.start()
        try:
            pieces = codec.encode(array).pieces
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert any(one.address == array.ctypes.data and one.size == array.nbytes for one in pieces)
        assert peak < array.nbytes / 4

    def test_subclasses_keep_their_class(self) -> None:
        masked = np.ma.masked_array([1, 2], mask=[True, False])
        assert isinstance(back(masked), np.ma.MaskedArray)
        assert isinstance(back(np.float32(1.5)), np.float32)

    def test_it_is_what_arrow_writes_behind_the_prefix(self) -> None:
        """The official client reads it with Arrow's own reader."""
        body = travelled(np.arange(4)).slice(4)
        assert pa.ipc.read_tensor(pa.BufferReader(body)).to_numpy().tolist() == [0, 1, 2, 3]


TABLES = [
    pa.table({"x": [1, None], "y": ["a", "b"]}),
    pa.table({"x": pa.chunked_array([[1], [2, 3]])}),
    pa.table({"x": pa.array([], pa.int64())}),
    pa.table({}),
    pa.table({"d": pa.array(["a", "b", "a"]).dictionary_encode()}),
    pa.table({"s": pa.array([{"a": [1]}])}, metadata={"mine": "kept"}),
]


class TestArrow:
    @pytest.mark.parametrize("table", TABLES, ids=range(len(TABLES)))
    def test_tables_come_back_with_their_schema(self, table: pa.Table) -> None:
        for read in (back(table), codec.decode(travelled(table), allow_pickle=False)):
            assert read.equals(table, check_metadata=True)
            assert (read.schema.metadata or {}) == (table.schema.metadata or {})

    def test_batches_arrays_and_chunks_come_back(self) -> None:
        batch = pa.record_batch({"x": [1, 2]})
        for value in (batch, batch.slice(0, 0), pa.array([1, None]), pa.chunked_array([[1], [2]])):
            for read in (back(value), codec.decode(travelled(value), allow_pickle=True)):
                assert type(read) is type(value)
                assert read.equals(value)

    def test_a_table_shares_the_buffer(self) -> None:
        buffer = travelled(pa.table({"x": np.arange(10_000)}))
        data = codec.decode(buffer, allow_pickle=False).column(0).chunk(0).buffers()[1]
        assert buffer.address <= data.address < buffer.address + buffer.size
        assert (data.address - buffer.address) % 8 == 0, "as Arrow aligns it"

    def test_what_an_engine_refuses_as_a_table_travels_in_the_opaque_form(self) -> None:
        kinds = [type(codec.encode(table)) for table in TABLES]
        table, opaque = codec.Table, codec.Opaque
        assert kinds == [table, table, opaque, opaque, opaque, table]

    def test_anything_with_to_arrow_travels_as_its_table(self) -> None:
        class Dataset:
            def to_arrow(self) -> pa.Table:
                return TABLES[0]

        made = codec.encode(Dataset())
        assert isinstance(made, codec.Table)
        assert made.table.schema.metadata[b"flame.cache.logical_type"] == b"dataset"
        assert codec.decode_table(made.table).equals(TABLES[0])


class TestFrames:
    @pytest.mark.parametrize(
        "frame",
        [
            pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=["p", "q"]),
            pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
            pd.DataFrame({"mixed": [1, "a"]}),
            pd.DataFrame({"a": []}),
            pd.DataFrame(),
        ],
        ids=["indexed", "categories", "mixed", "no rows", "empty"],
    )
    def test_pandas(self, frame: pd.DataFrame) -> None:
        pd.testing.assert_frame_equal(back(frame), frame)

    @pytest.mark.parametrize(
        "frame",
        [
            pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
            pl.DataFrame({"a": pl.Series(["x", "y"], dtype=pl.Categorical)}),
            pl.DataFrame({"a": []}),
            pl.DataFrame(),
        ],
        ids=["plain", "categories", "no rows", "empty"],
    )
    def test_polars(self, frame: pl.DataFrame) -> None:
        assert back(frame).equals(frame)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=8,
)


class TestPickles:
    @given(PLAIN, st.booleans())
    def test_plain_values_come_back_with_and_without_unpickling(
        self, value: Any, allowed: bool
    ) -> None:
        assert codec.decode(travelled(value, b"." * codec.MARK), allow_pickle=allowed) == value

    @pytest.mark.parametrize("size", [0, 1, codec.LARGE - 1, codec.LARGE, 3_000_000])
    def test_large_bytes_are_sent_as_they_are(self, size: int) -> None:
        data = b"x" * size
        pieces = codec.encode(data).pieces
        assert codec.decode(travelled(data), allow_pickle=False) == data
        assert b"".join(one.to_pybytes() for one in pieces)[:4] == codec.PICKLE
        if size >= codec.LARGE:
            assert any(one.address == pa.py_buffer(data).address for one in pieces), "copied"

    def test_functions_and_classes_of_main_come_back(self) -> None:
        assert back(lambda x: x + 1)(1) == 2

    @pytest.mark.parametrize(
        "payload",
        [
            codec.PICKLE + cloudpickle.dumps(print),
            codec.PICKLE + pickle.dumps(ValueError("x")),
            cloudpickle.dumps(lambda: 1),
            b"cos\nsystem\n(S'echo no'\ntR.",
        ],
    )
    def test_what_loads_a_name_is_refused_when_told(self, payload: bytes) -> None:
        with pytest.raises(PickleRefusedError, match=r"loads \w+.*allow_pickle=False"):
            codec.decode(pa.py_buffer(payload), allow_pickle=False)

    def test_a_pickle_without_a_prefix_is_read(self) -> None:
        """As older official clients wrote it."""
        assert codec.decode(pa.py_buffer(pickle.dumps([1])), allow_pickle=True) == [1]

    @given(st.binary(max_size=40))
    def test_any_bytes_are_read_or_refused_with_a_flame_error(self, data: bytes) -> None:
        for kind in (b"", codec.PICKLE, codec.TENSOR, codec.TABLE, codec.ARRAY, codec.BATCH):
            with contextlib.suppress(InvalidArgumentError):
                codec.decode(pa.py_buffer(kind + data), allow_pickle=False)

    def test_what_cannot_be_pickled_is_named(self) -> None:
        with pytest.raises(InvalidArgumentError, match="lock cannot be put"):
            codec.encode(threading.Lock())


def test_a_mark_is_in_the_schema_of_a_table_and_taken_off() -> None:
    made = codec.encode(TABLES[0]).marked(b"m" * codec.MARK)
    assert isinstance(made, codec.Table)
    assert made.table.schema.metadata[b"flame.cache.write"] == (b"m" * codec.MARK).hex().encode()
    assert codec.decode_table(made.table).schema.metadata is None
