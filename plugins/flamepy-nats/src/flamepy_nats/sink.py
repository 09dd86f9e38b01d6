"""``Nats``: publishes each entry of the outbox, and awaits its acknowledgement."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import nats.errors
from nats.js import JetStreamContext
from nats.js import errors as js_errors

from flamepy.errors import InvalidArgumentError
from flamepy.informers import OutboxEntry, OutboxOptions, Outcome, Sink
from flamepy_nats.connection import Connection, Settings, host_of, tls_of
from flamepy_nats.subjects import Event, Subject

SUBJECT = "flame.{application}.{type}.{state}"
WRONG_STREAM = 10060  # error code of JetStream: the subject is of another stream
TOO_LARGE = 10054  # the stream takes no message of this size


class Nats(Sink):
    """Publishes events to a stream of NATS JetStream.

    A message is ``event.to_dict()`` as JSON, without payloads. Its header ``Nats-Msg-Id`` is
    ``event.key``, by which the stream drops what is published again within its duplicate window.
    An entry counts as sent when the stream has acknowledged it.

    Args:
        url: the server, or a list of servers of one cluster; a user and password, or a token, may
            stand in it: ``nats://USER:PASSWORD@HOST:4222``, ``tls://TOKEN@HOST:4222``. A secret.
        subject: of a message; fields are ``application``, ``session``, ``task``, ``type`` and
            ``state``, each one token, percent-encoded where it has to be.
        stream: the name of the stream that is to take the messages; None for whichever has the
            subject.
        timeout: seconds to connect, and to wait for an acknowledgement.
        credentials: path of a user's credentials (``.creds``); needs the extra ``nkeys``.
        nkey_seed: path of the seed of a user's key; needs the extra ``nkeys``.
        ca_file, cert_file, key_file: certificates to trust instead of the system's, and one's own.
        durable, outbox: as of ``Sink``.

    Raises:
        InvalidArgumentError: an option breaks its rule; the text has no secret.
    """

    def __init__(
        self,
        *,
        url: str | Sequence[str],
        subject: str = SUBJECT,
        stream: str | None = None,
        timeout: float = 5.0,
        credentials: str | None = None,
        nkey_seed: str | None = None,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        durable: bool = True,
        outbox: OutboxOptions | Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(durable=durable, outbox=outbox)
        if (credentials or nkey_seed) and find_spec("nkeys") is None:
            raise InvalidArgumentError(
                "credentials and nkey_seed need nkeys: pip install 'flamepy-nats[nkeys]'"
            )
        urls = [url] if isinstance(url, str) else list(url)
        if not urls:
            raise InvalidArgumentError("url must name at least one server")
        settings = Settings(
            urls=urls,
            hosts=", ".join(map(host_of, urls)),
            timeout=_seconds(timeout),
            credentials=credentials,
            nkey_seed=nkey_seed,
            tls=tls_of(ca_file, cert_file, key_file),
        )
        self._subject = Subject(subject)
        self._stream = stream
        self._timeout = settings.timeout
        self._connection = Connection(settings)

    async def send(self, batch: Sequence[OutboxEntry]) -> list[Outcome]:
        """Publish entries side by side; a batch has one of each task at most."""
        client = await self._connection.client()
        context = client.jetstream(timeout=self._timeout)
        return list(await asyncio.gather(*(self._publish(context, one) for one in batch)))

    async def close(self) -> None:
        """End the connection."""
        await self._connection.close()

    async def _publish(self, context: JetStreamContext, entry: OutboxEntry) -> Outcome:
        subject = self._subject.of(entry.event)
        body = message_of(entry.event)
        headers = {"Nats-Msg-Id": entry.key}
        try:
            await context.publish(subject, body, stream=self._stream, headers=headers)
        except js_errors.NoStreamResponseError:
            return Outcome.retry(
                f"no stream takes the subject {subject!r}: create one (nats stream add FLAME "
                "--subjects 'flame.>'), and see that the server has JetStream enabled"
            )
        except js_errors.APIError as error:
            return self._rejected(subject, error)
        except nats.errors.MaxPayloadError:
            return Outcome.refused(f"{len(body)} bytes are more than the server takes")
        except (nats.errors.BadHeaderError, nats.errors.BadSubjectError) as error:
            return Outcome.refused(f"{subject!r} with the id {entry.key!r}: {error}")
        except asyncio.TimeoutError:
            return Outcome.retry(f"no acknowledgement of {subject!r} within {self._timeout:g} s")
        except (OSError, nats.errors.Error) as error:
            return Outcome.retry(f"{subject!r} was not published: {error}")
        return Outcome.sent()

    def _rejected(self, subject: str, error: js_errors.APIError) -> Outcome:
        said = f"{error.description} ({error.err_code})"
        if error.err_code == WRONG_STREAM:
            return Outcome.retry(
                f"the subject {subject!r} is not of the stream {self._stream!r}: {said}; add it to "
                "the stream, or change the option stream"
            )
        if error.err_code == TOO_LARGE:
            return Outcome.refused(f"the stream of {subject!r} does not take it: {said}")
        return Outcome.retry(f"the stream of {subject!r} did not take it: {said}")


def message_of(event: Event) -> bytes:
    """Return an event as a message: its dictionary, without how late it is."""
    return json.dumps(
        {name: one for name, one in event.to_dict().items() if name != "lag"}
    ).encode()


def _seconds(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < 1e6:
        raise InvalidArgumentError(
            f"timeout must be a number of seconds, more than 0, got {timeout!r}"
        )
    return float(timeout)
