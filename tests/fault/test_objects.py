"""The object cache under faults: killed servers and clients, full disks, silent peers, forks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from support.cache_process import CacheProcess
from support.forking import ask, end, fork
from support.frozen import freeze
from support.objects import client_of, serving
from support.waiting import eventually

from flamepy.core import get_object, put_object
from flamepy.errors import (
    FlameError,
    InvalidStateError,
    ObjectNotFoundError,
)
from flamepy.local import LocalCluster
from flamepy.objects.client import ObjectClient
from flamepy.wire.objects import ObjectRef

MIB = 1 << 20
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


def pool(size: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(size, thread_name_prefix="ThreadPoolExecutor")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CacheProcess]:
    with CacheProcess(tmp_path, folder=str(tmp_path / "data")) as running:
        yield running


@pytest.fixture
def client(cache: CacheProcess) -> Iterator[ObjectClient]:
    with client_of(cache.endpoint, patience=60.0) as made:
        yield made


def both(base: object, patches: list[object]) -> tuple[object, list[object]]:
    return base, patches


class TestServerKilled:
    """What was acknowledged is there; what was under way is made again and there once."""

    def test_during_puts(self, cache: CacheProcess, client: ObjectClient) -> None:
        stop = threading.Event()

        def put(number: int) -> list[tuple[ObjectRef, bytes]]:
            done = []
            while not stop.is_set():
                data = bytes([number]) * (200_000 + len(done))
                done.append((client.put("a/s", data), data))
            return done

        with pool(4) as threads:
            puts = [threads.submit(put, number) for number in range(4)]
            for _ in range(3):
                before = client.retrier.counters.calls
                eventually(lambda before=before: client.retrier.counters.calls > before + 8)
                cache.kill()
                cache.start()
            stop.set()
            done = [one for put_ in puts for one in put_.result(60)]
        assert len(done) > 24
        for ref, data in done:
            assert client.get(ObjectRef("", ref.key)) == data
        listed = {path.stem for path in (cache.log.parent / "data/a/s").glob("*.arrow")}
        assert {ref.key.rpartition("/")[2] for ref, _ in done} == listed, "a part of an upload"

    def test_during_patches(self, cache: CacheProcess, client: ObjectClient) -> None:
        ref = client.put("a/s", b"base")
        stop = threading.Event()

        def patch(number: int) -> int:
            count = 0
            while not stop.is_set() and count < 300:
                client.patch(ref, (number, count))
                count += 1
            return count

        with pool(3) as threads:
            patches = [threads.submit(patch, number) for number in range(3)]
            for _ in range(3):  # the first kill comes long before they are done
                before = client.retrier.counters.calls
                eventually(
                    lambda before=before: (
                        client.retrier.counters.calls > before + 8
                        or all(one.done() for one in patches)
                    )
                )
                cache.kill()
                cache.start()
            stop.set()
            counts = [one.result(60) for one in patches]
        _, found = client.get(ObjectRef("", ref.key), both)
        assert sorted(found) == [(who, n) for who in range(3) for n in range(counts[who])]
        for who in range(3):
            assert [n for by, n in found if by == who] == list(range(counts[who])), "the order"

    def test_during_gets(self, cache: CacheProcess, client: ObjectClient) -> None:
        array = np.arange(4 * MIB // 8)
        ref = client.put("a/s", array)
        with pool(2) as threads:
            reads = [threads.submit(lambda: client.get(ObjectRef("", ref.key))) for _ in range(40)]
            eventually(lambda: any(one.done() for one in reads))
            cache.kill()
            cache.start()
            assert all(np.array_equal(one.result(60), array) for one in reads)

    def test_a_connection_survives_a_restart(
        self, cache: CacheProcess, client: ObjectClient
    ) -> None:
        ref = client.put("a/s", b"x")
        for _ in range(2):
            cache.end()
            cache.start()
            assert client.get(ref) == b"x"


class TestClientKilled:
    UPLOADS = """
import os, signal, sys
import pyarrow as pa
from support.objects import client_of
from flamepy.wire.objects import ObjectRef

