"""Handle observations: the store decides what each means, subscribers and waiters are notified.

``reader`` reports every task that an answer or a stream showed to ``Observer.observe``. What needs
another read (a contradiction, a failure without its text) is returned as a ``FollowUp``; the
observer itself makes no call. Runs on the link's loop.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass

from flamepy.runtime.repeats import RepeatedLog
from flamepy.types import Task
from flamepy.watching.io.context import WatchContext
from flamepy.watching.policy.stall_detector import stalled_tasks
from flamepy.watching.state.events import EventSource, SessionEvent, TaskEvent, Window
from flamepy.watching.state.missed import MissedEnds
from flamepy.watching.state.observations import Outcome, Verdict
from flamepy.watching.state.records import SessionRecord
from flamepy.watching.state.waiters import Interest

logger = logging.getLogger(__name__)

WARN_EVERY = 60.0  # seconds between two warnings of missed ends


class FollowUp(enum.Enum):
    """What must be read because of an observation."""

    PROBE = "probe"  # the task, once more
    READ_TEXT = "read text"  # of a failure


@dataclass(slots=True)
class Activity:
    """Whether anything was delivered since the last poll began; the poll interval follows it."""

    moved: bool = False
    drifts: int = 0
    missed: int = 0  # ends that were not read before their session was gone
    warned: int = 0  # of them, those that a log line has counted
    warned_at: float = float("-inf")
    last: MissedEnds | None = None


_AGAIN = {Verdict.STALE: FollowUp.PROBE, Verdict.NEEDS_TEXT: FollowUp.READ_TEXT}


class Observer:
    """Delivers the events of observations to subscribers and listeners."""

    def __init__(self, context: WatchContext) -> None:
        self._store = context.store
        self._subscribers = context.subscribers
        self._waiters = context.waiters
        self._wakeups = context.wakeups
        self._now = context.clock
        self._log = RepeatedLog(logger, every=WARN_EVERY, clock=context.clock)
        self.activity = Activity()

    # ------------------------------------------------------------------ tasks

    def observe(
        self, task: Task, window: Window, source: EventSource, text_known: bool
    ) -> FollowUp | None:
        """Record a task as a reply showed it; return what must be read because of it."""
        if not task.id.isdecimal():
            text = "ignored a task with the id %r: ids are decimal numbers"
            self._log.log(logging.WARNING, "id", text, task.id)
            return None
        number = int(task.id)
        record = self._store.session(task.session_id)
        interest = self._waiters.get(task.session_id, number)
        if interest is None and not self._subscribers.follow(record):
            return None
        if interest is not None and self._wants_end_only(record, interest, window):
            if not task.state.is_terminal:
                return None
            if task.payloads_loaded and not (task.is_failed() and task.error is None):
                self._waiters.deliver(task)  # whole, so it is delivered unchanged
                return None
        observation = self._store.observe_task(task, window, source, text_known=text_known)
        for event in observation.events:
            self.emit(event)
        if record.info is None and self._subscribers:
            self._wakeups.poll_now()  # nothing is delivered before the session was seen
        verdict = observation.verdict
        if observation.drift is not None and observation.delivered is not None:
            self.activity.drifts += 1
            logger.info("task %s of %s ended twice: now %s", task.id, task.session_id, task.state)
            self._subscribers.drift(observation.drift, observation.delivered)
        follow_up = _AGAIN.get(verdict)
        if interest is not None and follow_up is None:
            follow_up = self._deliver(task, number, verdict)
        if observation.events:
            self.check_drained(record)
            self._store.trim()
        return follow_up

    def _wants_end_only(self, record: SessionRecord, interest: Interest, window: Window) -> bool:
        """Return True if only waiters for the task's end are notified."""
        if interest.states or interest.number in record.tasks or window.start < record.since:
            return False
        return not self._subscribers.may_follow(record)

    def _deliver(self, task: Task, number: int, verdict: Verdict) -> FollowUp | None:
        # Listeners get the engine's own picture, with payloads, where the store agrees with it.
        record = self._store.session(task.session_id)
        known = record.tasks.get(number)
        if known is None:
            if record.retired.delivered(number) is None or not task.state.is_terminal:
                return None
        elif verdict is Verdict.DRIFT:
            if not task.state.is_terminal:
                return None
        elif known.state != task.state or known.held:
            return None
        if task.is_failed() and task.error is None:
            if known is None:
                return None  # its text comes with a GetTask
            task = known.task
        elif task.state.is_terminal and not task.payloads_loaded:
            return FollowUp.PROBE  # a list lacks the output
        self._waiters.deliver(task)
        self.release_task(task.session_id, number)
        return None

    def release_task(self, session_id: str, number: int) -> None:
        """Drop a task without waiters and subscriptions."""
        record = self._store.sessions.get(session_id)
        awaited = self._waiters.get(session_id, number) is not None
        if record is not None and not awaited and not self._subscribers.follow(record):
            self._store.forget_task(session_id, number)

    # ------------------------------------------------------------------ delivering

    def emit(self, event: TaskEvent) -> None:
        """Deliver an event of a task."""
        self.activity.moved = True
        self._subscribers.emit(event)

    def emit_session(self, event: SessionEvent) -> None:
        """Deliver an event of a session."""
        self.activity.moved = True
        self._subscribers.emit_session(event)

    def deliver_outcome(self, outcome: Outcome) -> None:
        """Deliver the events of an observation of a session."""
        if outcome.reset is not None:
            self._subscribers.engine_reset(outcome.session_id, outcome.application, outcome.reset)
        for event in outcome.tasks:
            self.emit(event)
        if outcome.missed is not None:
            self._missed(outcome.missed)
        for session_event in outcome.sessions:
            self.emit_session(session_event)

    def _missed(self, missed: MissedEnds) -> None:
        if not self._subscribers.missed(missed):
            return
        activity = self.activity
        activity.missed += missed.total
        activity.last = missed
        self._log_missed()

    def tick(self, *, everything: bool = False) -> None:
        """Log what was counted and is due, ``everything`` at the end; release what is gone."""
        for interest in self._waiters.sweep():
            self.release_task(interest.session_id, interest.number)
        self._log.flush(everything=everything)
        self._log_missed(everything=everything)

    def _log_missed(self, *, everything: bool = False) -> None:
        activity, now = self.activity, self._now()
        missed = activity.last if activity.missed > activity.warned else None
        if missed is None or (now - activity.warned_at < WARN_EVERY and not everything):
            return
        logger.warning(
            "%d ends of tasks were missed since the last such message, %d in all; the last ones: "
            "%d of session %s (%s), which was gone before they were read",
            *(activity.missed - activity.warned, activity.missed),
            *(missed.total, missed.session.id, missed.reason),
        )
        activity.warned_at, activity.warned = now, activity.missed

    def check_drained(self, record: SessionRecord) -> None:
        """Report that a session is drained, if it has just become so."""
        event = self._store.drained(record, self._now())
        if event is not None:
            self.emit_session(event)

    def check_stalled(self, record: SessionRecord, after: float) -> None:
        """Report which tasks of a session do not start."""
        now = self._now()
        for known in stalled_tasks(record, now, after):
            text = "task %s of session %s stays pending while later ones finish"
            self._log.log(logging.WARNING, "stalled", text, known.number, record.id)
            self._subscribers.stalled(self._store.stalled(record, known, now))
