"""Mails: encrypted, with an id that stays, and what a server's answers mean."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from flamepy_notify.channels.channel import Message, Misconfigured, Refused, Unavailable
from flamepy_notify.channels.mail import Mail, parse_url
from receivers import MailReceiver, mail

from flamepy.errors import InvalidArgumentError
from flamepy.informers import Secret

SECRET = "s3cr3t-canary"
MESSAGE = Message("3 tasks failed: größer", "disk full\n.a line with a dot", "abc")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def plain() -> Iterator[MailReceiver]:
    with mail() as made:
        yield made


def channel(url: str, ca_file: str | None = None) -> Mail:
    recipients = ["ops@example.org", "b@example.org"]
    return Mail(
        Secret(url), sender="flame@example.org", recipients=recipients, timeout=5, ca_file=ca_file
    )


@pytest.mark.parametrize(("scheme", "implicit"), [("smtp", False), ("smtps", True)])
def test_a_mail_is_encrypted_and_logged_in(
    tls: ssl.SSLContext, ca_file: str, scheme: str, implicit: bool
) -> None:
    with mail(tls, implicit=implicit) as server:
        channel(f"{scheme}://me:{SECRET}@localhost:{server.port}", ca_file).post(MESSAGE)
    assert server.encrypted == [True]
    assert len(server.logins) == 1
    assert len(server.recipients) == 2
    parsed = email.message_from_bytes(server.mails[0], policy=email.policy.default)
    assert parsed["Subject"] == MESSAGE.title
    assert parsed["Message-ID"] == "<abc@example.org>"
    body = parsed.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == (
        "3 tasks failed: größer\ndisk full\n..a line with a dot\n"
    ), "SMTP doubles a dot at the beginning of a line; our server does not undo that"


def test_a_server_without_encryption_gets_no_password(plain: MailReceiver) -> None:
    with pytest.raises(Misconfigured, match="STARTTLS"):
        channel(f"smtp://me:{SECRET}@127.0.0.1:{plain.port}").post(MESSAGE)
    assert plain.logins == plain.mails == []


def test_a_certificate_that_is_not_trusted_is_said(tls: ssl.SSLContext) -> None:
    with mail(tls) as server, pytest.raises(Unavailable, match="certificate is not trusted"):
        channel(f"smtp://localhost:{server.port}").post(MESSAGE)
    assert server.mails == []


def test_a_title_puts_no_header_into_a_mail(plain: MailReceiver) -> None:
    nasty = Message("title\r\nBcc: all@example.org\r\n\r\nbody", "", "id")
    channel(f"smtp+insecure://127.0.0.1:{plain.port}").post(nasty)
    parsed = email.message_from_bytes(plain.mails[0], policy=email.policy.default)
    assert parsed["Bcc"] is None
    assert parsed["Subject"] == "title Bcc: all@example.org body"


@pytest.mark.parametrize(
    ("verb", "code", "error"),
    [
        ("RCPT", "550 unknown", Refused),
        ("RCPT", "450 busy", Unavailable),
        ("MAIL", "451 later", Unavailable),
        ("DATA", "554 spam", Refused),
    ],
)
def test_what_a_server_refuses(
    plain: MailReceiver, verb: str, code: str, error: type[Exception]
) -> None:
    plain.codes[verb] = code
    with pytest.raises(error, match=code[:3]):
        channel(f"smtp+insecure://127.0.0.1:{plain.port}").post(MESSAGE)


def test_a_wrong_password_is_said_and_not_shown(tls: ssl.SSLContext, ca_file: str) -> None:
    with mail(tls) as server:
        server.codes["AUTH"] = f"535 no, not {SECRET}"
        with pytest.raises(Misconfigured, match="535") as caught:
            channel(f"smtp://me:{SECRET}@localhost:{server.port}", ca_file).post(MESSAGE)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{SECRET}@example.org",
        f"smtp://{SECRET}@:25",
        SECRET,
        f"smtp+insecure://me:{SECRET}@example.org",
        f"smtp://me:{SECRET}@example.org:x",
    ],
)
def test_a_url_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_url(url)
    assert SECRET not in str(caught.value)


def test_a_server_shows_no_password() -> None:
    server = parse_url(f"smtp://me:p%40{SECRET}@example.org")
    assert (server.port, server.password) == (587, f"p@{SECRET}")
    assert SECRET not in repr(server)


@pytest.mark.parametrize("address", ["ops", "", "a@b, c@d", "a@b\r\nBcc: x@y", "A <a@b>"])
def test_an_address_is_plain(address: str) -> None:
    with pytest.raises(InvalidArgumentError, match="plain address"):
        Mail(Secret("smtp://h"), sender="a@b", recipients=[address], timeout=1, ca_file=None)
