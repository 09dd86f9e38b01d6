"""``Notify``: from entries of the outbox to messages of a channel."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from flamepy.informers import (
    OutboxEntry,
    OutboxOptions,
    Outcome,
    OverdueEvent,
    Secret,
    SessionEvent,
    Sink,
    TaskEvent,
)
from flamepy_notify import options
from flamepy_notify.channels.channel import (
    Message,
    Misconfigured,
    Refused,
    Unavailable,
)
from flamepy_notify.facts import PROBLEMS, fact_of
from flamepy_notify.groups import clock
from flamepy_notify.planner import UNANNOUNCED_DELAY, Draft, Planner
from flamepy_notify.quiet_hours import QuietHours
from flamepy_notify.rate_limit import RateLimit

log = logging.getLogger("flamepy.notify")
EPOCH = datetime.fromtimestamp(0, tz=timezone.utc)
KEPT = 7 * 86_400.0  # seconds after which what a service did not take is no longer in the outbox


class Notify(Sink):
    """Sends failures, overdue tasks and recoveries as messages, several events in one.

    Args:
        channel: ``"slack"``, ``"teams"``, ``"discord"`` or ``"mail"``.
        url: the incoming webhook's URL, or ``smtp://USER:PASSWORD@HOST``; a secret.
        sender, recipients: addresses of a mail.
        group_by: what one message is about: ``"application"``, ``"session"`` or ``"none"`` for
            everything.
        collect: seconds for which failures are collected into one message.
        rate_limit: messages at most, as ``"20/hour"``; None for no limit. What is over it waits and
            is grouped.
        quiet_hours: cron expressions of the minutes in which nothing is sent; what happens in them
            is sent, grouped, when they end.
        timezone: of the quiet hours.
        recover: also say when it is over.
        recover_after: seconds without a failure after which a success is a recovery.
        templates: texts in place of the usual ones, by ``failed``, ``overdue``, ``event`` and
            ``recovered``; the first line is a mail's subject.
        initial: also report what had failed before the first start.
        dry_run: log messages (``flamepy.notify``, INFO) in place of sending them.
        timeout: seconds of each wait for the service.
        ca_file: certificates to trust instead of the system's.
        durable, outbox: as of ``Sink``; a batch has up to 1000 entries here.

    Raises:
        InvalidArgumentError: an option breaks its rule; the text has no secret.
    """

    def __init__(
        self,
        *,
        channel: str,
        url: str | Secret = "",
        sender: str = "",
        recipients: str | Sequence[str] = (),
        group_by: str = "application",
        collect: float = 10.0,
        rate_limit: str | None = "20/hour",
        quiet_hours: str | Sequence[str] = (),
        timezone: str = "UTC",
        recover: bool = True,
        recover_after: float = 300.0,
        templates: Mapping[str, str] | None = None,
        initial: bool = False,
        dry_run: bool = False,
        timeout: float = 10.0,
        ca_file: str | None = None,
        durable: bool = True,
        outbox: OutboxOptions | Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(durable=durable, outbox=options.outbox(outbox, collect=collect))
        self._channel = options.channel_of(
            channel,
            url,
            sender=sender,
            recipients=options.texts("recipients", recipients),
            timeout=options.positive("timeout", timeout),
            ca_file=ca_file,
        )
        self._templates = options.templates(templates)
        self._quiet = QuietHours(options.texts("quiet_hours", quiet_hours), timezone=timezone)
        self._planner = Planner(
            group_by=options.one_of("group_by", group_by, options.GROUPS),
            recover_after=options.positive("recover_after", recover_after)
            if options.boolean("recover", recover)
            else None,
            rate=None if rate_limit is None else RateLimit(rate_limit),
        )
        self._recovers = recover
        # Set by the informer's thread, never reset: whether there was a problem in this process.
        self._troubled = False
        # Of an earlier process; unknown until the first batch, which a success may be.
        self._may_have_trouble = True
        self._initial = options.boolean("initial", initial)
        self._dry_run = options.boolean("dry_run", dry_run)

    # ------------------------------------------------------------------ what is stored

    def on_transition(self, event: TaskEvent) -> None:
        """Put failures into the outbox, and what may end a problem."""
        self._consider(event)

    def on_event(self, event: SessionEvent) -> None:
        """Put what the engine recorded of a session into the outbox."""
        self._consider(event)

    def on_opened(self, event: SessionEvent) -> None:
        """Leave it out: no message depends on it."""

    def on_drained(self, event: SessionEvent) -> None:
        """Put an end into the outbox that may end a problem."""
        self._consider(event)

    def on_closed(self, event: SessionEvent) -> None:
        """Put an end into the outbox that may end a problem."""
        self._consider(event)

    def on_overdue(self, event: OverdueEvent) -> None:
        """Put what is overdue into the outbox."""
        self._troubled = True
        self.put(event)

    def _consider(self, event: TaskEvent | SessionEvent) -> None:
        fact = fact_of(event, entry=0, at=EPOCH, initial=self._initial)
        if fact is None:
            return
        if fact.kind in PROBLEMS:
            self._troubled = True
        elif not self._recovers or not (self._troubled or self._may_have_trouble):
            return  # while nothing is wrong a success costs nothing
        self.put(event)

    # ------------------------------------------------------------------ what is sent

    def open(self) -> None:
        """Continue with the problems that an earlier process reported."""
        self._planner.load(self.note)
        self._may_have_trouble = any(self._planner.problems)

    def send(self, batch: Sequence[OutboxEntry]) -> list[Outcome]:
        """Send the messages that a batch makes; each entry counts as sent with its message."""
        now = time.time()
        facts = [
            fact_of(one.event, entry=one.id, at=one.created, initial=self._initial) for one in batch
        ]
        plan = self._planner.plan([one for one in facts if one is not None], now=now)
        outcomes = {
            entry: Outcome.wait("a recovery that may not last", after=wait)
            for entry, wait in plan.waiting.items()
        }
        quiet_until = self._quiet.end(_utc(now))
        failure: Outcome | None = None  # why no further message of the batch is sent
        for draft in plan.drafts:
            if failure is None:
                try:
                    outcome = self._deliver(draft, now, quiet_until)
                except (Unavailable, Misconfigured) as error:
                    outcome = failure = self._failed(error)
            if failure is not None:
                self._planner.held(draft, until=now + KEPT)
            outcomes.update(dict.fromkeys(draft.entries, failure or outcome))
        self.note = self._planner.dump()
        return [outcomes.get(one.id, Outcome.sent()) for one in batch]

    def _deliver(self, draft: Draft, now: float, quiet_until: datetime | None) -> Outcome:
        """Send one message, or say why its entries wait. Raises Unavailable, Misconfigured."""
        if draft.template == "recovered" and not draft.problem.announced:
            return self._wait(draft, now, UNANNOUNCED_DELAY, "the problem is to be reported first")
        if quiet_until is not None:
            wait = quiet_until.timestamp() - now
            return self._wait(draft, now, wait, f"quiet hours until {clock(quiet_until)}")
        rate = self._planner.rate
        if rate is not None and rate.wait(now) > 0:
            return self._wait(draft, now, rate.wait(now), f"the rate limit, {rate.text}")
        outcome = Outcome.sent()
        try:
            self._post(self._message(draft))
        except Refused as error:
            outcome = Outcome.refused(str(error))
        self._planner.sent(draft, now=now)
        return outcome

    def _failed(self, error: Unavailable | Misconfigured) -> Outcome:
        if isinstance(error, Unavailable):
            return Outcome.retry(str(error), after=error.after)
        self.disable(str(error))
        return Outcome.retry(str(error))

    def _wait(self, draft: Draft, now: float, wait: float, reason: str) -> Outcome:
        self._planner.held(draft, until=now + wait)
        return Outcome.wait(reason, after=wait)

    def _post(self, message: Message) -> None:
        if self._dry_run:
            log.info("dry run, to %s: %s", self._channel.name, message.whole)
        else:
            self._channel.post(message)

    def _message(self, draft: Draft) -> Message:
        values = {name: self._channel.escape(value) for name, value in draft.values.items()}
        whole = self._templates[draft.template].render(values).strip()
        title, _, text = whole.partition("\n")
        entries = ",".join(map(str, draft.entries))
        identity = f"{draft.template} {draft.problem.key} {entries}"
        return Message(title, text, hashlib.sha256(identity.encode()).hexdigest()[:32])


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)
