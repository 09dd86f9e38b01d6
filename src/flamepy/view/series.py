"""What happened over time, in buckets of three widths: seconds, tens of seconds, minutes. Pure.

A bucket in which the engine was not seen is unknown, not zero. Each ring has a fixed size; what is
older is gone from it and still in a wider one, for a week.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COUNTED = ("created", "started", "succeeded", "failed", "cancelled")
GAUGES = ("pending", "running")
NAMES = COUNTED + GAUGES
WIDTHS = ((1.0, 600), (10.0, 720), (300.0, 2016))  # seconds, buckets: 10 min, 2 h, 7 days
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Some buckets, oldest first.

    Attributes:
        step: seconds of a bucket.
        start: the beginning of the first, seconds since the epoch.
        values: by name a value for each bucket; None where the engine was not seen.
    """

    step: float
    start: float
    values: Mapping[str, Sequence[float | None]]


class Ring:
    """Buckets of one width."""

    def __init__(self, step: float, size: int) -> None:
        self.step, self.size = step, size
        self._values = {name: [0.0] * size for name in NAMES}
        self._seen = bytearray(size)
        self._newest: int | None = None  # number of the newest bucket: its beginning / step

    def seen(self, at: float, gauges: Sequence[float]) -> None:
        """Record that the engine was seen at a moment, with as many tasks waiting and running."""
        place = self._place(at)
        if place is not None:
            self._seen[place] = 1
            for name, value in zip(GAUGES, gauges, strict=True):
                self._values[name][place] = value

    def add(self, at: float, name: str, amount: float) -> None:
        """Count something at a moment; what is too old for the ring is left out."""
        place = self._place(at)
        if place is not None:
            self._seen[place] = 1
            self._values[name][place] += amount

    def _place(self, at: float) -> int | None:
        number = int(at // self.step)
        if self._newest is None:
            self._newest = number
        if number <= self._newest - self.size:
            return None
        for fresh in range(max(self._newest + 1, number - self.size + 1), number + 1):
            place = fresh % self.size
            self._seen[place] = 0
            for column in self._values.values():
                column[place] = 0.0
        self._newest = max(self._newest, number)
        return number % self.size

    def columns(self, now: float, buckets: int | None = None) -> Columns:
        """Return the last buckets, that of ``now`` included."""
        last = int(now // self.step)
        count = min(self.size, buckets or self.size)
        numbers = range(last - count + 1, last + 1)
        return Columns(
            step=self.step,
            start=numbers.start * self.step,
            values={name: [self._at(name, one) for one in numbers] for name in NAMES},
        )

    def _at(self, name: str, number: int) -> float | None:
        newest = self._newest
        if newest is None or not newest - self.size < number <= newest:
            return None
        place = number % self.size
        return self._values[name][place] if self._seen[place] else None

    def total(self, now: float, name: str, buckets: int) -> float:
        """Return the sum of a counted value over the last full buckets and the present one."""
        last = int(now // self.step)
        return sum(self._at(name, one) or 0.0 for one in range(last - buckets, last + 1))

    def to_dict(self) -> dict[str, Any]:  # Any: what JSON takes
        """Return it as JSON takes it."""
        return {
            "step": self.step,
            "newest": self._newest,
            "seen": self._seen.hex(),
            "values": self._values,
        }

    def restore(self, given: Mapping[str, Any]) -> None:  # Any: what JSON gives
        """Continue with what ``to_dict`` returned of a ring of the same width and size.

        Raises:
            ValueError, KeyError, TypeError: it is not such a dictionary.
        """
        seen = bytearray.fromhex(given["seen"])
        values = {name: [float(one) for one in given["values"][name]] for name in NAMES}
        newest = given["newest"]
        wrong = any(len(column) != self.size for column in values.values())
        if given["step"] != self.step or len(seen) != self.size or wrong:
            raise ValueError("the buckets have another width or number")
        self._seen, self._values = seen, values
        self._newest = None if newest is None else int(newest)


class Series:
    """The three rings together."""

    def __init__(self) -> None:
        self.rings = tuple(Ring(step, size) for step, size in WIDTHS)
        self.restored_from: float | None = None

    def seen(self, at: float, gauges: Sequence[float]) -> None:
        """Record that the engine was seen at a moment, with as many tasks waiting and running."""
        for ring in self.rings:
            ring.seen(at, gauges)

    def add(self, at: float, name: str, amount: float = 1.0) -> None:
        """Count something at a moment."""
        for ring in self.rings:
            ring.add(at, name, amount)

    def columns(self, now: float, span: float) -> Columns:
        """Return the last ``span`` seconds, in the narrowest buckets that reach back so far."""
        for ring in self.rings:
            if span <= ring.step * ring.size:
                return ring.columns(now, max(1, int(span / ring.step)))
        return self.rings[-1].columns(now)

    def to_dict(self, now: float) -> dict[str, Any]:  # Any: what JSON takes
        """Return it as JSON takes it, to be continued by a later process."""
        return {"format": FORMAT, "at": now, "rings": [ring.to_dict() for ring in self.rings]}

    def restore(self, given: Mapping[str, Any]) -> None:  # Any: what JSON gives
        """Continue with what ``to_dict`` returned.

        Raises:
            ValueError, KeyError, TypeError: it is not such a dictionary.
        """
        if given["format"] != FORMAT or len(given["rings"]) != len(self.rings):
            raise ValueError("another release wrote it")
        fresh = Series()
        for ring, one in zip(fresh.rings, given["rings"], strict=True):
            ring.restore(one)
        self.rings, self.restored_from = fresh.rings, float(given["at"])
