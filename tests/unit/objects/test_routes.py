"""Where calls go: an address that answers, else the configured one; tried again, told once."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.objects.routes import AGAIN, Routes

HERE = "grpc://127.0.0.1:1"  # the configured one is not tried


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen()
        yield made


def test_an_address_that_answers_is_used_and_not_tried_again(listening: socket.socket) -> None:
    routes = Routes(HERE)
    url = f"grpc://127.0.0.1:{listening.getsockname()[1]}"
    assert routes.choose(url.replace("grpc", "http")) == url
    listening.close()
    assert routes.choose(url) == url


def test_one_that_does_not_is_replaced_told_once_and_tried_again_later(
    listening: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    routes = Routes(HERE, now=lambda: now[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        for _ in range(3):
            assert routes.choose(url) == HERE
            now[0] += AGAIN + 1
        taken.listen()
        now[0] -= AGAIN
        assert routes.choose(url) == HERE, "it is not tried at each call"
        now[0] += AGAIN
        assert routes.choose(url) == url
    assert len(caplog.records) == 1
    assert f"{url} cannot be reached" in caplog.text


def test_no_endpoint_is_the_configured_one_and_what_is_none_is_refused() -> None:
    routes = Routes("http://127.0.0.1:1")
    assert routes.choose("") == HERE
    with pytest.raises(InvalidArgumentError, match="write it like"):
        routes.choose("somewhere")
