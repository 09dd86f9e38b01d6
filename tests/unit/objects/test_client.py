"""``ObjectClient`` against a cache of its own: a plain model says what every read must show."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from support.objects import QUICK, client_of, serving

from flamepy.config import FlameClientTls
from flamepy.errors import (
    AmbiguousResultError,
    ConnectionClosedError,
    InvalidArgumentError,
    InvalidStateError,
    ObjectNotFoundError,
    PickleRefusedError,
    ResourceExhaustedError,
    TlsError,
    UnavailableError,
)
from flamepy.local.object_cache.server import ObjectCache
from flamepy.objects.client import ObjectClient
from flamepy.objects.pool import Pool
from flamepy.objects.store import ObjectMemory
from flamepy.rpc.transport.loop_thread import ReactorLoop
from flamepy.types import RetryPolicy
from flamepy.wire.objects import ObjectRef

VALUE = st.one_of(
    st.binary(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.integers(0, 9).map(lambda size: np.arange(float(size))),
    st.integers(1, 4).map(lambda size: pa.table({"x": list(range(size))})),
)
PATCH = st.one_of(st.binary(max_size=20), st.integers(0, 9).map(np.arange))


def same(left: Any, right: Any) -> bool:
    if isinstance(right, np.ndarray):
        return bool(isinstance(left, np.ndarray) and np.array_equal(left, right))
    return bool(left == right)


def both(base: Any, patches: list[Any]) -> tuple[Any, list[Any]]:
    return base, patches


class Clients(RuleBasedStateMachine):
    """Three clients write and read a few keys; a dictionary says what must be read.

    Two share a key's history as two programs would: one reads what the other wrote.
    """

    folder: Path | None = None

    @initialize()
    def start(self) -> None:
        self.serving = serving(self.folder)
        self.cache = self.serving.__enter__()
        self.made = [client_of(self.cache.endpoint) for _ in range(3)]
        self.clients = [one.__enter__() for one in self.made]
        self.model: dict[str, tuple[Any, list[Any], int]] = {}  # base, patches, version
        self.refs: dict[str, ObjectRef] = {}
        self.deleted: set[tuple[int, str]] = set()  # who may take a new object for the old

    def teardown(self) -> None:
        for one in getattr(self, "made", ()):
            one.__exit__(None, None, None)
        if hasattr(self, "serving"):
            self.serving.__exit__(None, None, None)

    def ref(self, key: str, version: int) -> ObjectRef:
        return ObjectRef(self.cache.endpoint, f"app/s/{key}", version)

    @rule(who=st.integers(0, 2), key=st.sampled_from("ab"), value=VALUE)
    def update(self, who: int, key: str, value: Any) -> None:
        _, _, version = self.model.get(key, (None, [], 0))
        made = self.clients[who].update(self.ref(key, version), value)
        assert made.version == version + 1
        self.model[key] = (value, [], made.version)

    @rule(who=st.integers(0, 2), key=st.sampled_from("ab"), value=PATCH)
    def patch(self, who: int, key: str, value: Any) -> None:
        if key not in self.model:
            with pytest.raises(ObjectNotFoundError):
                self.clients[who].patch(self.ref(key, 1), value)
            return
        base, patches, version = self.model[key]
        made = self.clients[who].patch(self.ref(key, version), value)
        assert made.version == version + 1
        # Patches of a table are counted and never sent.
        more = [] if isinstance(base, pa.Table) else [value]
        self.model[key] = (base, patches + more, made.version)

    @rule(who=st.integers(0, 2), key=st.sampled_from("ab"), known=st.integers(0, 1))
    def get(self, who: int, key: str, known: int) -> None:
        if key not in self.model:
            with pytest.raises(ObjectNotFoundError):
                self.clients[who].get(self.ref(key, known))
            self.deleted.discard((who, key))
            return
        version = 0 if (who, key) in self.deleted else known
        self.deleted.discard((who, key))
        base, patches, _ = self.model[key]
        read, more = self.clients[who].get(self.ref(key, version), both)
        assert same(read, base)
        assert len(more) == len(patches)
        assert all(map(same, more, patches))

    @rule(who=st.integers(0, 2), named=st.sampled_from(("app/s/a", "app/s", "app/*")))
    def delete(self, who: int, named: str) -> None:
        self.clients[who].delete(named)
        gone = ["a"] if named == "app/s/a" else ["a", "b"]
        for key in gone:
            self.model.pop(key, None)
            self.deleted |= {(other, key) for other in range(3) if other != who}


TestClients = Clients.TestCase
TestClients.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


def test_the_same_on_a_disk(tmp_path: Path) -> None:
    class OnDisk(Clients):
        folder = tmp_path

        def teardown(self) -> None:
            if hasattr(self, "clients"):
                self.clients[0].delete("app/*")
            super().teardown()

    case = OnDisk.TestCase
    case.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
    case().runTest()


class TestKept:
    """What was read is asked about, not sent again, and never changed by anybody."""

    def test_what_did_not_change_is_not_sent_again(self, client: ObjectClient) -> None:
        ref = client.put("a/s", b"x" * 1000)
        reads = [client.get(ref) for _ in range(3)]
        assert reads[0] is reads[1] is reads[2]
        info = client.cache_info()
        assert (info.hits, info.increments, info.misses, info.entries) == (2, 0, 1, 1)

    def test_only_new_patches_are_sent(self, client: ObjectClient, cache: ObjectCache) -> None:
        ref = client.put("a/s", b"base")
        for number in range(20):
            client.patch(ref, number)
        assert client.get(ref, both) == (b"base", list(range(20)))
        with client_of(cache.endpoint) as other:
            other.patch(ref, 20)
        sizes: list[int] = []
        read = client.get(ref, both, progress=lambda done, total: sizes.append(total))
        assert read == (b"base", list(range(21)))
        assert sizes[0] < 200, "more than the new patch was sent"
        assert client.cache_info().increments == 1

    def test_version_0_reads_everything_anew(self, client: ObjectClient) -> None:
        ref = client.put("a/s", b"x")
        client.get(ref)
        ref.version = 0
        assert client.get(ref) == b"x"
        assert (client.cache_info().hits, client.cache_info().misses) == (0, 2)

    def test_readers_cannot_change_what_others_read(self, client: ObjectClient) -> None:
        ref = client.put("a/s", {"list": [1]})
        client.get(ref)["list"].append(2)
        assert client.get(ref) == {"list": [1]}
        for shape in ((2, 3), (1 << 20, 1)):  # the second comes in pieces
            array = client.put("a/s", np.zeros(shape))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy 2.5
                client.get(array).shape = (shape[0] * shape[1],)
            assert client.get(array).shape == shape
            with pytest.raises(ValueError, match="read-only"):
                client.get(array)[0] = 1
            copied = client.get(array, copy=True)
            copied[0] = 1
            assert not client.get(array).any()

    def test_a_later_read_leaves_earlier_values_alone(self, client: ObjectClient) -> None:
        ref = client.put("a/s", np.zeros(4))
        first = client.get(ref)
        ref = client.update(ref, np.ones(4))
        client.patch(ref, 1)
        assert client.get(ref).sum() == 4
        assert not first.any()

    def test_a_delete_of_ones_own_is_known_at_once(
        self, client: ObjectClient, cache: ObjectCache
    ) -> None:
        """The versions of the new object, which somebody else puts, are those of the old one."""
        ref = client.put("a/s", b"old")
        client.get(ref)
        client.delete("a/*")
        with client_of(cache.endpoint) as other:
            other.update(ObjectRef("", ref.key), b"new")
        assert client.get(ObjectRef(ref.endpoint, ref.key, 1)) == b"new"

    def test_what_is_gone_is_forgotten(self, client: ObjectClient, cache: ObjectCache) -> None:
        ref = client.put("a/s", b"old")
        client.get(ref)
        with client_of(cache.endpoint) as other:
            other.delete(ref.key)
            with pytest.raises(ObjectNotFoundError):
                client.get(ref)
            other.update(ObjectRef(ref.endpoint, ref.key), b"new")
        assert client.get(ref) == b"new"

    def test_clear_forgets(self, client: ObjectClient) -> None:
        ref = client.put("a/s", b"x")
        client.get(ref)
        client.clear()
        assert client.cache_info()[:5] == (0, 0, 0, 0, 0)
        client.get(ref)
        assert client.cache_info().misses == 1

    def test_it_is_bounded(self, cache: ObjectCache) -> None:
        memory = ObjectMemory(max_bytes=2500, max_entries=10)
        with client_of(cache.endpoint, memory=memory) as client:
            refs = [client.put("a/s", bytes(1000)) for _ in range(4)]
            for ref in refs:
                client.get(ref)
            assert client.cache_info().entries == 2
            large = client.put("a/s", bytes(9000))
            assert client.get(large) == bytes(9000)
            assert client.cache_info().entries == 2, "what cannot be kept drives nothing out"

    def test_many_readers_of_one_object_fetch_it_once(self, client: ObjectClient) -> None:
        ref = client.put("a/s", np.arange(3_000_000))
        barrier = threading.Barrier(16)

        def read(_: int) -> float:
            barrier.wait()
            return float(client.get(ref)[-1])

        with ThreadPoolExecutor(16, thread_name_prefix="ThreadPoolExecutor") as pool:
            assert set(pool.map(read, range(16))) == {2_999_999.0}
        assert client.cache_info().misses == 1


class TestValues:
    @pytest.mark.parametrize("size", [0, 1, (4 << 20) - 30, 4 << 20, 100 << 20])
    def test_bytes_of_any_size(self, client: ObjectClient, size: int) -> None:
        data = bytes(size)
        assert client.get(client.put("a/s", data)) == data

    def test_a_table_in_many_messages(self, client: ObjectClient) -> None:
        table = pa.table({"x": np.arange(2_000_000), "y": np.arange(2_000_000) % 7})
        assert client.get(client.put("a/s", table)) == table

    def test_an_array_that_was_read_shares_what_was_received(self, client: ObjectClient) -> None:
        read = client.get(client.put("a/s", np.arange(1000.0)))
        assert not read.flags.owndata
        assert read.flags.aligned

    def test_without_a_deserializer_the_base_is_returned(self, client: ObjectClient) -> None:
        ref = client.put("a/s", 1)
        ref = client.patch(ref, 2)
        assert client.get(ref) == 1
        assert client.get(ref, lambda base, patches: base + sum(patches)) == 3

    def test_unpickling_can_be_refused(self, client: ObjectClient) -> None:
        plain, named = client.put("a/s", b"plain"), client.put("a/s", threading.Event)
        assert client.get(plain, allow_pickle=False) == b"plain"
        assert client.get(named) is threading.Event
        with pytest.raises(PickleRefusedError, match="Event"):
            client.get(named, allow_pickle=False)

    def test_progress_grows_to_all(self, client: ObjectClient) -> None:
        seen: list[tuple[int, int]] = []
        client.put("a/s", np.zeros(2 << 20), progress=lambda *step: seen.append(step))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[-1][0] == seen[-1][1] > 16 << 20
        assert len(seen) > 3


class TestRules:
    @pytest.mark.parametrize("prefix", ["a", "a/b/c", "a/..", "a/*", "", "a/b:c", None])
    def test_a_bad_prefix_is_refused_without_a_cache(self, prefix: Any) -> None:
        with client_of("grpc://127.0.0.1:1") as client, pytest.raises(InvalidArgumentError):
            client.put(prefix, b"")

    @pytest.mark.parametrize(
        "ref", [ObjectRef("", "a/b"), ObjectRef("", "a/b/c", -1), "a/b/c", ObjectRef("x", "a/b/c")]
    )
    def test_a_bad_reference_is_refused(self, ref: Any) -> None:
        with client_of("grpc://127.0.0.1:1") as client, pytest.raises(InvalidArgumentError):
            client.get(ref)

    def test_pyarrows_error_is_the_cause(self, client: ObjectClient) -> None:
        with pytest.raises(ObjectNotFoundError) as raised:
            client.get(ObjectRef("", "a/b/c"))
        assert isinstance(raised.value.__cause__, pa.ArrowKeyError)
        assert raised.value.message == "object <a/b/c> not found"
        assert isinstance(raised.value, (KeyError, ValueError))

    def test_what_is_larger_than_the_cache_is_refused(self) -> None:
        with serving(memory=1 << 20) as cache, client_of(cache.endpoint) as client:
            with pytest.raises(ResourceExhaustedError, match="larger than the cache's memory"):
                client.put("a/s", bytes(9 << 20))
            ref = client.put("a/s", bytes(1000))
            with pytest.raises(ResourceExhaustedError, match="with its patches"):
                client.patch(ref, bytes((1 << 20) - 500))
            assert client.get(ref) == bytes(1000)

    def test_nothing_there_is_an_error_when_patience_and_policy_are_at_their_end(self) -> None:
        with (
            client_of("grpc://127.0.0.1:1", patience=0.0) as client,
            pytest.raises(UnavailableError, match="cannot reach the object cache") as raised,
        ):
            client.put("a/s", b"")
        assert raised.value.attempts == QUICK.attempts

    def test_it_is_refused_on_the_reactor(self, client: ObjectClient) -> None:
        loop = ReactorLoop()

        async def call() -> None:
            client.delete("a/s")

        try:
            with pytest.raises(InvalidStateError, match=r"flamepy\.aio"):
                loop.run(call())
        finally:
            loop.stop()

    def test_a_close_ends_waits_and_refuses_calls(self) -> None:
        with (
            client_of("grpc://127.0.0.1:1", patience=60.0) as client,
            ThreadPoolExecutor(1, thread_name_prefix="ThreadPoolExecutor") as pool,
        ):
            waiting = pool.submit(client.delete, "a/s")
            while client.retrier.counters.waits == 0:
                assert not waiting.done()
            client.close()
            with pytest.raises(ConnectionClosedError):
                waiting.result(20)
            with pytest.raises(ConnectionClosedError):
                client.delete("a/s")

    def test_an_address_out_of_reach_is_replaced_by_the_configured_one(
        self, client: ObjectClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        ref = client.put("a/s", b"x")
        away = ObjectRef("http://127.0.0.1:1", ref.key, ref.version)
        assert [client.get(away) for _ in range(3)] == [b"x"] * 3
        said = [one.getMessage() for one in caplog.records if "cannot be reached" in one.message]
        assert len(said) == 1
        assert "grpc://127.0.0.1:1" in said[0]

    def test_another_name_of_the_cache_is_used_where_it_answers(self, client: ObjectClient) -> None:
        ref = client.put("a/s", b"x")
        port = ref.endpoint.rpartition(":")[2]
        assert client.get(ObjectRef(f"http://localhost:{port}", ref.key, 1)) == b"x"


class LosesAnswers(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow has no types
    """Passes puts on to a cache and loses the first answers; reads go through."""

    def __init__(self, endpoint: str, *, lose: int, store: bool = True) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self.behind = flight.connect(endpoint)
        self.lose = lose
        self.store = store
        self.between = lambda: None

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        batches = [chunk.data for chunk in reader]
        losing, self.lose = self.lose > 0, self.lose - 1
        if losing and not self.store:
            raise flight.FlightUnavailableError("Socket closed")
        passed, replies = self.behind.do_put(descriptor, reader.schema)
        for batch in batches:
            passed.write_batch(batch)
        passed.done_writing()
        reply = replies.read()
        passed.close()
        if losing:
            self.between()
            raise flight.FlightUnavailableError("Socket closed")
        writer.write(reply)

    def do_get(self, context: Any, ticket: Any) -> Any:
        return flight.RecordBatchStream(self.behind.do_get(ticket).to_reader())


class TestUnknownFate:
    """A write whose answer is lost is looked for; it happens once, or the caller is told."""

    @pytest.fixture(params=[True, False], ids=["stored", "not stored"])
    def losing(self, cache: ObjectCache, request: pytest.FixtureRequest) -> Iterator[LosesAnswers]:
        server = LosesAnswers(cache.endpoint, lose=0, store=request.param)
        yield server
        server.shutdown()
        server.behind.close()

    def client_of(self, server: LosesAnswers, **options: Any) -> Any:
        return client_of(f"grpc://127.0.0.1:{server.port}", **options)

    def test_a_put_is_made_again_under_its_key(
        self, losing: LosesAnswers, client: ObjectClient
    ) -> None:
        losing.lose = 1
        with self.client_of(losing) as through:
            ref = through.put("a/s", b"x")
        assert client.get(ref) == b"x"
        assert ref.version == 2 if losing.store else 1

    def test_a_patch_is_there_once(self, losing: LosesAnswers, client: ObjectClient) -> None:
        ref = client.put("a/s", b"base")
        losing.lose = 2
        with self.client_of(losing) as through:
            made = through.patch(ObjectRef("", ref.key, ref.version), b"one")
            counters = through.retrier.counters
            assert counters.adopted == losing.store
        assert client.get(made, both) == (b"base", [b"one"])
        assert made.version == 2

    @pytest.mark.parametrize("value", [b"new", pa.table({"x": [1]})], ids=["opaque", "table"])
    def test_an_update_is_there_once(
        self, losing: LosesAnswers, client: ObjectClient, value: Any
    ) -> None:
        ref = client.put("a/s", b"base")
        losing.lose = 1
        with self.client_of(losing) as through:
            made = through.update(ObjectRef("", ref.key, ref.version), value)
        assert made.version == 2
        assert client.get(made) == value

    @pytest.mark.parametrize("losing", [True], indirect=True, ids=["stored"])
    def test_an_update_that_was_overtaken_is_told(
        self, losing: LosesAnswers, client: ObjectClient
    ) -> None:
        ref = client.put("a/s", b"base")
        losing.lose = 1
        losing.between = lambda: client.update(ref, b"theirs")  # in a thread of the server
        with (
            self.client_of(losing) as through,
            pytest.raises(AmbiguousResultError, match="changed since version 1"),
        ):
            through.update(ObjectRef("", ref.key, ref.version), b"mine")
        assert client.get(ObjectRef("", ref.key)) == b"theirs"

    def test_it_can_be_raised_or_sent_again_instead(
        self, losing: LosesAnswers, client: ObjectClient
    ) -> None:
        ref = client.put("a/s", b"base")
        losing.lose = 1
        with (
            self.client_of(losing, on_ambiguous="raise") as through,
            pytest.raises(AmbiguousResultError, match="may have happened"),
        ):
            through.patch(ObjectRef("", ref.key, 1), b"one")
        losing.lose = 1
        with self.client_of(losing, on_ambiguous="retry") as through:
            through.patch(ObjectRef("", ref.key, 1), b"two")
        patches = client.get(ObjectRef("", ref.key), both)[1]
        assert patches == ([b"one", b"two", b"two"] if losing.store else [b"two"])


def test_a_policy_of_one_try_is_one_try(cache: ObjectCache) -> None:
    server = LosesAnswers(cache.endpoint, lose=9, store=False)
    try:
        with client_of(f"grpc://127.0.0.1:{server.port}") as client:
            with pytest.raises(UnavailableError) as raised:
                client.put("a/s", b"", retry=RetryPolicy(attempts=1))
            assert (raised.value.attempts, server.lose) == (1, 8)
            with pytest.raises(UnavailableError) as raised:
                client.put("a/s", b"")
            assert raised.value.attempts == QUICK.attempts
    finally:
        server.shutdown()
        server.behind.close()


def test_a_tls_file_that_is_no_pem_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ca.der"
    path.write_bytes(b"\x30\x82")
    pool = Pool(FlameClientTls(str(path)))
    with (
        pytest.raises(TlsError, match=r"ca_file .*ca\.der' is not PEM"),
        pool.client("grpc+tls://h:1"),
    ):
        pass
    pool.close()
