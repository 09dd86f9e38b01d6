"""``Webhook``: the sink that posts events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from cloudevents.core.v1.event import CloudEvent

from flamepy.informers import OutboxEntry, OutboxOptions, Outcome, Reactor, Sink
from flamepy_webhook import messages, options
from flamepy_webhook.addresses import networks_of
from flamepy_webhook.cloud_events import cloud_event
from flamepy_webhook.messages import Message
from flamepy_webhook.posting import Answer, Poster
from flamepy_webhook.replies import Verdict
from flamepy_webhook.transport import Client


class Webhook(Sink):
    """Posts events to a URL: as CloudEvents or as a template says, signed by Standard Webhooks.

    README.md has the meaning of each answer, and what leaves the process.

    Args:
        url: where to; https, or http.
        secret: a ``whsec_...`` text, or several of them while keys are rotated; None signs nothing.
        format: ``"structured"`` or ``"binary"`` CloudEvents, one per request; ``"batch"``: a list
            of structured ones; ``"template"``.
        template: for ``format="template"``: a text, or a mapping or list with texts, in which
            ``$name`` is replaced.
        content_type: of a template that is a text; without it JSON.
        headers: more fields of each request.
        timeout: seconds for a request, its answer included.
        connect_timeout: seconds for one address to accept.
        tls: ``ca_file`` (without it the system's authorities), ``cert_file``, ``key_file``.
        proxy: ``http://[user:password@]host:port``; those of the environment are not used.
        allow_private: True to reach addresses that are not public, or a list of networks.
        type_prefix: what the type of each event starts with.
        source: the ``source`` of each event; without it the engine's endpoint.
        dataref: a URL with ``$session`` or other names, sent instead of the data.
        payloads: whether the input and output of tasks are sent, base64.
        durable: as of ``Sink``.
        outbox: as of ``Sink``.

    Raises:
        InvalidArgumentError: an option breaks its rule; no secret is in the text.
    """

    def __init__(
        self,
        *,
        url: object,
        secret: object = None,
        format: str = "structured",
        template: object = None,
        content_type: str | None = None,
        headers: Mapping[str, object] | None = None,
        timeout: float = 20.0,
        connect_timeout: float = 5.0,
        tls: Mapping[str, object] | None = None,
        proxy: object = None,
        allow_private: bool | str | Sequence[str] = False,
        type_prefix: str = "flame",
        source: str | None = None,
        dataref: str | None = None,
        payloads: bool = False,
        durable: bool = True,
        outbox: OutboxOptions | Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(durable=durable, outbox=options.outbox_of(outbox, payloads=payloads))
        allowed = networks_of(allow_private)
        parts = options.url_of(url, allowed)
        self._host = parts.hostname or ""
        self._format = format
        self._template = options.template_of(format, template, content_type)
        self._naming = options.naming_of(
            type_prefix=type_prefix, source=source, dataref=dataref, payloads=payloads
        )
        client = Client(
            parts.geturl(),
            allowed=allowed,
            timeout=options.seconds_of("timeout", timeout),
            connect_timeout=options.seconds_of("connect_timeout", connect_timeout),
            context=options.tls_of(tls),
            proxy=options.proxy_of(proxy),
        )
        self._poster = Poster(
            client, keys=options.keys_of(secret), headers=options.headers_of(headers)
        )
        self._reactor: Reactor | None = None

    def __repr__(self) -> str:
        return f"Webhook(host={self._host!r}, format={self._format!r})"

    def attach(self, reactor: Reactor) -> None:
        """Keep the reactor, which knows the engine's endpoint."""
        self._reactor = reactor

    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
        """Post a batch, in one request or in several."""
        if self._format == "batch":
            return self._send_together(batch)[0]
        return self._send_each(batch)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    # ------------------------------------------------------------------ one request for each

    def _send_each(self, batch: Sequence[OutboxEntry]) -> list[Outcome]:
        """Post one after another, until the receiver cannot be reached or asks for a pause.

        A batch has one event of each task at most, so none overtakes another.
        """
        outcomes: list[Outcome] = []
        stopped: Outcome | None = None
        for entry in batch:
            if stopped is not None:
                outcomes.append(self._untried(entry, stopped))
                continue
            answer = self._post(self._message(entry))
            outcomes.append(answer.outcome)
            if answer.stops:
                stopped = answer.outcome
        return outcomes

    def _message(self, entry: OutboxEntry) -> Message:
        made = self._cloud_event(entry)
        if self._template is not None:
            return messages.templated(made, entry.event, self._template)
        return messages.binary(made) if self._format == "binary" else messages.structured(made)

    # ------------------------------------------------------------------ one request for all

    def _send_together(self, batch: Sequence[OutboxEntry]) -> tuple[list[Outcome], Outcome | None]:
        """Post all in one request; in two halves, if the receiver may have refused a part of it.

        Returns:
            The outcomes, and the one after which nothing more is posted now, if there is one.
        """
        answer = self._post(messages.batch([self._cloud_event(entry) for entry in batch]))
        if not answer.divisible or len(batch) == 1:
            return [answer.outcome] * len(batch), answer.outcome if answer.stops else None
        middle = len(batch) // 2
        first, stopped = self._send_together(batch[:middle])
        if stopped is not None:
            return [*first, *(self._untried(one, stopped) for one in batch[middle:])], stopped
        second, stopped = self._send_together(batch[middle:])
        return [*first, *second], stopped

    # ------------------------------------------------------------------ both

    def _untried(self, entry: OutboxEntry, stopped: Outcome) -> Outcome:
        """Return the outcome of an event that was not posted, because another one was ``stopped``.

        It has had no attempt; counted as one, its back-off would grow while others are taken.
        """
        options = self.outbox_options
        age = datetime.now(timezone.utc) - entry.created
        if age.total_seconds() >= options.give_up_after:
            return stopped
        after = options.backoff_first if stopped.after is None else stopped.after
        return Outcome.wait(f"not tried, since another one failed: {stopped.text}", after=after)

    def _post(self, message: Message) -> Answer:
        answer = self._poster.post(message)
        if answer.verdict is Verdict.GONE:
            self.disable(f"{self._host}: {answer.outcome.error}")
        return answer

    def _cloud_event(self, entry: OutboxEntry) -> CloudEvent:
        return cloud_event(
            entry.event,
            key=entry.key,
            number=entry.id,
            written=entry.created,
            endpoint=self._reactor.health().endpoint if self._reactor else "",
            naming=self._naming,
        )
