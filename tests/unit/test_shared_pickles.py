"""Both older forms are read, what is absent is the default, and nothing else is taken."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import typing

import pytest
from support.made import START, made_task

from flamepy import errors, types
from flamepy.config import values
from flamepy.errors import FlameError, FlameErrorCode
from flamepy.types import Event, SessionAttributes, Task, TaskState
from flamepy.wire import objects
from flamepy.wire.objects import ObjectKey, ObjectRef

SHARED = [
    value
    for module in (types, values, objects, errors)
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__.startswith("flamepy.core.")
]


class Number(int):
    """A number of a class of its own, as BSON has them."""


class Longer(ObjectRef):
    """A user's subclass with more."""

    note = ""


def test_each_class_is_found_where_its_pickles_say_and_its_annotations_resolve() -> None:
    assert len(SHARED) > 20
    for kind in SHARED:
        assert pickle.loads(pickle.dumps(kind)) is kind
        if dataclasses.is_dataclass(kind):
            assert typing.get_type_hints(kind)


def test_a_dictionary_a_list_and_slots_are_read() -> None:
    task = made_task(state=TaskState.FAILED, text="boom")
    state = {one.name: getattr(task, one.name) for one in dataclasses.fields(task)}
    for form in (state, list(state.values()), (None, state), ({}, state)):
        made = Task.__new__(Task)
        made.__setstate__(form)  # type: ignore[attr-defined]  # given by a decorator
        assert made == task


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_ours_come_back_equal_and_hashable(protocol: int) -> None:
    for value in (made_task(text="x"), ObjectKey("a", "b"), Event(1, "x", START)):
        back = pickle.loads(pickle.dumps(value, protocol))
        assert back == value
        assert hash(back) == hash(value)
    assert copy.deepcopy(made_task(text="x")) == copy.copy(made_task(text="x"))


def test_what_is_absent_or_none_there_is_the_default_here() -> None:
    task = Task.__new__(Task)
    task.__setstate__({"id": "1", "state": 4, "events": None})  # type: ignore[attr-defined]  # given by a decorator
    assert (task.id, task.state, task.events) == ("1", TaskState.CANCELLED, ())
    assert type(task.state) is TaskState
    assert task.payloads_loaded


def test_a_state_of_another_form_is_refused() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"Task: .*is a int, expected a dictionary"):
        Task.__new__(Task).__setstate__(3)  # type: ignore[attr-defined]  # given by a decorator


def test_numbers_are_plain_numbers() -> None:
    """BSON's are pickled with their class, which takes pymongo to load."""
    back = pickle.loads(pickle.dumps(ObjectRef("e", "k", Number(3))))
    assert type(back.version) is int
    assert b"Number" not in pickle.dumps(ObjectRef("e", "k", Number(3)))
    assert type(pickle.loads(pickle.dumps(SessionAttributes("a"))).min_instances) is int


def test_a_subclass_keeps_what_it_adds() -> None:
    longer = Longer("e", "k")
    longer.note = "n"
    back = pickle.loads(pickle.dumps(longer))
    assert (type(back), back.note, back.key) == (Longer, "n", "k")


def test_an_error_of_the_official_sdk_is_read() -> None:
    """Its pickles give the shown text alone, then the attributes."""
    error = FlameError("no way (code: 5)")  # type: ignore[arg-type]  # what unpickling does
    error.__setstate__({"code": 99, "message": "no way"})
    assert (error.code, error.message) == (FlameErrorCode.INTERNAL, "no way")
    with pytest.raises(TypeError, match="needs a code and a message, got 'no way' alone"):
        FlameError("no way")  # type: ignore[arg-type]  # the mistake
