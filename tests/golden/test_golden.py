"""The embedded cluster answers as a running engine did (recordings of engine 0.6.0 on fs)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from golden.replay import Replay
from support.cluster_process import ClusterProcess

from flamepy.local import LocalCluster

FOLDER = Path(os.environ.get("FLAME_GOLDEN") or "no-recordings") / "fs"
SCENARIOS = (
    "applications",
    "sessions",
    "tasks",
    "cancelled",
    "sizes",
    "cluster",
    "service",
    "scheduling",
)

# Steps left out, each with its reason; counted and shown by -rP.
SKIPPED: dict[str, dict[int, str]] = {
    "service": {
        4: "names the recording machine's folders and log settings; tests/unit/local checks ours",
        23: "the recorded text is 'transport error'; ours names the exit status on purpose",
        25: "the recorded engine never replaces a dead service process; ours does",
    },
}


LIMITS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 200),
]


@pytest.fixture
def channel() -> Iterator[grpc.Channel]:
    with (
        LocalCluster(executors=2) as cluster,
        grpc.insecure_channel(cluster.endpoint.removeprefix("http://"), options=LIMITS) as made,
    ):
        yield made


@pytest.mark.skipif(not FOLDER.is_dir(), reason="FLAME_GOLDEN names no folder of recordings")
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.timeout(120)
def test_answers_are_the_recorded_ones(scenario: str, channel: grpc.Channel) -> None:
    recorded = json.loads((FOLDER / f"{scenario}.json").read_text())
    check(recorded, Replay(channel, recorded, SKIPPED.get(scenario, {})))


@pytest.mark.skipif(not FOLDER.is_dir(), reason="FLAME_GOLDEN names no folder of recordings")
@pytest.mark.timeout(120)
def test_a_kill_leaves_what_it_left_the_engine(tmp_path: Path) -> None:
    recorded = json.loads((FOLDER / "restart.json").read_text())
    with (
        ClusterProcess(tmp_path, executors=2, data=str(tmp_path / "data")) as cluster,
        grpc.insecure_channel(cluster.endpoint.removeprefix("http://"), options=LIMITS) as made,
    ):
        check(recorded, Replay(made, recorded, {}, cluster))


def check(recorded: dict[str, Any], replay: Replay) -> None:
    result = replay.run()
    print(f"{recorded['scenario']}: {result}")
    assert not result.failed, str(result)
    assert len(result.passed) + len(result.skipped) == len(recorded["steps"])
