"""Options are checked before anything is opened, and no error shows what may be a secret."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from flamepy_webhook import Webhook, options
from flamepy_webhook.addresses import networks_of

from flamepy.errors import InvalidArgumentError
from flamepy.informers import OutboxOptions, Secret

URL = "https://hooks.example.org/flame"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"url": "ftp://x.example/canary"}, "https://"),
        ({"url": "/canary"}, "https://"),
        ({"url": 7}, "must be a text, got int"),
        ({"url": "https://me:canary@x.example"}, "headers: {Authorization"),
        ({"url": "https://x.example:port/canary"}, "malformed"),
        ({"url": "https://[::1/canary"}, "malformed"),
        ({"url": "https://bücher.example/canary"}, "xn--"),
        ({"url": "http://127.0.0.1/canary"}, "allow_private"),
        ({"url": "http://[::ffff:10.0.0.1]/canary"}, "allow_private"),
        ({"url": "http://localhost/canary"}, "allow_private"),
        ({"url": "http://10.9.0.1/", "allow_private": ["10.8.0.0/16"]}, "10.9.0.1"),
        ({"secret": "canary"}, "whsec_"),
        ({"secret": ["whsec_" + "A" * 44, "canary"]}, r"secret\[1\]"),
        ({"secret": []}, "empty list"),
        ({"format": "xml"}, "structured, binary, batch, template"),
        ({"format": "template"}, "needs the option template"),
        ({"template": {}}, "for format: template"),
        ({"headers": {"a b": "canary"}}, "'a b'"),
        ({"headers": {"X": "canary\r\nY: 1"}}, r"headers\[X\] has a line break"),
        ({"headers": {"X": "canary\N{EURO SIGN}"}}, r"headers\[X\]"),
        ({"headers": {"X": 7}}, r"headers\[X\] must be a text"),
        ({"headers": {"Webhook-Id": "canary"}}, "Webhook-Id"),
        ({"headers": {"content-length": "canary"}}, "content-length"),
        ({"headers": {"ce-id": "canary"}}, "ce-id"),
        ({"timeout": 0}, "timeout must be a number of seconds above 0"),
        ({"connect_timeout": True}, "connect_timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"tls": {"verify": "no"}}, "ca_file, cert_file, key_file"),
        ({"tls": {"ca_file": "/missing"}}, "/missing"),
        ({"tls": {"key_file": "/missing"}}, "needs tls.cert_file"),
        ({"proxy": "socks5://me:canary@x.example"}, "proxy must be http://host:port"),
        ({"proxy": "http://x:canary"}, "proxy must be http://host:port"),
        ({"allow_private": ["lan"]}, "'lan'"),
        ({"type_prefix": "a..b"}, "'a..b'"),
        ({"source": "a b"}, "'a b'"),
        ({"dataref": "https://x.example/$what"}, r"\$what"),
    ],
)
def test_what_cannot_work_is_refused_at_once(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem) as raised:
        Webhook(**{"url": URL, **given})
    assert "canary" not in repr(raised.value)
    assert raised.value.__cause__ is None


def test_secrets_are_taken_as_such() -> None:
    made = Webhook(
        url=Secret("https://hooks.example.org/canary"),
        secret=[Secret("whsec_" + "A" * 44), "whsec_" + "B" * 44],
        headers={"Authorization": Secret("Bearer canary")},
        proxy=Secret("http://me:canary@proxy.example:3128"),
    )
    assert repr(made) == "Webhook(host='hooks.example.org', format='structured')"


def test_a_private_address_is_taken_when_it_is_allowed() -> None:
    for allow in (True, "127.0.0.0/8", ["10.0.0.0/8", "127.0.0.1"]):
        assert options.url_of("http://127.0.0.1:1/", networks_of(allow)).port == 1
    assert options.url_of("http://localhost/", networks_of("127.0.0.0/8")).hostname == "localhost"


def test_payloads_are_stored_when_they_are_sent() -> None:
    assert options.outbox_of(None, payloads=True) == {"payloads": True}
    assert options.outbox_of({"senders": 2}, payloads=True) == {"senders": 2, "payloads": True}
    kept = OutboxOptions(batch_size=7)
    assert options.outbox_of(kept, payloads=True) == OutboxOptions(batch_size=7, payloads=True)
    assert options.outbox_of(kept, payloads=False) is kept


def test_a_proxys_password_is_not_in_its_url() -> None:
    made = options.proxy_of("http://me:p%40ss@[fd00::1]")
    assert made is not None
    assert made.auth == (b"me", b"p@ss")
    assert (made.url.host, made.url.port) == (b"fd00::1", 80)
    https = options.proxy_of("https://proxy.example")
    assert https is not None
    assert https.url.port == 443


def test_tls_options_are_read_at_once(tmp_path: Path) -> None:
    authority = trustme.CA()
    pair = authority.issue_cert("client.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pair.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pair.pem")
    context = options.tls_of(
        {"ca_file": str(tmp_path / "ca.pem"), "cert_file": str(tmp_path / "pair.pem")}
    )
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("ca_file", "cert_file"):
        with pytest.raises(InvalidArgumentError, match=rf"tls\.{name}.*bad\.pem"):
            options.tls_of({name: str(tmp_path / "bad.pem")})
