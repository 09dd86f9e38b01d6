"""The embedded cache as a server: its memory's limit, its disk, TLS, what is sent to it."""

from __future__ import annotations

import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import pytest
from support.objects import QUICK, client_of, serving
from support.tls import Authority

from flamepy.config import FlameClientTls, FlameContext
from flamepy.core import connect
from flamepy.errors import (
    ConfigError,
    InvalidArgumentError,
    ObjectNotFoundError,
    TlsError,
    UnavailableError,
)
from flamepy.local import ClusterTls, LocalCluster
from flamepy.local.object_cache import disk as object_cache_disk
from flamepy.local.object_cache.disk import ObjectDisk
from flamepy.local.object_cache.payload import Native, Opaque
from flamepy.local.object_cache.server import ObjectCache
from flamepy.local.object_cache.store import (
    MAX_PATCHES,
    MemoryBusy,
    ObjectMissing,
    ObjectRefused,
    ObjectStore,
)
from flamepy.objects.client import ObjectClient
from flamepy.types import ApplicationAttributes
from flamepy.wire.objects import ObjectRef

SCHEMA = pa.schema([("version", pa.uint64()), ("data", pa.binary())])


def opaque(data: bytes) -> Opaque:
    return Opaque(pa.py_buffer(data))


def put(store: ObjectStore, key: str, data: bytes) -> int:
    with store.upload() as upload:
        upload.take(len(data))
        return store.put(key, opaque(data), upload)


def patch(store: ObjectStore, key: str, data: bytes) -> int:
    with store.upload(key) as upload:
        upload.take(len(data))
        return store.patch(key, opaque(data), upload)


def content(store: ObjectStore, key: str) -> list[bytes]:
    base, patches = store.get(key, 0)
    assert isinstance(base, Opaque)
    return [one.data.to_pybytes() for one in (base, *patches)]


class TestMemory:
    def test_the_least_recently_used_go_one_by_one_until_it_fits(self) -> None:
        store = ObjectStore(100)
        for name in "abcd":
            put(store, f"a/s/{name}", bytes(25))
        store.get("a/s/a", 0)
        put(store, "a/s/e", bytes(30))
        for name in "bc":
            with pytest.raises(ObjectMissing, match=f"object <a/s/{name}> not found"):
                store.get(f"a/s/{name}", 0)
        assert [len(content(store, f"a/s/{name}")[0]) for name in "ade"] == [25, 25, 30]
        assert store.used == 80

    def test_what_was_evicted_is_listed_and_its_version_goes_on(self) -> None:
        store = ObjectStore(100)
        put(store, "a/s/a", bytes(60))
        put(store, "a/s/b", bytes(60))
        assert dict(store.list()) == {"a/s/a": 60, "a/s/b": 60}
        with pytest.raises(ObjectMissing, match="not found for patch"):
            patch(store, "a/s/a", b"x")
        assert put(store, "a/s/a", b"new") == 2

    def test_an_object_that_is_larger_is_refused_and_drives_nothing_out(self) -> None:
        store = ObjectStore(100)
        put(store, "a/s/a", bytes(90))
        with pytest.raises(ObjectRefused, match=r"memory of 100 bytes.*--cache-memory"):
            put(store, "a/s/b", bytes(101))
        assert len(content(store, "a/s/a")[0]) == 90
        assert put(store, "a/s/b", bytes(100)) == 1

    def test_a_patch_does_not_drive_out_its_own_object(self) -> None:
        store = ObjectStore(100)
        put(store, "a/s/a", bytes(50))
        put(store, "a/s/b", bytes(40))
        assert patch(store, "a/s/a", bytes(40)) == 2
        assert len(content(store, "a/s/a")) == 2
        with pytest.raises(ObjectRefused, match="with its patches is larger"):
            patch(store, "a/s/a", bytes(20))
        assert store.used == 90

    def test_uploads_under_way_count(self) -> None:
        store = ObjectStore(100)
        with store.upload() as first:
            first.take(80)
            with pytest.raises(MemoryBusy, match="try again"), store.upload() as second:
                second.take(30)
        assert put(store, "a/s/a", bytes(100)) == 1

    def test_an_upload_that_is_not_stored_gives_its_memory_back(self) -> None:
        store = ObjectStore(100)
        for _ in range(3):
            with store.upload() as upload:
                upload.take(90)
        assert put(store, "a/s/a", bytes(100)) == 1


