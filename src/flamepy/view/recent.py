"""Durations of the last ten minutes, counted by magnitude, and rates of the last minute. Pure."""

from __future__ import annotations

import math
from collections import deque

from flamepy.view.rows import Quantiles

BASE = 1.2  # each magnitude is that many times the one before
LEAST = 1e-6  # seconds; shorter ones count as that
SLICE, SLICES = 60.0, 10  # seconds of a slice, and how many are kept
SAMPLES, SPACING, WINDOW = 32, 2.0, 60.0
_SCALE = 1.0 / math.log(BASE)


class Durations:
    """How long something took, in the last ten minutes; memory does not grow with the number."""

    __slots__ = ("_slices",)

    def __init__(self) -> None:
        self._slices: deque[tuple[int, dict[int, int], list[float]]] = deque(maxlen=SLICES)

    def add(self, at: float, seconds: float) -> None:
        """Count a duration that ended at a moment."""
        number = int(at // SLICE)
        if not self._slices or self._slices[-1][0] < number:
            self._slices.append((number, {}, [0.0]))
        _, counts, most = self._slices[-1]
        magnitude = math.ceil(math.log(max(seconds, LEAST) / LEAST) * _SCALE)
        counts[magnitude] = counts.get(magnitude, 0) + 1
        most[0] = max(most[0], seconds)

    def quantiles(self, now: float) -> Quantiles:
        """Return what the last ten minutes were like."""
        oldest = int(now // SLICE) - SLICES
        counts: dict[int, int] = {}
        most = 0.0
        for number, slice_counts, slice_most in self._slices:
            if number > oldest:
                most = max(most, slice_most[0])
                for magnitude, count in slice_counts.items():
                    counts[magnitude] = counts.get(magnitude, 0) + count
        total = sum(counts.values())
        if not total:
            return Quantiles()
        p50, p90, p99 = (_quantile(counts, total, part, most) for part in (0.5, 0.9, 0.99))
        return Quantiles(count=total, p50=p50, p90=p90, p99=p99, most=most)


def _quantile(counts: dict[int, int], total: int, part: float, most: float) -> float:
    left = part * total
    for magnitude in sorted(counts):
        left -= counts[magnitude]
        if left <= 0 and magnitude == 0:
            return 0.0
        if left <= 0:
            return float(min(most, LEAST * BASE ** (magnitude - 0.5)))
    return most


class Rate:
    """How fast a number grows, by samples of the last minute."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)

    def observe(self, at: float, value: float) -> None:
        """Record the number at a moment; one that shrank begins anew."""
        samples = self._samples
        if samples and value < samples[-1][1]:
            samples.clear()
        if len(samples) > 1 and at - samples[-2][0] < SPACING:
            samples[-1] = (at, value)
        else:
            samples.append((at, value))

    def per_second(self, now: float) -> float:
        """Return how much it grew a second, over the last minute or as long as it is known."""
        base = None
        for at, value in self._samples:
            if base is None or at <= now - WINDOW:
                base = (at, value)
        if base is None:
            return 0.0
        since = max(base[0], now - WINDOW) if len(self._samples) > 1 else base[0]
        elapsed = now - since
        grown = self._samples[-1][1] - base[1]
        return grown / elapsed if elapsed >= 1.0 and grown > 0 else 0.0


def eta(left: float, rate: float) -> float | None:
    """Return the seconds until ``left`` will have ended; None where that says nothing."""
    return left / rate if left > 0 and rate > 0 else None
