"""Failures with the same text but for numbers and ids are one group."""

from __future__ import annotations

import pytest

from flamepy.view.failures import READ_LENGTH, TEXT_LENGTH, Failures, common_text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timeout after 3.5 s", "timeout after 17 s"),
        ("no file /tmp/a1b2c3d4e5/x", "no file /tmp/0123456789/x"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-e89b-12d3-a456-426614174fff"),
        ("at 0xdeadbeef", "at 0x7f00"),
    ],
)
def test_numbers_and_ids_do_not_matter(one: str, other: str) -> None:
    assert common_text(one) == common_text(other)


def test_words_matter() -> None:
    assert common_text("feedface is a word") != common_text("decade is a word")
    assert common_text("disk full") != common_text("disk gone")


def test_a_megabyte_is_read_in_part_and_shown_in_less() -> None:
    text = "é" * 1_000_000
    assert len(common_text(text)) == TEXT_LENGTH
    assert common_text("a " * READ_LENGTH + "x") == common_text("a " * READ_LENGTH + "y")


def test_the_frequent_come_first_or_the_latest() -> None:
    failures = Failures(10)
    for at, text in enumerate(["a", "b", "a", "", "a", "b"]):
        failures.add(float(at), text, f"app{at}", ("s", str(at)))
    assert [(one.text, one.count) for one in failures.page().rows] == [
        ("a", 3),
        ("b", 2),
        ("(no text)", 1),
    ]
    assert [one.text for one in failures.page(recent=True).rows] == ["b", "a", "(no text)"]
    assert [one.text for one in failures.page(application="app3").rows] == ["(no text)"]
    assert [one.text for one in failures.page(offset=1, limit=1).rows] == ["b"]
    first = failures.page().rows[0]
    assert (first.first, first.last, first.tasks[0]) == (0.0, 4.0, ("s", "4"))
    assert first.applications[0] == "app4"
