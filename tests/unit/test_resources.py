"""Resources as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.errors import FlameErrorCode, InvalidArgumentError
from flamepy.types import ResourceRequirement


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu=4,mem=16g,gpu=1", ResourceRequirement(4, 16 << 30, 1)),
        ("memory=2G", ResourceRequirement(memory=2 << 30)),
        (" cpu = 1 , mem = 512 M ", ResourceRequirement(1, 512 << 20)),
        ("mem=1t", ResourceRequirement(memory=1 << 40)),
        ("mem=1KiB", ResourceRequirement(memory=1024)),
        ("mem=100", ResourceRequirement(memory=100)),
        ("CPU=2", ResourceRequirement(2)),
    ],
)
def test_the_forms_that_are_understood(text: str, expected: ResourceRequirement) -> None:
    assert ResourceRequirement.from_string(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("cpu=x", "cpu='x'"),
        ("cpu", "'cpu' is not one of"),
        ("disk=3", "'disk=3' is not one of"),
        ("cpu=1,cpu=2", "given twice"),
        ("cpu=-1", "not negative"),
        ("cpu=1.5", "whole number"),
        ("mem=1p", "mem"),
        ("cpu=4g", "cpu='4g'"),
        ("gpu=9999999999", "limit"),
        ("", "not one of"),
    ],
)
def test_a_mistake_names_the_value_and_the_way_out(text: str, hint: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        ResourceRequirement.from_string(text)
    assert hint in caught.value.message
    assert isinstance(caught.value, ValueError)
    assert caught.value.code is FlameErrorCode.INVALID_ARGUMENT


@given(st.integers(0, 2**32), st.integers(0, 2**32), st.integers(0, 2**31 - 1))
def test_numbers_survive_a_round_trip(cpu: int, memory: int, gpu: int) -> None:
    text = f"cpu={cpu},mem={memory},gpu={gpu}"
    assert ResourceRequirement.from_string(text) == ResourceRequirement(cpu, memory, gpu)


@given(st.text(max_size=30))
def test_any_text_is_resources_or_a_clear_error(text: str) -> None:
    try:
        parsed = ResourceRequirement.from_string(text)
    except InvalidArgumentError as error:
        assert "cpu=4,mem=16g,gpu=1" in error.message or repr(text) in error.message  # noqa: PT017
    else:
        assert min(parsed.cpu, parsed.memory, parsed.gpu) >= 0