class TestDisk:
    def test_what_was_written_is_there_after_a_start(self, tmp_path: Path) -> None:
        store = ObjectStore(1000, ObjectDisk(tmp_path))
        put(store, "a/s/o", b"first")
        put(store, "a/s/o", b"base")
        patch(store, "a/s/o", b"one")
        patch(store, "a/s/o", b"two")
        again = ObjectStore(1000, ObjectDisk(tmp_path))
        assert content(again, "a/s/o") == [b"base", b"one", b"two"]
        assert again.get("a/s/o", 4) == (None, ())
        assert patch(again, "a/s/o", b"three") == 5
        assert put(again, "a/s/o", b"new") == 6

    def test_the_layout_is_an_engines(self, tmp_path: Path) -> None:
        store = ObjectStore(1000, ObjectDisk(tmp_path))
        put(store, "app/ssn/obj", b"base")
        patch(store, "app/ssn/obj", b"one")
        files = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*.arrow"))
        assert files == ["app/ssn/obj.arrow", "app/ssn/obj.deltas/0.arrow"]
        for name, row in zip(files, ((1, b"base"), (2, b"one")), strict=True):
            with pa.ipc.open_file(tmp_path / name) as file:
                table = file.read_all()
            assert table.to_pylist() == [dict(zip(("version", "data"), row, strict=True))]
            assert [one.type for one in table.schema] == [pa.uint64(), pa.binary()]
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600

    def test_files_of_an_engine_are_read(self, tmp_path: Path) -> None:
        """Compressed, and with a patch of version 0, which stands for the next one."""
        schema = pa.schema(
            [pa.field("version", pa.uint64(), False), pa.field("data", pa.binary(), False)]
        )
        (tmp_path / "a" / "s" / "o.deltas").mkdir(parents=True)
        for name, row in (("o.arrow", (5, b"base" * 100)), ("o.deltas/0.arrow", (0, b"one"))):
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(tmp_path / "a" / "s" / name, schema, options=options) as file:
                file.write_batch(pa.record_batch([[row[0]], [row[1]]], schema=schema))
        store = ObjectStore(1000, ObjectDisk(tmp_path))
        assert content(store, "a/s/o") == [b"base" * 100, b"one"]
        assert [one.version for one in store.get("a/s/o", 5).patches] == [6]

    def test_a_table_is_kept_with_its_version(self, tmp_path: Path) -> None:
        with serving(tmp_path) as cache, client_of(cache.endpoint) as client:
            ref = client.update(ObjectRef("", "a/s/t"), pa.table({"x": [1, 2]}))
            ref = client.update(ref, pa.table({"x": [3]}))
        base, _ = ObjectDisk(tmp_path).read("a/s/t")
        assert isinstance(base, Native)
        assert (base.version, ref.version) == (2, 2)
        with serving(tmp_path) as cache, client_of(cache.endpoint) as client:
            assert client.get(ObjectRef("", "a/s/t")) == pa.table({"x": [3]})

    def test_what_left_the_memory_is_read_back(self, tmp_path: Path) -> None:
        store = ObjectStore(100, ObjectDisk(tmp_path))
        for name in "abc":
            put(store, f"a/s/{name}", name.encode() * 60)
        assert [content(store, f"a/s/{name}")[0][:1] for name in "abcab"] == [
            *(b"a", b"b", b"c", b"a", b"b")
        ]
        assert patch(store, "a/s/c", b"x") == 2
        assert content(store, "a/s/c") == [b"c" * 60, b"x"]
        assert store.used <= 100

    def test_a_thousand_patches_and_no_more(self, tmp_path: Path) -> None:
        store = ObjectStore(1 << 20, ObjectDisk(tmp_path))
        put(store, "a/s/o", b"")
        for number in range(MAX_PATCHES):
            patch(store, "a/s/o", b"%d" % number)
        with pytest.raises(ObjectRefused, match=r"has reached maximum delta count \(1000\)"):
            patch(store, "a/s/o", b"")
        again = ObjectStore(1 << 20, ObjectDisk(tmp_path))
        assert content(again, "a/s/o")[1:] == [b"%d" % number for number in range(MAX_PATCHES)]

    def test_a_delete_leaves_no_file(self, tmp_path: Path) -> None:
        store = ObjectStore(1000, ObjectDisk(tmp_path))
        for key in ("a/s/o", "a/t/o", "b/s/o"):
            put(store, key, b"x")
            patch(store, key, b"y")
        store.delete("a/*")
        left = [one for one in tmp_path.rglob("*") if one.is_file()]
        assert {one.relative_to(tmp_path).parts[0] for one in left} == {"b", "format"}
        assert [key for key, _ in ObjectStore(1000, ObjectDisk(tmp_path)).list()] == ["b/s/o"]

    def test_a_folder_of_a_newer_release_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "format").write_text("9\n")
        with pytest.raises(ConfigError, match=r"format 9; this one knows \d+.*pip install"):
            ObjectDisk(tmp_path)
        assert [one.name for one in tmp_path.iterdir()] == ["format"]

    @pytest.mark.parametrize("name", [".", "a b", "%41", "ü", "a:b", "~", "x.deltas", "CON", "*"])
    def test_any_part_of_a_key_is_a_file_of_its_own_in_the_folder(
        self, tmp_path: Path, name: str
    ) -> None:
        root = tmp_path / "root"
        store = ObjectStore(1000, ObjectDisk(root))
        keys = [f"{name}/s/o", f"a/{name}/o", f"a/s/{name}"]
        for key in keys:
            put(store, key, key.encode())
        assert all(root in one.parents for one in tmp_path.rglob("*") if one.is_file())
        again = ObjectStore(1000, ObjectDisk(root))
        assert sorted(key for key, _ in again.list()) == sorted(keys)
        assert [content(again, key) for key in keys] == [[key.encode()] for key in keys]

    def test_a_name_that_no_file_can_have_is_refused(self, tmp_path: Path) -> None:
        with serving(tmp_path) as cache, client_of(cache.endpoint) as client:
            with pytest.raises(InvalidArgumentError, match="at most 200 are kept"):
                client.update(ObjectRef("", f"a/s/{'x' * 300}"), b"")
            assert client.get(client.put("a/s", b"y")) == b"y"

    def test_what_a_kill_left_behind_is_cleaned_up(self, tmp_path: Path) -> None:
        store = ObjectStore(1000, ObjectDisk(tmp_path))
        put(store, "a/s/o", b"old")
        patch(store, "a/s/o", b"of the old")
        stale = (tmp_path / "a/s/o.deltas/0.arrow").read_bytes()
        put(store, "a/s/o", b"base")
        put(store, "a/s/o", b"new")
        # Killed between the base and its patches; in the middle of a file; in a delete.
        (tmp_path / "a/s/o.deltas").mkdir()
        (tmp_path / "a/s/o.deltas/0.arrow").write_bytes(stale)
        (tmp_path / "a/s/o.deltas/1.arrow.new-77").write_bytes(b"half")
        (tmp_path / "a/s/p.arrow.new-88").write_bytes(b"half")
        (tmp_path / "a/s/gone.deltas").mkdir()
        again = ObjectStore(1000, ObjectDisk(tmp_path))
        assert content(again, "a/s/o") == [b"new"]
        assert list((tmp_path / "a/s/o.deltas").iterdir()) == []
        patch(again, "a/s/o", b"one")
        assert content(ObjectStore(1000, ObjectDisk(tmp_path)), "a/s/o") == [b"new", b"one"]
        assert [one.name for one in tmp_path.rglob("*new-*")] == []
        assert not (tmp_path / "a/s/gone.deltas").exists()

    @pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "two rows"])
    def test_a_damaged_file_is_set_aside_and_named(
        self, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = ObjectStore(10_000, ObjectDisk(tmp_path))
        for key in ("a/s/good", "a/s/bad"):
            put(store, key, b"x" * 1000)
        path = tmp_path / "a/s/bad.arrow"
        if damage == "two rows":
            with pa.ipc.new_file(path, SCHEMA) as file:
                file.write_batch(pa.record_batch([[1, 2], [b"", b""]], schema=SCHEMA))
        else:
            whole = path.read_bytes()
            path.write_bytes({"truncated": whole[:-300], "foreign": b"hello", "empty": b""}[damage])
        again = ObjectStore(10_000, ObjectDisk(tmp_path))
        assert [key for key, _ in again.list()] == ["a/s/good"]
        assert (tmp_path / "a/s/bad.arrow.damaged").exists()
        assert "bad.arrow cannot be read" in caplog.text
        assert put(again, "a/s/bad", b"again") == 1

    def test_a_damaged_patch_takes_no_other_with_it(self, tmp_path: Path) -> None:
        store = ObjectStore(1000, ObjectDisk(tmp_path))
        put(store, "a/s/o", b"base")
        for data in (b"one", b"two", b"three"):
            patch(store, "a/s/o", data)
        (tmp_path / "a/s/o.deltas/1.arrow").write_bytes(b"?")
        again = ObjectStore(1000, ObjectDisk(tmp_path))
        assert content(again, "a/s/o") == [b"base", b"one", b"three"]
        assert again.get("a/s/o", 1).base is not None, (
            "a patch is missing, so patches alone would not do"
        )
        assert patch(again, "a/s/o", b"four") == 5
        last = ObjectStore(1000, ObjectDisk(tmp_path))
        assert content(last, "a/s/o") == [b"base", b"one", b"three", b"four"]

    def test_a_file_that_is_damaged_later_is_an_error_and_then_gone(self, tmp_path: Path) -> None:
        with serving(tmp_path, memory=2000) as cache, client_of(cache.endpoint) as client:
            bad = client.put("a/s", bytes(1500))
            client.put("a/s", bytes(1500))  # drives it out of the memory
            (tmp_path / f"{bad.key}.arrow").write_bytes(b"?")
            with pytest.raises(ObjectNotFoundError, match=r"cannot be read.*set aside"):
                client.get(bad)
            with pytest.raises(ObjectNotFoundError, match=r"not found \(code"):
                client.get(bad)

    def test_a_write_that_fails_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serving(tmp_path) as cache, client_of(cache.endpoint) as client:
            ref = client.put("a/s", b"base")

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(object_cache_disk, "_write", full)
            for write in (client.update, client.patch):
                with pytest.raises(Exception, match=r"No space left.*nothing was changed"):
                    write(ref, b"more")
            monkeypatch.undo()
            assert client.get(ObjectRef("", ref.key), lambda *all_: all_) == (b"base", [])
            assert client.patch(ref, b"more").version == 2


class TestUploads:
    """What arrives over the wire that no client of ours sends."""

    @pytest.fixture
    def raw(self) -> Iterator[Any]:
        with serving(memory=1 << 20) as cache, flight.connect(cache.endpoint) as client:
            yield client

    def put(self, raw: Any, schema: pa.Schema, *batches: pa.RecordBatch) -> None:
        writer, reader = raw.do_put(flight.FlightDescriptor.for_path("a/s/o"), schema)
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        reader.read()
        writer.close()

    def data(self, raw: Any) -> bytes:
        table = raw.do_get(flight.Ticket(b"a/s/o")).read_all()
        return bytes(table.column("data")[0].as_py())

    def test_rows_of_all_batches_are_joined_slices_and_nulls_too(self, raw: Any) -> None:
        cells = pa.array([b"no", b"a", None, b"bc", b"no"], pa.binary()).slice(1, 3)
        batch = pa.RecordBatch.from_arrays([pa.array([9] * 3, pa.uint64()), cells], schema=SCHEMA)
        self.put(raw, SCHEMA, batch, batch.slice(0, 0), batch)
        assert self.data(raw) == b"abcabc"

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ([("v", pa.int64()), ("d", pa.binary())], "Invalid version column"),
            ([("v", pa.uint64()), ("d", pa.large_binary())], "Invalid data column"),
            ([("v", pa.uint64())], "Invalid data column"),
        ],
    )
    def test_columns_of_another_type_are_refused(self, raw: Any, fields: Any, said: str) -> None:
        schema = pa.schema(fields)
        batch = pa.RecordBatch.from_arrays(
            [pa.array([None], one.type) for one in schema], schema=schema
        )
        with pytest.raises(flight.FlightInternalError, match=said):
            self.put(raw, schema, batch)

    def test_a_table_with_a_dictionary_is_refused_as_by_an_engine(self, raw: Any) -> None:
        table = pa.table({"d": pa.array(["a"]).dictionary_encode()})
        table = table.replace_schema_metadata({"flame.cache.format": "arrow-table-v1"})
        with pytest.raises(flight.FlightInternalError, match="Failed to decode batch"):
            self.put(raw, table.schema, *table.to_batches())

    def test_a_part_of_an_upload_is_kept_without_the_rest_of_its_batch(self, raw: Any) -> None:
        schema = pa.schema([*SCHEMA, ("more", pa.binary())])
        batch = pa.record_batch([pa.array([1], pa.uint64()), [b"x"], [bytes(5000)]], schema=schema)
        self.put(raw, schema, batch)
        assert self.data(raw) == b"x"

    def test_a_base_comes_in_pieces_to_who_asks_for_them_and_in_one_to_others(
        self, raw: Any
    ) -> None:
        batch = pa.record_batch([pa.array([1], pa.uint64()), [bytes(300_000)]], schema=SCHEMA)
        self.put(raw, SCHEMA, batch)
        for said, rows in ((b"100000", 3), (b"1", 5), (b"400000", 1), (b"-1", 1), (b"x", 1)):
            options = flight.FlightCallOptions(headers=[(b"flame-cache-pieces", said)])
            table = raw.do_get(flight.Ticket(b"a/s/o"), options).read_all()
            assert len(table) == rows, said
            assert b"".join(table["data"].to_pylist()) == bytes(300_000)
            assert set(table["kind"].to_pylist()) == {"base"}
            size = (table.schema.metadata or {}).get(b"flame.cache.size")
            assert size == (b"300000" if rows > 1 else None)
        assert len(raw.do_get(flight.Ticket(b"a/s/o")).read_all()) == 1

    def test_an_upload_beyond_the_memory_is_refused_while_it_comes(self, raw: Any) -> None:
        batch = pa.record_batch([pa.array([1], pa.uint64()), [bytes(300_000)]], schema=SCHEMA)
        with pytest.raises(pa.ArrowInvalid, match="larger than the cache's memory"):
            self.put(raw, SCHEMA, *[batch] * 40)
        self.put(raw, SCHEMA, *[batch] * 3)


