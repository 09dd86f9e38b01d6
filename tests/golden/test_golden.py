"""The embedded cluster answers as a running engine did (recordings of engine 0.6.0 on fs)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from golden.replay import Replay

from flamepy.local import LocalCluster

FOLDER = Path(os.environ.get("FLAME_GOLDEN") or "no-recordings") / "fs"
SCENARIOS = ("applications", "sessions", "tasks", "cancelled", "sizes", "cluster", "service")

# Steps left out, each with its reason; counted and shown by -rP.
SKIPPED: dict[str, dict[int, str]] = {
    "service": {
        4: "names the recording machine's folders and log settings; tests/unit/local checks ours",
        23: "the recorded text is 'transport error'; ours names the exit status on purpose",
        25: "the recorded engine never replaces a dead service process; ours does",
    },
}


@pytest.fixture
def channel() -> Iterator[grpc.Channel]:
    with LocalCluster(executors=2) as cluster:
        target = cluster.endpoint.removeprefix("http://")
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(target, options=limits) as made:
            yield made


@pytest.mark.skipif(not FOLDER.is_dir(), reason="FLAME_GOLDEN names no folder of recordings")
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.timeout(120)
def test_answers_are_the_recorded_ones(scenario: str, channel: grpc.Channel) -> None:
    recorded = json.loads((FOLDER / f"{scenario}.json").read_text())
    result = Replay(channel, recorded, SKIPPED.get(scenario, {})).run()
    print(f"{scenario}: {result}")
    assert not result.failed, str(result)
    assert len(result.passed) + len(result.skipped) == len(recorded["steps"])
