"""``RepeatedLog``: a log line that comes again and again is written once, then counted.

The first record of a kind is logged whole, with its traceback. Later ones are counted; at most once
a minute the last of them is logged whole again, with how often it came. So a callback that fails
for each of 100,000 events writes a few lines, and the log keeps room for what is new. Used by
whatever can warn of the same thing without end; counters and signals are not its business.

No lock: a log line may be written in a signal handler, and a count that two threads race for may
be off by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from traceback import walk_tb

from flamepy.runtime.clocks import monotonic

EVERY = 60.0  # seconds between two lines of one kind
KINDS = 500  # of them that are remembered; the one that was seen least recently goes


@dataclass(slots=True)
class _Kind:
    """What is known of one kind of record."""

    logged_at: float
    since: int = 0  # records since the last line
    last: _Record | None = None


@dataclass(frozen=True, slots=True)
class _Record:
    """A record that was counted and not written."""

    level: int
    message: str
    arguments: tuple[object, ...]
    error: BaseException | None
    extra: Mapping[str, object] | None


class RepeatedLog:
    """Logs each kind of record once, then counts it. Safe from any thread.

    Args:
        logger: where lines go.
        every: seconds between two lines of one kind.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        every: float = EVERY,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._logger = logger
        self._every = every
        self._clock = clock
        self._kinds: dict[Hashable, _Kind] = {}

    def log(
        self,
        level: int,
        kind: Hashable,
        message: str,
        *arguments: object,
        error: BaseException | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Log a record, or count it if its kind was logged less than a minute ago.

        Args:
            level: of ``logging``.
            kind: what makes two records the same; ``kind_of`` gives that of an exception.
            message: a format of ``logging``.
            *arguments: for the format.
            error: logged with its traceback.
            extra: further attributes of the record.
        """
        known = self._kinds.pop(kind, None)
        now = self._clock()
        if known is None:
            self._kinds[kind] = _Kind(now)
            if len(self._kinds) > KINDS:
                self._forget_oldest()
            self._logger.log(level, message, *arguments, exc_info=error, extra=extra)
            return
        self._kinds[kind] = known
        known.since += 1
        known.last = _Record(level, message, arguments, error, extra)
        if now - known.logged_at >= self._every:
            self._log_count(known, now)

    def flush(self, *, everything: bool = False) -> None:
        """Log what was counted and is due; ``everything`` logs what is not due yet as well."""
        now = self._clock()
        for known in list(self._kinds.values()):
            if known.since and (everything or now - known.logged_at >= self._every):
                self._log_count(known, now)

    @property
    def counts(self) -> bool:
        """True while a count was not logged yet."""
        return any(known.since for known in list(self._kinds.values()))

    def _forget_oldest(self) -> None:
        oldest = next(iter(self._kinds), None)
        known = self._kinds.pop(oldest, None) if oldest is not None else None
        if known is not None and known.since:
            self._log_count(known, self._clock())

    def _log_count(self, known: _Kind, now: float) -> None:
        last, count, seconds = known.last, known.since, now - known.logged_at
        known.since, known.last, known.logged_at = 0, None, now
        if last is None:
            return
        again = " (%d times in the last %.0f s; this is the last one)"
        self._logger.log(
            last.level,
            last.message + again,
            *(*last.arguments, count, seconds),
            exc_info=last.error,
            extra=last.extra,
        )


def kind_of(error: BaseException) -> tuple[str, str, int]:
    """Return what makes two exceptions the same: their type, and the line that raised them."""
    name, line = "", 0
    trace = object.__getattribute__(error, "__traceback__")  # a class may define how it is read
    for frame, number in walk_tb(trace):
        name, line = frame.f_code.co_filename, number
    return f"{type(error).__module__}.{type(error).__qualname__}", name, line
