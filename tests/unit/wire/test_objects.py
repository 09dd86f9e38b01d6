"""Keys, tickets and references of the object cache: pure, so by properties."""

from __future__ import annotations

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import InvalidArgumentError
from flamepy.wire import objects
from flamepy.wire.objects import ObjectKey, ObjectRef, Ticket

PART = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\\:*"), min_size=1
)
part = PART.filter(lambda text: ".." not in text)
VERSION = st.integers(0, 2**63 - 1)


class TestKeys:
    @given(part, part, part)
    def test_three_parts_are_a_key_and_two_a_prefix(self, app: str, ssn: str, name: str) -> None:
        assert objects.parse_key(f"{app}/{ssn}/{name}") == (app, ssn, name)
        assert objects.parse_path(f"{app}/{ssn}/{name}") == (app, ssn, name)
        assert objects.parse_path(f"{app}/{ssn}") == (app, ssn, None)
        key = ObjectKey.from_key(f"{app}/{ssn}/{name}")
        assert (key.to_key(), key.to_prefix()) == (f"{app}/{ssn}/{name}", f"{app}/{ssn}")

    @given(st.text())
    def test_any_text_is_taken_or_refused_as_a_whole(self, text: str) -> None:
        for parse in (objects.parse_key, objects.parse_path, objects.check_prefix):
            try:
                parts = parse(text)
            except InvalidArgumentError:
                continue
            named = [one for one in parts if one is not None]
            assert "/".join(named) == text
            assert all(one and ".." not in one and "\\" not in one for one in named)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "Invalid key component: ''"),
            ("a", "Invalid path 'a': expected '<app>/<ssn>' or '<app>/<ssn>/<uuid>'"),
            ("a/b/c/d", "Invalid path 'a/b/c/d': expected '<app>/<ssn>' or '<app>/<ssn>/<uuid>'"),
            ("a/../c", "Invalid key component: '..'"),
            ("a\\b/c", "Invalid key component: 'a\\b'"),
            ("*/b", "Wildcard '*' only allowed for session_id"),
            ("a/b/*", "Wildcard '*' only allowed for session_id"),
            ("a/*/c", "Wildcard session '*' cannot have object_id"),
        ],
    )
    def test_refusals_are_the_engines(self, text: str, said: str) -> None:
        with pytest.raises(InvalidArgumentError) as raised:
            objects.parse_path(text)
        assert raised.value.message == said
        assert isinstance(raised.value, ValueError)

    @pytest.mark.parametrize("text", ["a/b:1", "a/b\n", "a", "a/*", "a/b/c", 5, None])
    def test_a_prefix_that_could_not_be_used_is_refused_before_it_is_sent(
        self, text: object
    ) -> None:
        with pytest.raises(InvalidArgumentError):
            objects.check_prefix(text)

    @pytest.mark.parametrize("parts", [("a/b", "c"), ("", "b"), ("a", ".."), (1, "b"), ("a", "")])
    def test_a_key_is_checked_when_it_is_made(self, parts: tuple[str, str]) -> None:
        with pytest.raises(InvalidArgumentError, match="Invalid key component"):
            ObjectKey(*parts)

    def test_what_a_key_names(self) -> None:
        assert ObjectKey.for_shared("a").to_prefix() == "a/shared"
        assert ObjectKey.for_all_sessions("a").is_all_sessions()
        assert ObjectKey.from_path("a/*").matches_key("a/s/o")
        assert ObjectKey.from_prefix("a/s").matches_key("a/s/o")
        assert not ObjectKey.from_prefix("a/s").matches_key("a/s2/o")
        assert not ObjectKey.from_path("a/*").matches_key("ab/s/o")
        assert ObjectKey("a", "s", "o").matches_key("a/s/o")
        assert not ObjectKey("a", "s", "o").matches_key("a/s/o2")
        made = ObjectKey("a", "s").with_generated_id()
        assert made.to_key() != ObjectKey("a", "s").with_generated_id().to_key()
        assert ObjectKey("a", "s").to_key() is None


