"""The vocabulary: numbers kept, official names and order, frozen answers."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made import made_session, made_task

from flamepy.types import (
    Event,
    ExecutorState,
    SessionAttributes,
    SessionState,
    Task,
    TaskCounts,
    TaskState,
)


@given(st.integers(-(2**31), 2**31 - 1))
def test_an_unknown_number_is_kept(number: int) -> None:
    """Contract G4: a newer engine never breaks a listing."""
    for kind in (TaskState, SessionState, ExecutorState):
        state = kind(number)
        assert int(state) == number
        assert state.is_known == (number in [int(one) for one in kind])
        assert kind(number) == state


def test_an_unknown_state_is_not_terminal_and_survives_pickling() -> None:
    state = TaskState(99)
    assert state.name == "UNKNOWN_99"
    assert not state.is_terminal
    assert pickle.loads(pickle.dumps(state)) == state


def test_the_numbers_are_the_wires() -> None:
    assert [(one.name, one.value) for one in TaskState] == [
        ("PENDING", 0),
        ("RUNNING", 1),
        ("SUCCEED", 2),
        ("FAILED", 3),
        ("CANCELLED", 4),
    ]


def test_what_the_engine_hands_out_is_frozen() -> None:
    for one in (made_task(), made_session(), TaskCounts(), Event(1)):
        name = dataclasses.fields(one)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, name, 1)


def test_the_text_of_a_failure_is_its_last_event() -> None:
    assert made_task(state=TaskState.FAILED, text="boom").error == "boom"
    assert made_task(state=TaskState.FAILED, text="").error == ""
    assert made_task(state=TaskState.FAILED).error is None
    assert made_task(state=TaskState.SUCCEED, text="x").error is None


def test_payloads_do_not_fill_a_repr() -> None:
    task = dataclasses.replace(made_task(), input=b"secret" * 1000)
    assert "secret" not in repr(task)
    assert len(repr(task)) < 500


def test_positional_order_is_the_official_sdks() -> None:
    names = [one.name for one in dataclasses.fields(SessionAttributes)]
    assert names[:7] == [
        "application",
        "id",
        "common_data",
        "min_instances",
        "max_instances",
        "batch_size",
        "resreq",
    ]
    assert [one.name for one in dataclasses.fields(Task)][:7] == [
        "id",
        "session_id",
        "state",
        "creation_time",
        "input",
        "output",
        "completion_time",
    ]


def test_counts_add_up() -> None:
    counts = TaskCounts(1, 2, 3, 4, 5)
    assert (counts.total, counts.terminal) == (15, 12)
