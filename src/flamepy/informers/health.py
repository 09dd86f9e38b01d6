"""How a reactor is: its state, and what a probe or a person asks about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flamepy.enums import TextEnum
from flamepy.informers.options import RegistrationStats
from flamepy.types import ConnectionState


class ReactorState(TextEnum):
    """The life of a reactor."""

    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class InformerHealth:
    """One registered informer."""

    name: str
    synced: bool
    stats: RegistrationStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a reactor is, as of one moment.

    Attributes:
        state, connection, endpoint: of the reactor, of its connection, of the engine.
        live: False once it has failed or stopped: restart it.
        ready: it runs, the engine answers, and every informer was told what was there.
        synced: every informer was told what was there.
        freshness: seconds since the last answer that showed every session; inf before the first.
        informers: each registered informer.
        error: why it failed, else None.
        checkpoint: False while it cannot be written; None without one.
    """

    state: ReactorState
    connection: ConnectionState
    endpoint: str
    live: bool
    ready: bool
    synced: bool
    freshness: float
    informers: Sequence[InformerHealth]
    error: str | None = None
    checkpoint: bool | None = None

    @classmethod
    def of(
        cls,
        *,
        state: ReactorState,
        connection: ConnectionState,
        endpoint: str,
        informers: Sequence[InformerHealth],
        freshness: float,
        error: BaseException | None,
        checkpoint: bool | None = None,
    ) -> Health:
        """Return the health of a reactor with these parts."""
        synced = all(one.synced for one in informers)
        running = state is ReactorState.RUNNING
        answers = connection in (ConnectionState.CONNECTED, ConnectionState.DEGRADED)
        return cls(
            state=state,
            connection=connection,
            endpoint=endpoint,
            live=state in (ReactorState.NEW, ReactorState.RUNNING, ReactorState.STOPPING),
            ready=running and answers and synced,
            synced=synced,
            freshness=freshness,
            informers=tuple(informers),
            error=None if error is None else repr(error),
            checkpoint=checkpoint,
        )

    def to_dict(self) -> dict[str, Any]:  # Any: whatever JSON takes
        """Return it as JSON takes it."""
        return {
            "state": self.state.value,
            "connection": self.connection.value,
            "endpoint": self.endpoint,
            "live": self.live,
            "ready": self.ready,
            "synced": self.synced,
            "freshness": None if self.freshness == float("inf") else self.freshness,
            "informers": [
                {"name": one.name, "synced": one.synced, **asdict(one.stats)}
                for one in self.informers
            ],
            "error": self.error,
            "checkpoint": self.checkpoint,
        }
