"""Texts of objects whose own text raises."""

from __future__ import annotations

import pytest

from flamepy.texts import described, repr_of, text_of


class Odd(Exception):
    def __str__(self) -> str:
        raise Odd

    __repr__ = __str__


class Leaves(Exception):
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


class NoText(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # that is what is wrong with it


@pytest.mark.parametrize("make", [text_of, repr_of, described])
@pytest.mark.parametrize("value", [Odd(), NoText(), Leaves()])
def test_each_names_the_class_where_the_text_raises(make, value: Exception) -> None:
    assert type(value).__name__ in make(value)


def test_others_are_as_they_write_themselves() -> None:
    assert text_of(ValueError("x")) == "x"
    assert repr_of("x") == "'x'"
    assert described(ValueError("x")) == "ValueError: x"


def test_the_repr_of_a_files_error_has_its_name() -> None:
    error = FileNotFoundError(2, "No such file or directory", "/no/such/file")
    assert repr_of(error) == "FileNotFoundError(2, 'No such file or directory', '/no/such/file')"
    assert repr_of(OSError("broken")) == "OSError('broken')"
