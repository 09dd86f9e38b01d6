"""The embedded object cache answers as a running engine's did, seen through pyarrow."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from flamepy.local import LocalCluster

RECORDING = Path(os.environ.get("FLAME_GOLDEN") or "no-recordings") / "fs" / "cache.json"
OPAQUE = pa.schema([("version", pa.uint64()), ("data", pa.binary())])
TEXT = pa.schema([("version", pa.uint64()), ("data", pa.utf8())])
TABLE = pa.table({"x": [1, 2], "y": ["p", "q"]}).replace_schema_metadata(
    {
        "flame.cache.format": "arrow-table-v1",
        "flame.cache.logical_type": "pyarrow.table",
        "flame.cache.version": "0",
    }
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# The recorded engine's list has no descriptors, which pyarrow's client does not take; ours has.
LIST_FAILS = "Client sent UNKNOWN descriptor type"


def rows(*cells: object, schema: pa.Schema = OPAQUE) -> pa.RecordBatch:
    columns = [pa.array([0] * len(cells), pa.uint64()), pa.array(cells, schema.field(1).type)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def uploaded(said: str) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """Return what a recorded put sent."""
    if "native table" in said:
        return TABLE.schema, TABLE.to_batches()
    if "utf8" in said:
        return TEXT, [rows("x", schema=TEXT)]
    if "no batch" in said:
        return OPAQUE, []
    if "empty cell" in said:
        return OPAQUE, [rows(b"")]
    if "one batch of two rows" in said:
        return OPAQUE, [rows(b"x", b"y")]
    cells = re.findall(r"\[(\w+)\]", said) or ["x"]
    return OPAQUE, [rows(cell.encode()) for cell in cells]


class Replay:
    """Makes the recorded calls."""

    def __init__(self, client: flight.FlightClient, endpoint: str) -> None:
        self.client = client
        self.endpoint = endpoint

    def result(self, call: str) -> Any:
        name, _, rest = call.partition(" ")
        return getattr(self, name)(rest)

    def do_put(self, rest: str) -> Any:
        kind, target, said = re.fullmatch(r"(\w+) ('.*?'|\S+) ?(.*)", rest).groups()
        target = target.strip("'") if target.startswith("'") else target
        made = flight.FlightDescriptor
        descriptor = made.for_path(target) if kind == "PATH" else made.for_command(target.encode())
        schema, batches = uploaded(said)
        writer, reader = self.client.do_put(descriptor, schema)
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        reply = reader.read()
        writer.close()
        found = bson.decode(reply.to_pybytes())
        assert found["endpoint"] == self.endpoint
        assert reply.to_pybytes().find(b"\x12version\0") > 0, "an int64"
        key = UUID.sub("<uuid>", found["key"])
        recorded = {"endpoint": "grpc://127.0.0.1:9090", "key": key, "version": found["version"]}
        return {"app_metadata (BSON)": recorded}

    def do_get(self, rest: str) -> Any:
        ticket = eval(rest) if rest.startswith("b'") else rest.split(" ")[0].encode()
        reader = self.client.do_get(flight.Ticket(ticket))
        table = reader.read_all()
        kinds = [
            f"{one.name}: {one.type}{'' if one.nullable else ' not null'}" for one in table.schema
        ]
        metadata = {
            key.decode(): one.decode() for key, one in (table.schema.metadata or {}).items()
        }
        found = [
            {key: one.decode() if isinstance(one, bytes) else one for key, one in row.items()}
            for row in table.to_pylist()
        ]
        return {"schema": kinds, "metadata": metadata, "rows": found}

    def get_flight_info(self, rest: str) -> Any:
        info = self.client.get_flight_info(flight.FlightDescriptor.for_path(rest.split(" ")[1]))
        assert [[one.uri.decode() for one in end.locations] for end in info.endpoints] == [
            [self.endpoint]
        ]
        return {
            "tickets": [one.ticket.ticket.decode() for one in info.endpoints],
            "locations": [["grpc://127.0.0.1:9090"]],
            "records": info.total_records,
            "bytes": info.total_bytes,
        }

    def list_flights(self, rest: str) -> Any:
        return [one.endpoints[0].ticket.ticket.decode() for one in self.client.list_flights()]

    def list_actions(self, rest: str) -> Any:
        return [[one.type, one.description] for one in self.client.list_actions()]

    def do_action(self, rest: str) -> Any:
        kind, _, body = rest.partition(" ")
        done = self.client.do_action(flight.Action(kind, body.encode()))
        return [one.body.to_pybytes().decode() for one in done]


@pytest.fixture
def replay() -> Iterator[Replay]:
    with (
        LocalCluster(executors=1) as cluster,
        flight.connect(cluster.cache_endpoint) as client,
    ):
        yield Replay(client, cluster.cache_endpoint)


@pytest.mark.skipif(not RECORDING.is_file(), reason="FLAME_GOLDEN names no folder of recordings")
def test_answers_are_the_recorded_ones(replay: Replay) -> None:
    steps = json.loads(RECORDING.read_text())["steps"]
    compared = 0
    for place, step in enumerate(steps):
        where = f"step {place}: {step['call']}"
        if "error" not in step:
            assert replay.result(step["call"]) == step["result"], where
        elif step["error"]["message"] == LIST_FAILS:
            assert "app/ssn/o1" in replay.result(step["call"]), where
        else:
            with pytest.raises(Exception) as raised:  # noqa: PT011  # compared below
                replay.result(step["call"])
            assert type(raised.value).__name__ == step["error"]["class"], where
            text = step["error"]["message"].partition("with message: ")[2]
            # pyarrow's server puts where an error was raised behind its text.
            assert str(raised.value).partition(". Detail: ")[0] == text, where
        compared += 1
    assert compared == len(steps) == 60
