"""What the store has evicted: finished tasks over the limit, deletes, epochs of absent sessions.

Pure. ``store`` owns one ``History``; every part of it is bounded.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from flamepy.watching.state.events import TaskEvent
from flamepy.watching.state.records import DeletedTask, SessionRecord, TaskRecord

EPOCHS = 10_000


class History:
    """Finished and deleted tasks, in the order in which they leave the store.

    Args:
        needed: returns the sequence number after which a subscription still needs events, or
            None when none needs any.

    Attributes:
        retain: how many finished tasks stay in the store.
    """

    def __init__(self, needed: Callable[[], int | None] = lambda: None) -> None:
        self.retain = 100_000
        self._needed = needed
        self._ended: deque[TaskRecord] = deque()  # oldest end first; gone ones leave lazily
        self._kept = 0
        self._deletes: deque[DeletedTask] = deque()  # by sequence
        self._epochs: OrderedDict[str, tuple[int, float]] = OrderedDict()

    # ------------------------------------------------------------------ finished tasks

    def ended(self, record: TaskRecord) -> None:
        """Record that a task's end was delivered."""
        self._ended.append(record)
        self._kept += 1

    def left(self, record: TaskRecord) -> None:
        """Record that a task left the store for another reason than its age."""
        self._kept -= record.end_delivered

    def trim(self, sessions: Mapping[str, SessionRecord]) -> list[TaskRecord]:
        """Retire the oldest finished tasks over the limit that no subscription needs any more.

        Returns which these are.

        Not before a poll has shown their session after their end: until then they may belong to
        another session of its id, which has not been seen yet.
        """
        if len(self._ended) > 2 * self._kept + 64:
            self._ended = deque(one for one in self._ended if _is_there(one, sessions))
        retired: list[TaskRecord] = []
        if self._kept <= self.retain:
            return retired
        needed = self._needed()
        while self._kept > self.retain:
            known = self._ended[0]
            if _is_there(known, sessions):
                session = sessions[known.task.session_id]
                if known.window.end > session.window_start:
                    break
                if needed is not None and known.sequence > needed:
                    break
                session.retire(known.number)
                retired.append(known)
                self._kept -= 1
            self._ended.popleft()
        return retired

    # ------------------------------------------------------------------ deletes

    def deleted(self, known: TaskRecord, event: TaskEvent) -> None:
        """Keep a task's delete while a subscription needs it."""
        self.prune_deleted()
        if self._needed() is not None:
            self._deletes.append(DeletedTask(known.born, known.sequence, event))

    def deletes_after(self, sequence: int) -> list[DeletedTask]:
        """Return the kept deletes after a sequence number, oldest first."""
        return [deleted for deleted in self._deletes if deleted.event.sequence > sequence]

    def prune_deleted(self) -> None:
        """Drop the deletes that no subscription needs any more."""
        if not self._deletes:
            return
        needed = self._needed()
        if needed is None:
            self._deletes.clear()
            return
        while self._deletes and self._deletes[0].event.sequence <= needed:
            self._deletes.popleft()

    # ------------------------------------------------------------------ epochs

    def remember(self, session_id: str, epoch: int, since: float) -> None:
        """Remember the epoch that an absent session has when it appears again, and since when."""
        self._epochs.pop(session_id, None)
        self._epochs[session_id] = (epoch, since)
        if len(self._epochs) > EPOCHS:
            self._epochs.popitem(last=False)

    def recall(self, session_id: str) -> tuple[int, float]:
        """Return what was remembered of a session."""
        return self._epochs.get(session_id, (0, float("-inf")))

    def clear(self) -> None:
        """Forget tasks and deletes; epochs stay."""
        self._ended.clear()
        self._kept = 0
        self._deletes.clear()


def _is_there(record: TaskRecord, sessions: Mapping[str, SessionRecord]) -> bool:
    session = sessions.get(record.task.session_id)
    return session is not None and session.tasks.get(record.number) is record
