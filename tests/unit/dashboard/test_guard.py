"""Pages of other sites, rebound names and clients without the token are refused."""

from __future__ import annotations

import pytest

from flamepy.dashboard import Guard
from flamepy.dashboard.guard import SECURITY_HEADERS, cookie_name
from flamepy.errors import InvalidArgumentError

TOKEN = "a-token-of-more-than-16"
OPEN = Guard()
LOCKED = Guard(token=TOKEN, hosts=frozenset({"flame.example"}), key=b"k" * 32)


def status(guard: Guard, method: str = "GET", path: str = "/api/page", **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    refused = guard.refusal(method, path, {"host": "127.0.0.1:8265", **given})
    return 200 if refused is None else refused.status


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8265",
        "localhost:9000",
        "[2001:db8::7]",
        "localhost",
        "[::1]:8265",
        "10.0.0.7:1",
        "LOCALHOST:1",
    ],
)
def test_addresses_and_localhost_are_ours(host: str) -> None:
    assert status(OPEN, host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8265", "127.0.0.1.evil.example"),
        *("localhost.evil.example", "a@127.0.0.1", "evil.example@127.0.0.1:8265", "[::1"),
        *("127.0.0.1:x/", "0x7f.1", "127.0.0.1:80\n", "[fe80::1%eth0]"),
    ],
)
def test_a_rebound_name_is_not(host: str) -> None:
    assert status(OPEN, host=host) == 403


def test_a_name_that_was_given_is_ours() -> None:
    guard = Guard(hosts=frozenset({"flame.example"}))
    assert status(guard, host="flame.example:80") == 200
    assert status(guard, host="x.flame.example") == 403


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://127.0.0.1:8265", 200),
        ("http://127.0.0.1:9999", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_another_origin_is_refused(origin: str, expected: int) -> None:
    assert status(OPEN, origin=origin) == expected
    assert status(OPEN, "POST", "/api/actions/session/close", x_flamepy="1", origin=origin) == (
        expected
    )


def test_what_another_site_embeds_is_refused_and_a_link_that_is_clicked_is_not() -> None:
    assert status(OPEN, sec_fetch_site="cross-site", sec_fetch_mode="no-cors") == 403
    assert status(OPEN, path="/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") == 200
    assert status(OPEN, sec_fetch_site="same-origin") == 200


def test_a_change_needs_what_another_site_cannot_send() -> None:
    assert status(OPEN, "POST") == 403
    assert status(OPEN, "POST", x_flamepy="1") == 200
    assert status(OPEN, "DELETE") == 403


@pytest.mark.parametrize("path", ["/", "/api/page", "/api/stream", "/sessions", "/api/cache"])
def test_everything_but_files_and_probes_needs_the_token(path: str) -> None:
    assert status(LOCKED, path=path) == 401
    assert status(LOCKED, path=path, authorization=f"Bearer {TOKEN}") == 200
    assert status(LOCKED, path=path, authorization=f"Bearer {TOKEN}x") == 401
    assert status(LOCKED, path=path, authorization=f"Basic {TOKEN}") == 401
    cookie = f"a=b; flamepy_8265={LOCKED.cookie}"
    assert status(LOCKED, path=path, cookie=cookie) == 200
    assert status(LOCKED, path=path, cookie=f"flamepy_8266={LOCKED.cookie}") == 401
    assert status(LOCKED, path=path, cookie="flamepy_8265=; ;;=") == 401


@pytest.mark.parametrize("path", ["/static/app.js", "/healthz", "/readyz"])
def test_files_and_probes_do_not(path: str) -> None:
    assert status(LOCKED, path=path) == 200
    probe = path in ("/healthz", "/readyz")
    assert status(LOCKED, path=path, host="any.example") == (200 if probe else 403)


def test_the_cookie_is_not_the_token_and_another_process_makes_another() -> None:
    other = Guard(token=TOKEN, key=b"j" * 32)
    assert TOKEN not in LOCKED.cookie
    assert other.cookie != LOCKED.cookie
    assert cookie_name({"host": "[::1]:80"}) == "flamepy_80"
    assert cookie_name({"host": "flame.example"}) == "flamepy"
    assert TOKEN not in repr(LOCKED)


def test_a_short_token_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="the token has 5 characters; it needs 16"):
        Guard(token="short")


def test_a_page_may_load_nothing_from_elsewhere_and_run_nothing_inline() -> None:
    policy = SECURITY_HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy
