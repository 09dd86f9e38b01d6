"""``Places``: key, group and lane of each item that an informer's threads handle. Pure.

``dispatch`` answers with it what ``worker_pool`` and ``worker`` ask; ``key_queue`` goes by it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from flamepy.errors import FlameError
from flamepy.informers.dead_letters.letter import Retried
from flamepy.informers.delivery.inbox import LagMarker, Synced
from flamepy.informers.delivery.keys import checked, key_function, of_task
from flamepy.informers.delivery.progress import (
    AnyEvent,
    Batch,
    BatchFirst,
    Delivery,
    Flush,
    PlainCall,
    Reopen,
    Start,
)
from flamepy.informers.options import KeyFunction
from flamepy.informers.rules.overdue import OverdueEvent
from flamepy.informers.workers.key_queue import Key, Place
from flamepy.types import ConnectionState
from flamepy.watching.state.events import SessionEvent, TaskEvent

_CONNECTION = object()  # the key of what concerns the connection
WHOLE = object()  # the key of all events of an informer with batches and without a key

_PLACES = {
    Start: Place.WALL,
    Reopen: Place.WALL,
    Synced: Place.BARRIER,
    PlainCall: Place.BARRIER,
    LagMarker: Place.ROOM,
}


class Places:
    """The places of one informer's items.

    Args:
        key: of the registration.
        whole: all events have one key.
        report: called with an event and what a user's key function raised for it.
    """

    def __init__(
        self,
        key: str | KeyFunction | None,
        *,
        whole: bool,
        report: Callable[[AnyEvent, BaseException], None],
    ) -> None:
        self._key = key_function(key)
        self._is_users = callable(key)
        self._whole = whole
        self._report = report

    def of(self, item: object) -> tuple[Key, Hashable, bool]:
        """Return key, group and lane of an item; see ``WorkSource``."""
        if isinstance(item, (TaskEvent, SessionEvent)):
            return self._of_event(item)
        if isinstance(item, Delivery):
            return self._of_event(item.steps[-1].event)
        if isinstance(item, Retried):
            if isinstance(item.event, OverdueEvent):
                return _CONNECTION, None, False
            return self._of_event(item.event)
        if isinstance(item, (Flush, Batch)):
            return item.key, None, False
        if isinstance(item, BatchFirst):
            return WHOLE, None, False
        plain = isinstance(item, PlainCall) and item.presence is None
        if plain or isinstance(item, (ConnectionState, FlameError)):
            return _CONNECTION, None, False
        return _PLACES.get(type(item), Place.FREE), None, False

    def _of_event(self, event: AnyEvent) -> tuple[Key, Hashable, bool]:
        if self._whole:
            return WHOLE, None, event.initial
        if not self._is_users:
            return self._key(event), None, event.initial
        try:
            key = checked(self._key(event))
        except BaseException as error:  # the event is delivered nevertheless
            self._report(event, error)
            key = of_task(event)
        return key, of_task(event), event.initial
