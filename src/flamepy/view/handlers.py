"""Registered informers over time: rates, durations of their callbacks, their last errors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flamepy.view.recent import Durations, Rate
from flamepy.view.rows import HandlerRow, OutboxRow

TEXT_LENGTH = 1_000  # characters of an error
STACK_LENGTH = 8_000  # characters; the end of a longer one is kept

Described = Mapping[str, Any]  # Any: what ``Registration.describe`` returns


@dataclass(slots=True)
class _Handler:
    """What is kept of one informer."""

    described: Described = field(default_factory=dict)
    stack: str = ""
    delivered: Rate = field(default_factory=Rate)
    took: Durations = field(default_factory=Durations)
    last_error: str = ""
    last_error_at: float | None = None


class Handlers:
    """The informers of this process; by name."""

    def __init__(self) -> None:
        self._handlers: dict[str, _Handler] = {}

    def observe(self, described: Iterable[tuple[Described, str]], at: float) -> None:
        """Record how they are: what ``describe`` returned, and a stuck one's stack."""
        present = {str(one["name"]): (one, stack) for one, stack in described}
        for name in [name for name in self._handlers if name not in present]:
            del self._handlers[name]
        for name, (one, stack) in present.items():
            handler = self._handlers.setdefault(name, _Handler())
            handler.described, handler.stack = one, stack[-STACK_LENGTH:]
            handler.delivered.observe(at, float(one["delivered"]))

    def call(self, name: str, at: float, seconds: float) -> None:
        """Count a call of a callback that ended at a moment."""
        self._handlers.setdefault(name, _Handler()).took.add(at, seconds)

    def error(self, name: str, at: float, text: str) -> None:
        """Record what a callback failed with."""
        handler = self._handlers.setdefault(name, _Handler())
        handler.last_error, handler.last_error_at = text[:TEXT_LENGTH], at

    def rows(self, now: float) -> list[HandlerRow]:
        """Return them by name."""
        return [
            _row(name, one, now) for name, one in sorted(self._handlers.items()) if one.described
        ]


def _row(name: str, handler: _Handler, now: float) -> HandlerRow:
    known = handler.described
    return HandlerRow(
        name=name,
        state=str(known["state"]),
        synced=bool(known["synced"]),
        queued=int(known["queued"]),
        oldest_age=float(known["oldest_age"]),
        delivered=int(known["delivered"]),
        rate=handler.delivered.per_second(now),
        took=handler.took.quantiles(now),
        failures=int(known["failures"]),
        retries=int(known["retries"]),
        dead=int(known["dead"]),
        missed=int(known["missed"]),
        coalesced=int(known["coalesced"]),
        slow=int(known["slow"]),
        stuck=int(known["stuck"]),
        running_for=known["running_for"],
        stack=handler.stack,
        last_error=handler.last_error,
        last_error_at=handler.last_error_at,
        outbox=_outbox(known.get("outbox")),
    )


def _outbox(known: Described | None) -> OutboxRow | None:
    if known is None:
        return None
    disabled = known["disabled"]
    return OutboxRow(
        waiting=int(known["waiting"]),
        oldest_age=float(known["oldest_age"]),
        sent=int(known["sent"]),
        dropped=int(known["dropped"]),
        disabled="; ".join(str(why) for _, why in sorted(dict(disabled).items()))[:TEXT_LENGTH],
    )
