"""Values and what is said of them: run by the official SDK's Python, imported by our tests.

``write`` puts every value and prints the references; ``read`` gets those given and prints what they
are. Both SDKs are imported as ``flamepy.core``.
"""

import json
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from flamepy import core


class Dataset:
    """Anything with ``to_arrow``."""

    def to_arrow(self):
        return pa.table({"d": [1, 2]})


VALUES = {
    "bytes": b"x" * 100_000,
    "small bytes": b"",
    "dict": {"a": [1, 2.5, None, "text"]},
    "array": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "0-d": np.array(2.5),
    "no elements": np.zeros((0, 3), "f4"),
    "strided": np.arange(12)[::2],
    "half": np.arange(3, dtype="f2"),
    "booleans": np.array([True, False]),
    "structured": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "texts": np.array(["a", "bc"]),
    "table": pa.table({"x": [1, None], "y": ["a", "b"]}),
    "chunked": pa.table({"x": pa.chunked_array([[1], [2, 3]])}),
    "table without rows": pa.table({"x": pa.array([], pa.int64())}),
    "dictionaries": pa.table({"d": pa.array(["a", "b", "a"]).dictionary_encode()}),
    "batch": pa.record_batch({"x": [1, 2]}),
    "arrow array": pa.array([1, None, 3]),
    "pandas": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=["p", "q"]),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
    "polars": pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
    "polars without rows": pl.DataFrame({"a": []}),
    "dataset": Dataset(),
}
# What the official client itself cannot put: it has no form for it, or one that an engine refuses.
TOO_MUCH = {
    "structured",
    "texts",
    "table without rows",
    "dictionaries",
    "categories",
    "polars without rows",
}
DELTAS = [np.arange(3), {"step": 1}, pa.table({"x": [1]}), b"", pa.array([1, 2])]


def described(value):
    """Return the class, and the content as text."""
    if isinstance(value, np.ndarray):
        return ["ndarray", str(value.dtype), list(value.shape), repr(value.tolist())]
    if isinstance(value, pl.DataFrame):
        return ["polars", repr(value.to_dict(as_series=False))]
    if isinstance(value, pd.DataFrame):
        return ["pandas", repr(value.to_dict()), repr(list(value.index))]
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return [type(value).__name__, str(value.schema), repr(value.to_pydict())]
    if isinstance(value, pa.Array):
        return [type(value).__name__, repr(value.to_pylist())]
    return [type(value).__name__, repr(value)]


def write(names):
    """Put values, and one that is patched; return references as hexadecimal text."""
    refs = {name: core.put_object("peer/shared", VALUES[name]).encode().hex() for name in names}
    patched = core.put_object("peer/shared", b"base")
    patched = core.update_object(patched, {"base": 1})
    for delta in DELTAS:
        patched = core.patch_object(patched, delta)
    refs["patched"] = patched.encode().hex()
    return refs


def read(refs):
    """Get values; return what they are."""
    found = {}
    for name, text in refs.items():
        ref = core.ObjectRef.decode(bytes.fromhex(text))
        if name == "patched":
            base, deltas = core.get_object(ref, lambda base, deltas: (base, deltas))
            found[name] = [described(base), *map(described, deltas), ref.version]
        else:
            found[name] = described(core.get_object(ref))
    return found


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps(write(arguments) if command == "write" else read(json.loads(arguments[0]))))
