"""What users print of a state is readable, and the same on every Python."""

from __future__ import annotations

import enum
import importlib
import logging
import pkgutil
from collections.abc import Iterator

import pytest

import flamepy
from flamepy.enums import NumberEnum, TextEnum
from flamepy.errors import FlameErrorCode
from flamepy.informers import EventKind, ReactorState
from flamepy.types import ConnectionState, NodeState, SessionState, Shim, TaskState

# Compared inside the library alone: nothing that a user is given has a member of them.
INNER = {
    *("Failure", "FollowUp", "GatherStep", "Kind", "Place", "Reads", "SentBy", "SyncStep"),
    "Verdict",
}
STATES = [*TaskState, *SessionState, *NodeState, *Shim, *FlameErrorCode, TaskState(9), Shim(-1)]


def format_percent(text: str, member: object) -> str:
    return text % (member,)


def shown(member: object) -> set[str]:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s", (member,), None)
    return {
        str(member),
        f"{member}",
        f"{member!s}",
        format_percent("%s", member),
        format(member),
        record.getMessage(),
    }


@pytest.mark.parametrize("member", STATES, ids=repr)
def test_a_member_prints_as_its_name_and_counts_as_its_number(member: NumberEnum) -> None:
    assert shown(member) == {member.name}
    assert f"{member:>12}" == member.name.rjust(12)
    assert f"{member:12}|" == member.name.ljust(12) + "|"
    assert f"{member:d} {member:04d} {member:x} {member:,}" == (
        f"{int(member):d} {int(member):04d} {int(member):x} {int(member):,}"
    )
    assert format_percent("%d", member) == str(int(member))
    assert member == int(member)


def test_a_number_without_a_name_says_which_it_is() -> None:
    assert (str(TaskState(9)), f"{Shim(-1)}", f"{TaskState(9):d}") == (
        "UNKNOWN_9",
        "UNKNOWN__1",
        "9",
    )


@pytest.mark.parametrize("member", [*ConnectionState, *ReactorState, *EventKind], ids=repr)
def test_a_member_of_texts_prints_as_its_text(member: TextEnum) -> None:
    assert shown(member) == {member.value}
    assert f"{member:>14}" == member.value.rjust(14)


def enums() -> Iterator[type[enum.Enum]]:
    for found in pkgutil.walk_packages(flamepy.__path__, "flamepy."):
        if found.name.split(".")[-1] in ("__main__", "pytest_plugin"):
            continue
        for value in vars(importlib.import_module(found.name)).values():
            named = isinstance(value, type) and value.__module__.startswith("flamepy")
            if named and issubclass(value, enum.Enum):
                yield value


def test_every_enum_that_users_meet_has_one_of_the_two_bases() -> None:
    plain = {one.__name__ for one in enums() if not issubclass(one, (NumberEnum, TextEnum))}
    assert plain == INNER
