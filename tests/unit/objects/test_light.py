"""Reading and writing plain objects loads none of the libraries whose objects could be written."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys
from flamepy.core import connect
from flamepy.local import LocalCluster

with LocalCluster(executors=1) as cluster:
    os.environ["FLAME_CACHE_ENDPOINT"] = cluster.cache_endpoint
    with connect(cluster.endpoint) as connection:
        objects = connection.objects
        ref = objects.patch(objects.put("a/b", {"x": 1}), 2)
        assert objects.get(ref, lambda base, patches: (base, patches)) == ({"x": 1}, [2])
print(sorted({"pandas", "polars"} & set(sys.modules)))
"""


def test_a_plain_object_loads_neither_pandas_nor_polars() -> None:
    """Pyarrow's ``array`` of a list imports pandas, which takes longer than everything else."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[]"]