class TestServer:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"port": 70000}, "cache_port"),
            ({"memory": 0}, "cache_memory"),
            ({"memory": "1G"}, "1G"),
        ],
    )
    def test_a_value_that_breaks_its_rule_is_named(self, options: Any, said: str) -> None:
        with pytest.raises(InvalidArgumentError, match=said):
            ObjectCache(host="127.0.0.1", **options)

    def test_a_port_that_is_taken_is_named(self) -> None:
        with (
            serving() as cache,
            pytest.raises(UnavailableError, match="is another cluster running"),
        ):
            ObjectCache(host="127.0.0.1", port=int(cache.endpoint.rpartition(":")[2])).start()

    def test_a_stop_gives_the_port_back_and_is_idempotent(self) -> None:
        with serving() as cache:
            port = int(cache.endpoint.rpartition(":")[2])
            cache.stop()
            cache.stop()
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))

    def test_with_tls_and_client_certificates(self, tmp_path: Path) -> None:
        authority, clients = Authority(tmp_path), Authority(tmp_path, "clients")
        cert, key = (str(one) for one in authority.issue("server"))
        client_cert, client_key = (str(one) for one in clients.issue("client", "me@example.org"))
        tls = ClusterTls(cert, key, str(clients.ca_file), str(authority.ca_file))
        with serving(tls=tls) as cache:
            assert cache.endpoint.startswith("grpc+tls://127.0.0.1:")
            good = FlameClientTls(str(authority.ca_file), client_cert, client_key)
            for endpoint in (cache.endpoint, cache.endpoint.replace("grpc+tls", "grpcs")):
                with tls_client(endpoint, good) as client:
                    assert client.get(client.put("a/s", b"x")) == b"x"
            with (
                tls_client(cache.endpoint, FlameClientTls(str(clients.ca_file))) as client,
                pytest.raises(TlsError, match=r"not trusted: set tls\.ca_file"),
            ):
                client.put("a/s", b"x")

    def test_a_tls_file_that_is_none_is_named(self, tmp_path: Path) -> None:
        cert, key = (str(one) for one in Authority(tmp_path).issue("server"))
        with pytest.raises(ConfigError, match="no certificate with its key"):
            ObjectCache(host="127.0.0.1", tls=ClusterTls(key, cert)).start()


