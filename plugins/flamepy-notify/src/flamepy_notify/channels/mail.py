"""Mail by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from flamepy.errors import InvalidArgumentError
from flamepy.informers import Secret
from flamepy_notify.channels.channel import Message, Misconfigured, Refused, Unavailable
from flamepy_notify.channels.http import reason
from flamepy_notify.texts import clean, cut

PORTS = {"smtp": 587, "smtps": 465, "smtp+insecure": 25}


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server; user and password are in no repr."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse_url(url: str) -> Server:
    """Return the server that a URL names.

    Raises:
        InvalidArgumentError: it names none; the text has nothing of it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in PORTS:
        raise InvalidArgumentError(
            "url of a mail channel must be smtp://USER:PASSWORD@HOST (with STARTTLS), smtps://... "
            "(TLS), or smtp+insecure://HOST (without encryption); what was given is not printed, "
            "since it may have a password"
        )
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and parts.scheme == "smtp+insecure":
        raise InvalidArgumentError(
            "url of a mail channel has a password and smtp+insecure: it would be sent readable; "
            "write smtp:// or smtps://"
        )
    return Server(parts.scheme, host, port or PORTS[parts.scheme], user, password)


class Mail:
    """A channel that is a mail to some addresses.

    Args:
        url: the server, with user and password.
        sender: the address that the mail is from.
        recipients: the addresses that it is to.
        timeout: seconds of each wait for the network.
        ca_file: certificates to trust instead of the system's.
    """

    def __init__(
        self,
        url: Secret,
        *,
        sender: str,
        recipients: Sequence[str],
        timeout: float,
        ca_file: str | None,
    ) -> None:
        self._server = parse_url(url.reveal())
        self._sender = _address("sender", sender)
        self._recipients = [_address("recipients", one) for one in recipients]
        if not self._recipients:
            raise InvalidArgumentError(
                "recipients of a mail channel must name at least one address"
            )
        self._timeout = timeout
        self._context = ssl.create_default_context(cafile=ca_file)
        self.name = f"mail ({self._server.host})"

    def escape(self, text: str) -> str:
        """Return the text: a mail is plain text."""
        return text

    def post(self, message: Message) -> None:
        """Send a message to every recipient.

        Raises:
            ChannelError: the server did not take it.
        """
        mail = self._mail(message)
        try:
            with self._connect() as server:
                if self._server.user:
                    server.login(self._server.user, self._server.password)
                server.send_message(mail)
        except smtplib.SMTPAuthenticationError as error:
            text = f"{self.name} refuses the user or the password ({error.smtp_code})"
            raise Misconfigured(text) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            self._refused(max(codes), "every recipient")
        except smtplib.SMTPResponseException as error:
            self._refused(error.smtp_code, "the mail")
        except smtplib.SMTPNotSupportedError:
            raise Misconfigured(f"{self.name} has no STARTTLS, or no login") from None
        except (OSError, smtplib.SMTPException, MessageError) as error:
            raise Unavailable(f"{self.name}: {reason(error)}") from None

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        if server.scheme == "smtps":
            return smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout, context=self._context
            )
        made = smtplib.SMTP(server.host, server.port, timeout=self._timeout)
        if server.scheme == "smtp":
            try:
                made.starttls(context=self._context)
            except BaseException:
                made.close()
                raise
        return made

    def _refused(self, code: int, what: str) -> None:
        text = f"{self.name} refuses {what} ({code})"
        raise (Refused if code >= 500 else Unavailable)(text) from None

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = cut(clean(message.title), 200)
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._recipients)
        mail["Date"] = format_datetime(datetime.now(timezone.utc))
        # The same id for the same entries: mail programs show a second copy as one.
        mail["Message-ID"] = f"<{message.id}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.whole + "\n")
        return mail


def _address(option: str, text: str) -> str:
    local, at, domain = text.rpartition("@")
    plain = text.isascii() and text.isprintable() and not set(text) & set(' ,;<>"()[]\\:')
    if not (local and at and domain and plain):
        raise InvalidArgumentError(
            f"{option} {text!r} must be a plain address such as ops@example.org"
        )
    return text
