"""What is shown of payloads: their beginning, never unpickled, whatever they are."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.dashboard.details import PREVIEW, shown_payload


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (None, "nothing", ""),
        (b"", "text", ""),
        (b"plain", "text", "plain"),
        (b'{"a":[1]}', "json", '{\n  "a": [\n    1\n  ]\n}'),
        (b"{not json", "text", "{not json"),
        (b"\xff\x00", "bytes", "ff 00"),
        (b"a\x00b", "bytes", "61 00 62"),
        ("é".encode(), "text", "é"),
    ],
)
def test_a_payload_is_shown_as_what_it_is(data: bytes | None, kind: str, text: str) -> None:
    shown = shown_payload(data)
    assert (shown["kind"], shown["text"], shown["cut"]) == (kind, text, False)
    assert shown["size"] == len(data or b"")


def test_a_large_one_is_cut_between_characters() -> None:
    shown = shown_payload("é".encode() * PREVIEW)
    assert (shown["kind"], shown["cut"], shown["size"]) == ("text", True, 2 * PREVIEW)
    assert set(shown["text"]) == {"é"}


def test_deep_json_is_text() -> None:
    assert shown_payload(b"[" * 10_000)["kind"] == "text"


class Trap:
    """Raises where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("it was unpickled",))


def test_nothing_is_unpickled() -> None:
    assert shown_payload(pickle.dumps(Trap()))["kind"] == "bytes"


@given(st.binary(max_size=200))
def test_any_bytes_can_be_shown(data: bytes) -> None:
    shown = shown_payload(data)
    assert shown["kind"] in ("text", "json", "bytes")
    assert len(shown["text"]) <= 2 * PREVIEW
