"""When a reactor is ready, and what it says when it is not."""

from __future__ import annotations

import math

from flamepy.informers.health import Health, InformerHealth, ReactorState
from flamepy.informers.options import RegistrationStats
from flamepy.types import ConnectionState

STATS = RegistrationStats(delivered=0, queued=0, coalesced=0, failures=0)


def health(
    state: ReactorState = ReactorState.RUNNING,
    connection: ConnectionState = ConnectionState.CONNECTED,
    *,
    synced: bool = True,
    freshness: float = 1.0,
    within: float = 60.0,
) -> Health:
    return Health.of(
        state=state,
        connection=connection,
        endpoint="http://engine",
        informers=[InformerHealth(name="billing", synced=synced, stats=STATS)],
        freshness=freshness,
        error=None,
        within=within,
    )


def test_a_reactor_that_knows_the_engine_is_ready_and_has_no_reason() -> None:
    assert health().ready
    assert health().reason is None
    assert health(connection=ConnectionState.DEGRADED).ready


def test_what_keeps_it_from_being_ready_is_said() -> None:
    for wrong, words in (
        (health(ReactorState.STOPPING), "stopping"),
        (health(connection=ConnectionState.DISCONNECTED), "disconnected"),
        (health(synced=False), "billing"),
        (health(freshness=61.0), "61 s old"),
        (health(freshness=math.inf), "ready_within"),
    ):
        assert not wrong.ready
        assert words in (wrong.reason or "")
        assert wrong.to_dict()["reason"] == wrong.reason


def test_the_limit_of_freshness_is_chosen() -> None:
    assert health(freshness=61.0, within=100.0).ready
    assert not health(freshness=0.2, within=0.1).ready
