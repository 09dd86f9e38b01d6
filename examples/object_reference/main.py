"""Large data for tasks: 32 MiB go to the object cache once, tasks carry a reference."""

import sys
from pathlib import Path

import numpy as np

from flamepy.core import ApplicationAttributes, ObjectRef, connect
from flamepy.local import LocalCluster

SERVICE = Path(__file__).with_name("service.py")


def main() -> None:
    columns = ApplicationAttributes(command=sys.executable, arguments=[str(SERVICE)])
    with (
        LocalCluster(executors=2, apps=[("columns", columns)]) as cluster,
        connect(context=cluster.context) as connection,
        connection.create_session("columns") as session,
    ):
        cache = connection.objects
        matrix = np.arange(4 << 20, dtype="f8").reshape(-1, 4)
        ref = cache.put("columns/shared", matrix)
        short = len(ref.encode()) < 150
        print(f"{matrix.nbytes >> 20} MiB in the cache, a reference is short: {short}")
        futures = [session.run(ref.encode()) for _ in range(3)]
        means = [cache.get(ObjectRef.decode(one.result() or b"")) for one in futures]
        print([bool(np.allclose(one, matrix.mean(axis=0))) for one in means])
        cache.delete("columns/*")


if __name__ == "__main__":
    main()
