"""Which name a call is made by follows from the engine's answers, and from nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flamepy.rpc.dialect import LISTS, WATCH, Names, other_name
from flamepy.types import Dialect
from flamepy.wire.services import NEW_NAMES, OLD_NAMES

CALLS = st.sampled_from(sorted(NEW_NAMES))


def call(names: Names, name: str, *, newer: bool) -> list[str]:
    """Make a call of an engine as ``Calls.either`` does; return the names that were used."""
    used = [names.first(name)]
    if (used[0] in OLD_NAMES) is not newer:
        used.append(other_name(used[0]))
    names.answered(used[-1])
    return used


@given(st.lists(st.tuples(CALLS, st.booleans(), st.booleans())))
def test_a_call_has_two_tries_at_most_and_one_while_the_engine_stays(
    steps: list[tuple[str, bool, bool]],
) -> None:
    names, engine = Names(), False
    known: dict[bool, bool] = {False: False}  # of lists, of the watch: which names it showed last
    for name, newer, lost in steps:
        if newer is not engine or lost:
            engine = newer
            names.doubt()
            known.pop(True, None)
        is_watch = name == WATCH
        used = call(names, name, newer=engine)
        assert used[-1] == (NEW_NAMES[name] if engine else name)
        if known.get(is_watch, known[False]) is engine:
            assert len(used) == 1
        if not is_watch and known[False] is not engine:
            known.pop(True, None)  # another engine
        known[is_watch] = engine


@given(CALLS)
def test_of_an_engine_that_showed_nothing_the_old_name_is_called(name: str) -> None:
    assert Names().first(name) == name


def test_what_it_speaks_is_unknown_until_a_list_was_answered_and_after_each_loss() -> None:
    names = Names()
    assert names.dialect is Dialect.UNKNOWN
    names.answered("WatchTask")
    assert names.dialect is Dialect.UNKNOWN
    names.answered("ListSessions")
    assert names.dialect is Dialect.NEXT
    names.doubt()
    assert names.dialect is Dialect.UNKNOWN
    assert names.first("ListTask") == "ListTasks", "the name known last is still tried first"
    names.answered("ListTask")
    assert names.dialect is Dialect.OLD


@given(st.sampled_from(sorted(LISTS)), st.sampled_from(sorted(LISTS)))
def test_all_lists_change_their_names_together(one: str, other: str) -> None:
    names = Names()
    names.answered(NEW_NAMES[one])
    assert names.first(other) == NEW_NAMES[other]


def test_a_watch_is_as_the_lists_until_it_was_called() -> None:
    names = Names()
    names.answered("ListTasks")
    assert (names.first(WATCH), names.watches) == ("WatchTasks", Dialect.NEXT)
    names.answered("WatchTask")  # an engine between the two
    names.answered("ListTasks")
    assert (names.first(WATCH), names.watches) == ("WatchTask", Dialect.OLD)
    names.answered("ListTask")
    names.answered("ListTasks")  # another engine, which may have it
    assert names.watches is Dialect.NEXT


def test_a_stream_that_is_unknown_is_not_opened_again() -> None:
    names = Names()
    names.answered("ListTasks")
    names.refused("WatchTasks")
    assert names.watches is Dialect.OLD
