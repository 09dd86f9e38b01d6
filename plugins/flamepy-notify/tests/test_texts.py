"""What is shown of an error, and which errors count as one."""

from __future__ import annotations

import pytest
from flamepy_notify.texts import clean, cut, pattern, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("disk full", "disk full"),
        ("\x1b[31mred\x1b[0m\tand\x07 bells", "red and bells"),
        ("abc\u202egnp.exe", "abc gnp.exe"),
        ("half \ud83d character", "half character"),
        ("  many   spaces\r\n", "many spaces"),
    ],
)
def test_a_text_is_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_the_first_line_that_says_something_is_shown_and_cut() -> None:
    assert shown("\n \n disk full\nTraceback ...") == "disk full"
    assert shown(None) == shown("") == shown("\n") == "no error text"
    assert shown("x" * 500, limit=10) == "x" * 9 + "…"
    assert cut("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timeout after 3.5 s", "timeout after 12 s"),
        ("no object 0x7f01", "no object 0x7fffffff"),
        (
            "session 123e4567-e89b-12d3-a456-426614174000 is gone",
            "session 00000000-0000-0000-0000-000000000000 is gone",
        ),
        ("commit deadbeef1 is bad", "commit 00c0ffee is bad"),
        ("node-17: disk full", "node-3: disk full"),
    ],
)
def test_texts_that_differ_in_numbers_and_ids_have_one_pattern(one: str, other: str) -> None:
    assert pattern(one) == pattern(other)
    assert "…" in pattern(one)


def test_other_texts_have_patterns_of_their_own() -> None:
    assert pattern("disk full") == "disk full"
    assert len({pattern(one) for one in ("disk full", "disk failed", "defaced facade")}) == 3
