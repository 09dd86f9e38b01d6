"""A thousand calls of the object cache at once: each is answered, and memory is bounded."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cluster_process import ClusterProcess

pa = pytest.importorskip("pyarrow", reason="the extra cache is not installed")
flight = pytest.importorskip("pyarrow.flight", reason="the extra cache is not installed")

CALLS, CONNECTIONS, SIZE = 1000, 20, 20_000
MEMORY = 10_000_000  # half of what is put
MOST = 800_000_000  # bytes: threads and messages of all calls at once, many times over
SCHEMA = pa.schema(
    [pa.field("version", pa.uint64(), nullable=False), pa.field("data", pa.binary(), False)]
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def content(number: int) -> bytes:
    return number.to_bytes(4, "big") * (SIZE // 4)


def put(client: object, number: int) -> str:
    """Store an object, again for as long as other uploads take the memory."""
    row = [pa.array([0], pa.uint64()), pa.array([content(number)], pa.binary())]
    batch = pa.record_batch(row, schema=SCHEMA)
    while True:
        try:
            put_once(client, number, batch)
        except flight.FlightUnavailableError as error:
            if "uploads in progress take the cache's memory" not in str(error):
                raise
            threading.Event().wait(0.02)
        else:
            return "stored"


def put_once(client: object, number: int, batch: object) -> None:
    descriptor = flight.FlightDescriptor.for_path(f"app/s/{number}")
    writer, reader = client.do_put(descriptor, SCHEMA)  # type: ignore[attr-defined]  # pyarrow has no types
    with writer:
        writer.write_batch(batch)
        writer.done_writing()
        reader.read()


def get(client: object, number: int) -> str:
    reader = client.do_get(flight.Ticket(f"app/s/{number}:0".encode()))  # type: ignore[attr-defined]  # pyarrow has no types
    found = reader.read_all().column("data")[0].as_py()
    return "right" if found == content(number) else "wrong"


def burst(call: Callable[[object, int], str], clients: list[object]) -> Counter[str]:
    """Make all calls at once, each on a thread of its own; return what came of them."""
    together = threading.Barrier(CALLS)
    outcomes: list[str] = []

    def one(number: int) -> None:
        together.wait()
        try:
            outcomes.append(call(clients[number % CONNECTIONS], number))
        except Exception as error:
            outcomes.append(repr(error)[:200])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(CALLS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(outcomes)


def peak(pid: int) -> int:
    """Return the bytes of memory that a process had at most (Linux; 0 elsewhere)."""
    path = Path(f"/proc/{pid}/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@pytest.mark.timeout(180)
def test_a_thousand_calls_at_once_are_answered_and_memory_is_bounded(tmp_path: Path) -> None:
    port = free_port()
    cluster = ClusterProcess(
        tmp_path, cache_port=port, cache_memory=MEMORY, data=str(tmp_path / "data")
    )
    with cluster.start():
        options = [("grpc.use_local_subchannel_pool", 1)]
        clients = [
            flight.connect(f"grpc://127.0.0.1:{port}", generic_options=options)
            for _ in range(CONNECTIONS)
        ]
        try:
            assert burst(put, clients) == {"stored": CALLS}
            assert burst(get, clients) == {"right": CALLS}, "from the disk where memory is full"
            assert peak(cluster.pid) < MOST
        finally:
            for client in clients:
                client.close()