class TestTickets:
    @given(part, part, part, st.integers(0, 2**64 - 1))
    def test_a_ticket_comes_back(self, app: str, ssn: str, name: str, version: int) -> None:
        ticket = Ticket(f"{app}/{ssn}/{name}", version)
        assert objects.parse_ticket(ticket.encode()) == ticket
        assert objects.parse_ticket(ticket.key.encode()) == Ticket(ticket.key, 0)

    @given(st.binary())
    def test_any_bytes_are_taken_or_refused(self, data: bytes) -> None:
        try:
            ticket = objects.parse_ticket(data)
        except InvalidArgumentError:
            return
        assert len(ticket.key.split("/")) == 3

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"\xff", "Invalid ticket: invalid utf-8 sequence of 1 bytes from index 0"),
            (b"a/b/\xe2\x82", "Invalid ticket: incomplete utf-8 byte sequence from index 4"),
            (b"a/b/c:", "Invalid version: cannot parse integer from empty string"),
            (b"a/b/c:-1", "Invalid version: invalid digit found in string"),
            (b"a/b/c:1:2", "Invalid version: invalid digit found in string"),
            (b"a/b/c:%d" % 2**64, "Invalid version: number too large to fit in target type"),
            (b"a/b", "Invalid key 'a/b': expected '<app>/<ssn>/<uuid>'"),
        ],
    )
    def test_refusals_are_the_engines(self, data: bytes, said: str) -> None:
        with pytest.raises(InvalidArgumentError) as raised:
            objects.parse_ticket(data)
        assert raised.value.message == said


class TestReferences:
    @given(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")), VERSION)
    def test_a_reference_comes_back(self, text: str, version: int) -> None:
        ref = ObjectRef(f"grpc://{text}", text, version)
        assert ObjectRef.decode(ref.encode()) == ref
        assert ObjectRef.decode(objects.encode_reply(ref)) == ref

    def test_a_servers_version_has_64_bits_and_a_clients_is_what_the_sdk_writes(self) -> None:
        ref = ObjectRef("e", "k", 3)
        assert b"\x12version\0\x03" in objects.encode_reply(ref)
        assert ref.encode() == bson.encode({"endpoint": "e", "key": "k", "version": 3})

    def test_other_fields_are_ignored_and_the_version_may_be_absent(self) -> None:
        data = bson.encode({"key": "k", "endpoint": "e", "more": [1], "version": bson.Int64(5)})
        assert ObjectRef.decode(data) == ObjectRef("e", "k", 5)
        assert ObjectRef.decode(bson.encode({"key": "k", "endpoint": "e"})).version == 0

    @given(st.binary(max_size=60))
    def test_anything_else_is_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidArgumentError, match="no encoded ObjectRef"):
            ObjectRef.decode(data)

    @pytest.mark.parametrize(
        "fields",
        [
            {"endpoint": 1, "key": "k"},
            {"endpoint": "e"},
            {"endpoint": "e", "key": "k", "version": -1},
            {"endpoint": "e", "key": "k", "version": "1"},
            {"endpoint": "e", "key": "k", "version": True},
        ],
    )
    def test_fields_of_another_kind_are_refused(self, fields: dict[str, object]) -> None:
        with pytest.raises(InvalidArgumentError, match="no encoded ObjectRef"):
            ObjectRef.decode(bson.encode(fields))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("grpc://h:1", "grpc://h:1"),
        ("http://h:1", "grpc://h:1"),
        ("grpcs://h:1", "grpc+tls://h:1"),
        ("https://h:1", "grpc+tls://h:1"),
        ("grpc+tls://h", "grpc+tls://h:9090"),
        ("grpc://[::1]:1", "grpc://[::1]:1"),
    ],
)  # fmt: skip
def test_an_endpoint_as_arrow_flight_takes_it(given: str, taken: str) -> None:
    assert objects.location(given) == taken


@pytest.mark.parametrize("given", ["", "h:1", "ftp://h:1", "grpc://", "grpc://h:x", None])
def test_what_is_no_endpoint_is_refused(given: str) -> None:
    with pytest.raises(InvalidArgumentError, match="write it like"):
        objects.location(given)