def progress(done, total):
    if done > total // 2:
        print("half", flush=True)
        how = sys.argv[2]
        os.kill(os.getpid(), signal.SIGKILL) if how == "kill" else sys.exit(3)

value = bytes(32 << 20)
if sys.argv[3] == "table":
    value = pa.table({"x": pa.array(range(1 << 20))})
with client_of(sys.argv[1]) as client:
    client.update(ObjectRef("", "a/s/o"), value, progress=progress)
"""

    @pytest.mark.parametrize("value", ["bytes", "table"])
    @pytest.mark.parametrize("how", ["kill", "exit"])
    def test_a_client_that_goes_in_the_middle_leaves_nothing(self, how: str, value: str) -> None:
        with serving(memory=64 * MIB) as cache, client_of(cache.endpoint) as client:
            client.update(ObjectRef("", "a/s/o"), b"before")
            command = [sys.executable, "-c", self.UPLOADS, cache.endpoint, how, value]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            )
            assert "half" in done.stdout, done.stderr
            assert done.returncode in (-signal.SIGKILL, 3), done.stderr
            # All of the memory can be had again: what was received of it is given back.
            eventually(lambda: put_large(client), "the memory of the upload")
            assert client.get(ObjectRef("", "a/s/o")) == b"before"

    def test_an_upload_that_is_given_up_here_stores_nothing(self) -> None:
        """A writer of pyarrow that is let go ends the stream as if all had been sent."""
        with serving() as cache, client_of(cache.endpoint) as client:
            ref = client.put("a/s", b"before")

            def give_up(done: int, total: int) -> None:
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                client.update(ref, bytes(16 * MIB), progress=give_up)
            assert client.get(ObjectRef("", ref.key)) == b"before"


def put_large(client: ObjectClient) -> bool:
    try:
        ref = client.put("a/t", bytes(60 * MIB))
    except FlameError:
        return False
    client.delete(ref.key)
    return True


class TestSilence:
    STALLS = """
import sys
import pyarrow.flight as flight
client = flight.connect(sys.argv[1])
reader = client.do_get(flight.Ticket(sys.argv[2].encode()))
reader.read_chunk()
print("reading", flush=True)
sys.stdin.read()
"""

    def test_a_client_that_stops_reading_holds_up_nobody_nor_the_end(self) -> None:
        with serving() as cache, client_of(cache.endpoint) as client:
            ref = client.put("a/s", b"base")
            for _ in range(8):
                client.patch(ref, bytes(8 * MIB))
            command = [sys.executable, "-c", self.STALLS, cache.endpoint, ref.key]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as stalled:
                assert stalled.stdout is not None
                assert stalled.stdout.readline() == "reading\n"
                assert client.get(client.put("a/s", b"x")) == b"x"
                cache.stop()
                names = {one.name for one in threading.enumerate()}
                assert "flamepy-cache-stop" not in names, "the server waits for its client"
                stalled.kill()

    def test_a_server_that_is_silent_is_left_at_the_deadline(
        self, cache: CacheProcess, client: ObjectClient
    ) -> None:
        ref = client.put("a/s", b"x")
        freeze(cache.pid)
        try:
            with pytest.raises(FlameError) as raised:
                client.get(ObjectRef("", ref.key), timeout=0.5)
        finally:
            os.kill(cache.pid, signal.SIGCONT)
        assert raised.value.failure == "deadline"
        assert client.get(ref) == b"x"


def test_a_full_disk_refuses_and_changes_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk's end."""
    cache = CacheProcess(tmp_path, folder=str(tmp_path / "data"))
    shell = 'trap "" XFSZ; ulimit -f 2048; exec "$@"'  # 2 MiB or 1 MiB, by the shell
    cache.start("sh", "-c", shell, "sh")
    try:
        with client_of(cache.endpoint) as client:
            ref = client.put("a/s", b"small")
            for write in (client.update, client.patch):
                with pytest.raises(FlameError, match="nothing was changed"):
                    write(ref, bytes(8 * MIB))
            cache.end()
            cache.start()
            assert client.get(ObjectRef("", ref.key), both) == (b"small", [])
            left = [one.name for one in (tmp_path / "data").rglob("*") if "new-" in one.name]
            assert left == []
    finally:
        cache.end()


