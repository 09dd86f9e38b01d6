"""What is refused of metadata, tokens and interceptors: by key and rule, never by value."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from flamepy.call_options import (
    CallOptions,
    OutgoingCall,
    check_metadata,
    check_token,
    install_interceptor,
)
from flamepy.errors import InvalidArgumentError

CANARY = "canary-77"


def test_pairs_and_mappings_are_taken() -> None:
    wanted = (("x-team", "blue"), ("x-trace-bin", b"\x00\xff"))
    assert check_metadata(wanted) == wanted
    assert check_metadata({"x-team": "blue", "x-trace-bin": bytearray(b"\x00\xff")}) == wanted
    assert check_metadata(None) == ()
    assert check_metadata([("a", ""), ("a", "twice")]) == (("a", ""), ("a", "twice"))


@pytest.mark.parametrize(
    ("metadata", "rule"),
    [
        ([("X-Team", CANARY)], "write it as 'x-team'"),
        ([("grpc-timeout", CANARY)], "gRPC's own"),
        ([("content-type", CANARY)], "gRPC's own"),
        ([(":authority", CANARY)], "characters a-z"),
        ([("", CANARY)], "characters a-z"),
        ([("x team", CANARY)], "characters a-z"),
        ([(5, CANARY)], "must be text"),
        ([("x", f"{CANARY}\n")], "at position 9"),
        ([("x", f"ä{CANARY}")], "at position 0"),
        ([("x", f" {CANARY}")], "space"),
        ([("x", CANARY.encode())], "end with -bin take bytes"),
        ([("x-bin", CANARY)], "must be bytes"),
        ([("x", 7)], "must be text, got int"),
        ([CANARY], "pairs"),
        (CANARY, "pairs"),
        (7, "pairs"),
    ],
)
def test_what_gRPC_cannot_send_is_refused(metadata: Any, rule: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        CallOptions.checked(metadata)
    assert rule in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("token", ["", f"{CANARY}\n", f"{CANARY} x", f"{CANARY}ä", CANARY.encode()])
def test_a_token_that_a_header_cannot_carry_is_refused(token: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_token(token)
    assert CANARY not in str(caught.value)


def test_two_of_one_header_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="same header"):
        CallOptions.checked({"authorization": "Basic eA=="}, token="x")


@pytest.mark.parametrize("interceptors", ["x", [None], 7, [lambda c, p: p(c), "x"]])
def test_an_interceptor_is_a_function(interceptors: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="interceptors"):
        CallOptions.checked(None, None, interceptors)


def test_nothing_secret_is_shown_or_pickled() -> None:
    options = CallOptions.checked({"x-key": CANARY}, token=CANARY, interceptors=[print])
    assert repr(options) == "<CallOptions metadata: ['x-key'], token: set, 1 interceptors>"
    assert CANARY.encode() not in pickle.dumps(options)
    assert not pickle.loads(pickle.dumps(options))
    assert "function" in repr(CallOptions.checked(lambda: {}, lambda: CANARY))


def test_what_a_connection_is_given_goes_before_the_configuration() -> None:
    below = CallOptions.checked({"a": "1"}, token="below", interceptors=[print])
    assert CallOptions().over(below) == below
    assert CallOptions.checked(token="above").over(below).token == "above"
    assert CallOptions.checked({"b": "2"}).over(below).metadata == (("b", "2"),)
    own = CallOptions.checked({"authorization": "Basic eA=="}).over(below)
    assert (own.token, own.interceptors) == (None, (print,))


def test_a_limit_becomes_shorter_and_never_longer() -> None:
    call = OutgoingCall("GetTask", 1, 5.0)
    assert call.with_timeout(2.0).timeout == 2.0
    assert call.with_timeout(9.0).timeout == 5.0
    assert OutgoingCall("WatchTask", 1).with_timeout(9.0).timeout == 9.0
    with pytest.raises(InvalidArgumentError):
        call.with_timeout(0.0)


def test_metadata_is_added_and_checked() -> None:
    call = OutgoingCall("GetTask", 1).with_metadata(("a", "1")).with_metadata(("b-bin", b"2"))
    assert call.metadata == (("a", "1"), ("b-bin", b"2"))
    assert "b-bin" not in repr(call)
    with pytest.raises(InvalidArgumentError, match="capital"):
        call.with_metadata(("A", "1"))


def test_an_interceptor_of_the_process_is_outside_the_own_ones_and_there_once() -> None:
    def own(call: Any, proceed: Any) -> Any: ...

    def first(call: Any, proceed: Any) -> Any: ...

    given = CallOptions.checked(interceptors=[own])
    undo = install_interceptor(first)
    again = install_interceptor(first)
    try:
        installed = given.with_installed()
        assert installed.interceptors == (first, own)
        assert installed.with_installed() is installed, "a link of the same settings is made of it"
    finally:
        undo()
        again()
        again()
    assert given.with_installed() is given
    with pytest.raises(InvalidArgumentError, match="function"):
        install_interceptor("x")  # type: ignore[arg-type]  # what is refused