@contextmanager
def tls_client(endpoint: str, tls: FlameClientTls) -> Iterator[ObjectClient]:
    context = FlameContext(cache_endpoint=endpoint, cache_tls=tls, environ={})
    client = ObjectClient(context, policy=QUICK, patience=5.0, on_ambiguous="verify")
    try:
        yield client
    finally:
        client.close()


class TestCluster:
    def test_it_has_a_cache_that_ends_with_it(self) -> None:
        with LocalCluster(executors=1) as cluster:
            assert cluster.has_cache
            assert cluster.context.cache_endpoint == cluster.cache_endpoint
            with client_of(cluster.cache_endpoint) as client:
                assert client.get(client.put("a/s", b"x")) == b"x"
        with pytest.raises(Exception, match="not running"):
            _ = cluster.cache_endpoint

    def test_it_can_do_without(self, caplog: pytest.LogCaptureFixture) -> None:
        with LocalCluster(executors=1, cache_port=None) as cluster:
            assert not cluster.has_cache
            with pytest.raises(Exception, match="has no object cache: it was made with cache_port"):
                _ = cluster.cache_endpoint
        assert "object cache" not in caplog.text

    def test_with_data_objects_are_there_again(self, tmp_path: Path) -> None:
        for expected in (1, 2):
            with (
                LocalCluster(executors=1, data=tmp_path) as cluster,
                client_of(cluster.cache_endpoint) as client,
            ):
                assert client.update(ObjectRef("", "a/s/o"), b"x").version == expected
        assert (tmp_path / "objects/a/s/o.arrow").exists()

    def test_a_folder_that_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "objects").write_text("a file")
        with pytest.raises(ConfigError, match="object cache's folder"):
            LocalCluster(executors=1, data=tmp_path).start()

    def test_services_are_told_where_it_is(self) -> None:
        service = str(Path(__file__).parents[3] / "support" / "object_service.py")
        spec = ApplicationAttributes(command=sys.executable, arguments=[service])
        with (
            LocalCluster(executors=1, apps=[("app", spec)]) as cluster,
            connect(cluster.endpoint) as connection,
            connection.create_session("app") as session,
            client_of(cluster.cache_endpoint) as client,
        ):
            ref = client.put("app/shared", [1, 2, 3])
            answer = ObjectRef.decode(session.invoke(ref.encode(), timeout=60) or b"")
            assert client.get(answer) == 6
