"""How a reactor is: its state, and what a probe or a person asks about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from flamepy.enums import TextEnum
from flamepy.html_cards import card
from flamepy.informers.options import RegistrationStats
from flamepy.informers.outbox.stats import OutboxStats
from flamepy.texts import repr_of
from flamepy.types import ConnectionState

READY_WITHIN = 60.0  # seconds; or ...
READY_POLLS = 10  # ... this many polls, whichever is longer


class ReactorState(TextEnum):
    """The state of a reactor, from new to stopped or failed."""

    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class Observed(Protocol):
    """A registration, as far as it matters here."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def synced(self) -> bool:
        """Whether it received the initial state."""

    @property
    def stats(self) -> RegistrationStats:
        """Its counters."""

    @property
    def state(self) -> str:
        """Active, removed, not started, paused, or in quarantine."""

    @property
    def outbox(self) -> OutboxStats | None:
        """The counters of its outbox, of a sink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InformerHealth:
    """One registered informer.

    Attributes:
        name, synced, stats, state: as of its registration.
        outbox: what waits to be sent, of a sink.
    """

    name: str
    synced: bool
    stats: RegistrationStats
    state: str = "active"
    outbox: OutboxStats | None = None

    @classmethod
    def of(cls, one: Observed) -> InformerHealth:
        """Return the health of a registration."""
        return cls(
            name=one.name, synced=one.synced, stats=one.stats, state=one.state, outbox=one.outbox
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a reactor at one moment: its state, connection, queues and counters.

    Attributes:
        state, connection, endpoint: of the reactor, of its connection, of the engine.
        live: False once it has failed or stopped: restart it.
        ready: it runs, the engine answers, every informer received the initial state, and what is
            known of the engine is not older than the reactor's ``ready_within``.
        reason: why it is not ready, else None.
        synced: every informer received the initial state.
        freshness: seconds since the last answer that showed every session; inf before the first.
        informers: each registered informer.
        error: why it failed, else None.
        checkpoint: False while it cannot be written; None without one.
        missed: ends of tasks that were not read before their session was gone (signal
            ``events_missed``).
        stuck: the names of informers with a callback that runs longer than its ``timeout``.
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
    missed: int = 0
    reason: str | None = None
    stuck: tuple[str, ...] = ()

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
        missed: int = 0,
        within: float = math.inf,
        age: float | None = None,
    ) -> Health:
        """Return the health of a reactor with these parts.

        The arguments are the attributes of the same names, but for ``within``: seconds; what is
        known of the engine must not be older for the reactor to be ready. Where nothing needs the
        sessions, ``age`` is how old its last answer of any kind is.
        """
        if age is None:
            answer, age = "answer of the engine that showed every session", freshness
        else:
            answer = "answer of the engine"
        reason = _reason(state, connection, informers) or _stale(answer, age, within)
        return cls(
            state=state,
            connection=connection,
            endpoint=endpoint,
            live=state in (ReactorState.NEW, ReactorState.RUNNING, ReactorState.STOPPING),
            ready=reason is None,
            reason=reason,
            synced=all(one.synced for one in informers),
            freshness=freshness,
            informers=tuple(informers),
            error=None if error is None else repr_of(error),
            checkpoint=checkpoint,
            missed=missed,
            stuck=tuple(one.name for one in informers if one.stats.stuck),
        )

    def to_dict(self) -> dict[str, Any]:  # Any: whatever JSON takes
        """Return it as JSON takes it."""
        return {
            "state": self.state.value,
            "connection": self.connection.value,
            "endpoint": self.endpoint,
            "live": self.live,
            "ready": self.ready,
            "reason": self.reason,
            "synced": self.synced,
            "freshness": None if self.freshness == float("inf") else self.freshness,
            "informers": [
                {
                    "name": one.name,
                    "state": one.state,
                    "synced": one.synced,
                    **asdict(one.stats),
                    "outbox": None if one.outbox is None else asdict(one.outbox),
                }
                for one in self.informers
            ],
            "error": self.error,
            "checkpoint": self.checkpoint,
            "missed": self.missed,
            "stuck": list(self.stuck),
        }

    def _repr_html_(self) -> str:
        informers = [
            (
                one.name,
                f"{one.state if one.synced else 'not synced'}: {one.stats.delivered:,} delivered, "
                f"{one.stats.queued:,} queued, {one.stats.failures:,} failed",
            )
            for one in self.informers
        ]
        rows = [
            ("engine", self.endpoint),
            ("connection", self.connection),
            ("ready", "yes" if self.ready else self.reason),
            ("error", self.error),
        ]
        return card(f"Reactor: {self.state}", [*rows, *informers])


def _reason(
    state: ReactorState,
    connection: ConnectionState,
    informers: Sequence[InformerHealth],
) -> str | None:
    """Return why a reactor is not ready; None if it is."""
    if state is not ReactorState.RUNNING:
        return f"the reactor is {state}"
    if connection not in (ConnectionState.CONNECTED, ConnectionState.DEGRADED):
        return f"the connection is {connection}"
    late = [
        one.name if one.state == "active" else f"{one.name} ({one.state})"
        for one in informers
        if not one.synced
    ]
    if late:
        return f"not synced yet: {', '.join(late)}"
    return None


def _stale(answer: str, age: float, within: float) -> str | None:
    if age <= within:
        return None
    return f"the last {answer} is {age:.0f} s old, more than {within:g} s (ready_within)"


def readiness(given: float | None, every: float) -> float:
    """Return the seconds that what is known of the engine may be old.

    Args:
        given: what the user says, if anything.
        every: seconds between two polls.
    """
    return max(READY_WITHIN, READY_POLLS * every) if given is None else given
