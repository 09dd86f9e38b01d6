"""The view's one thread, and the loop that sends what changed to open pages.

The model has one owner, the thread ``flamepy-dashboard-view``: it refreshes the view, makes the
documents of pages that are open, and finds what changed of them. The server's loop only sends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from flamepy.dashboard.changes import Document
from flamepy.dashboard.channel import Channel, Made, made
from flamepy.dashboard.documents import document
from flamepy.errors import FlameError, ResourceExhaustedError
from flamepy.runtime.clocks import monotonic, wall
from flamepy.runtime.pools import DaemonPool
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import repr_of, text_of
from flamepy.view import LiveView

logger = logging.getLogger(__name__)
_repeated = RepeatedLog(logger)

T = TypeVar("T")
STEP, UNSEEN_STEP = 0.1, 1.0  # seconds between two refreshes with and without an open page
STALE = 1.0  # seconds after which a document is made anew though no event came
CHANNELS = 200  # addresses that are open at the same time
SAVE_EVERY = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class _Job:
    """A document to be made."""

    page: str
    words: Mapping[str, str]
    before: Document | None


class Viewing:
    """Keeps a view current and its open pages up to date.

    Args:
        view: open; nothing else may use it from now on.
        history: a file that keeps the series over restarts; None for none.
    """

    def __init__(self, view: LiveView, *, history: Path | None = None) -> None:
        self._view = view
        self._history = history
        self._pool = DaemonPool(1, name="flamepy-dashboard-view")
        self._channels: dict[tuple[str, ...], Channel] = {}
        self._life = secrets.token_hex(4)
        self._more = False
        self._saved_at = monotonic()
        self.closing = False

    # ------------------------------------------------------------------ the view's thread

    async def ask(self, function: Callable[[LiveView], T]) -> T:
        """Call a function with the view, on its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(self._view))

    def _work(self, jobs: list[_Job]) -> list[tuple[Made | None, str, float]]:
        self._more = self._view.refresh()
        if self._history is not None and monotonic() - self._saved_at > SAVE_EVERY:
            self._save()
        return [self._made(job) for job in jobs]

    def _made(self, job: _Job) -> tuple[Made | None, str, float]:
        began = monotonic()
        try:
            fresh = document(self._view, job.page, job.words, wall())
            found = made(job.before, fresh, monotonic() - began)
        except FlameError as error:
            return None, error.message, monotonic() - began
        except Exception as error:
            text = "the page %s could not be made: %s"
            _repeated.log(
                *(logging.ERROR, kind_of(error), text, job.page, repr_of(error)), error=error
            )
            return None, f"the page could not be made: {text_of(error)}", monotonic() - began
        return found, "", monotonic() - began

    # ------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Keep the view and all open pages current until ``close``."""
        await self.ask(lambda view: self._restore())
        while not self.closing:
            now = monotonic()
            version = self._view.model.version
            due = [one for one in self._channels.values() if _is_due(one, now, version)]
            jobs = [_Job(one.page, one.words, one.document) for one in due]
            found = await self.ask(lambda view, jobs=jobs: self._work(jobs))  # type: ignore[misc]  # a default binds it
            for channel, (fresh, why, cost) in zip(due, found, strict=True):
                channel.version = version
                if why:
                    channel.fail(why, monotonic())
                else:
                    channel.publish(fresh, monotonic(), cost)
            if not self._more:
                seen = any(one.viewers for one in self._channels.values())
                await asyncio.sleep(STEP if seen else UNSEEN_STEP)

    def close(self) -> None:
        """End ``run`` and every open page; on the loop."""
        self.closing = True
        for channel in self._channels.values():
            channel.wake()

    def end(self) -> None:
        """Keep the series, and close the view; blocks, from any thread but the view's."""
        with suppress(RuntimeError):
            self._pool.submit(self._end).result(5.0)
        self._pool.shutdown(wait=False)

    def _end(self) -> None:
        self._view.refresh()
        if self._history is not None:
            self._save()
        self._view.close()

    # ------------------------------------------------------------------ pages

    def channel(self, page: str, words: Mapping[str, str]) -> Channel:
        """Return the channel of an address, made at its first use; on the loop.

        Raises:
            ResourceExhaustedError: too many other ones are open.
        """
        key = (page, *(f"{name}={words[name]}" for name in sorted(words)))
        found = self._channels.get(key)
        if found is None:
            for old, one in list(self._channels.items()):
                if not one.viewers and (len(self._channels) >= CHANNELS or _is_old(one)):
                    del self._channels[old]
            if len(self._channels) >= CHANNELS:
                raise ResourceExhaustedError(
                    f"{CHANNELS} different pages are open; close some, or open one of them"
                )
            found = self._channels[key] = Channel(self._life, page, dict(words))
        return found

    # ------------------------------------------------------------------ history

    def _restore(self) -> None:
        if self._history is None or not self._history.exists():
            return
        try:
            self._view.model.series.restore(json.loads(self._history.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the history in %s cannot be read: %s", self._history, text_of(error))

    def _save(self) -> None:
        assert self._history is not None
        self._saved_at = monotonic()
        written = self._history.with_name(f"{self._history.name}.{os.getpid()}.new")
        try:
            written.write_text(json.dumps(self._view.model.series.to_dict(wall())))
            written.replace(self._history)
        except OSError as error:
            text = "the history could not be written to %s: %s"
            _repeated.log(logging.WARNING, "history", text, self._history, text_of(error))


def _is_due(channel: Channel, now: float, version: int) -> bool:
    if not channel.viewers or now < channel.due:
        return False
    return channel.version != version or now - channel.made_at >= STALE


def _is_old(channel: Channel) -> bool:
    return monotonic() - channel.made_at > 60.0