def test_many_threads_on_one_key(cache: CacheProcess, client: ObjectClient) -> None:
    """64 threads patch, read and replace one object: versions are all different and all there."""
    ref = client.put("a/s", 0)
    barrier = threading.Barrier(64)

    def work(number: int) -> list[int]:
        barrier.wait()
        mine = []
        for step in range(3):
            mine.append(client.patch(ref, (number, step)).version)
            base, patches = client.get(ObjectRef("", ref.key, mine[-1]), both)
            assert base == 0
            assert (number, step) in patches, "a read does not show the reader's own write"
        return mine

    with pool(64) as threads:
        versions = [one for mine in threads.map(work, range(64)) for one in mine]
    assert sorted(versions) == list(range(2, 2 + 64 * 3))


EXCUSE = "the child was told" if int(pa.__version__.partition(".")[0]) < 26 else "none"


def used(ref: ObjectRef) -> str:
    """Use the cache in a child; older pyarrows cannot, and it must be said rather than hang."""
    try:
        return str(get_object(ref) + get_object(put_object("a/s", " child")))
    except InvalidStateError as error:
        return "the child was told" if "install pyarrow 26" in error.message else error.message


class TestForks:
    """A fork lets go of connections and server, and both go on behind it; a child begins afresh."""

    def test_parent_and_child_use_the_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with LocalCluster(executors=1) as cluster:
            monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cluster.cache_endpoint)
            ref = put_object("a/s", "before")
            for number in range(5):
                assert ask(lambda: used(ref)) in ("before child", EXCUSE)
                assert get_object(put_object("a/s", number)) == number
            assert get_object(ref) == "before"

    def test_calls_in_flight_end_or_go_on(self, cache: CacheProcess, client: ObjectClient) -> None:
        ref = client.put("a/s", bytes(4 * MIB))
        stop = threading.Event()

        def read() -> int:
            count = 0
            while not stop.is_set():
                assert len(client.get(ObjectRef("", ref.key))) == 4 * MIB
                count += 1
            return count

        with pool(3) as threads:
            reads = [threads.submit(read) for _ in range(3)]
            codes = [end(fork(lambda: None)) for _ in range(10)]
            stop.set()
            assert all(one.result(60) > 0 for one in reads)
        assert codes == [0] * 10

    def test_a_parents_client_says_so_in_the_child(self, client: ObjectClient) -> None:
        ref = client.put("a/s", b"x")

        def use() -> str:
            try:
                return str(client.get(ref))
            except InvalidStateError as error:
                return error.message

        assert "before a fork" in ask(use)
        assert client.get(ref) == b"x"

    def test_a_child_leaves_the_parents_cache_alone(self) -> None:
        with serving() as cache, client_of(cache.endpoint) as client:
            ref = client.put("a/s", b"x")
            assert end(fork(cache.stop)) == 0
            assert client.get(ref) == b"x"
            other = flight.connect(cache.endpoint)
            try:
                assert list(other.list_flights())
            finally:
                other.close()


def has_lost(client: ObjectClient, ref: ObjectRef) -> bool:
    """Read what cannot be read; tell whether nothing of the cache is kept any more."""
    with contextlib.suppress(FlameError):
        client.get(ref, timeout=0.5)
    return client.cache_info().entries == 0


def test_a_cache_in_memory_that_was_restarted_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    with CacheProcess(tmp_path) as cache, client_of(cache.endpoint, patience=60.0) as client:
        ref = client.update(ObjectRef("", "a/s/o"), b"old")
        assert client.get(ref) == b"old"
        cache.kill()
        eventually(lambda: has_lost(client, ref), "the loss of the connection")
        cache.start()
        with client_of(cache.endpoint) as other:
            other.update(ObjectRef("", "a/s/o"), b"new")
        assert client.get(ref) == b"new"
        client.delete(ref.key)
        with pytest.raises(ObjectNotFoundError):
            client.get(ref)
