"""Small results are the output of a task itself, for clients that ask; the rest is referred to."""

from __future__ import annotations

import concurrent.futures
import pickle
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.core.cache import ObjectRef
from flamepy.errors import InternalError, InvalidArgumentError
from flamepy.runner import RunnerRequest, arguments, futures, get_data, results
from flamepy.runner.futures import ObjectFuture

Cache = dict[str, Any]
simple = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=5,
)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A dictionary in the place of the object cache."""
    stored: Cache = {}

    def put(prefix: str, value: Any) -> ObjectRef:
        key = f"{prefix}/{len(stored)}"
        stored[key] = value
        return ObjectRef("grpc://x:1", key, 1)

    monkeypatch.setattr(results, "put_object", put)
    monkeypatch.setattr(futures, "put_object", put)
    monkeypatch.setattr(results, "get_object", lambda ref: stored[ref.key])
    return stored


def ended(output: bytes | None, prefix: str | None = "a/s") -> ObjectFuture:
    task: concurrent.futures.Future[bytes | None] = concurrent.futures.Future()
    task.set_result(output)
    return ObjectFuture(task, prefix)


ASKING = results.asking(RunnerRequest())


@given(simple)
def test_a_small_result_is_the_output_and_comes_back(value: Any) -> None:
    output = results.output_of(value, ASKING, "a/s")
    assert results.is_pickle(output)
    assert ended(output).get() == value
    assert get_data(output)["result"] == value


@given(st.text(min_size=1, max_size=3000), st.integers(0, 2**62))
def test_a_reference_is_no_pickle_however_long(key: str, version: int) -> None:
    assert not results.is_pickle(ObjectRef("grpc://x:1", key, version).encode())


def test_each_length_of_a_reference_is_no_pickle() -> None:
    """The first bytes of one are its length, which may be those of a pickle's beginning."""
    starts = set()
    for length in range(1, 1500):
        data = ObjectRef("grpc://x:1", "k" * length, 1).encode()
        starts.add(data[:2])
        assert not results.is_pickle(data)
    assert b"\x80\x05" in starts


@pytest.mark.parametrize(
    ("value", "request_"),
    [
        (1, RunnerRequest()),
        (b"x" * (results.INLINE_LIMIT + 1), ASKING),
        (["x" * 100] * 10_000 + [str(n) for n in range(10_000)], ASKING),
    ],
    ids=["a client that does not ask", "large", "large in parts"],
)
def test_else_the_result_goes_to_the_cache(
    cache: Cache, value: Any, request_: RunnerRequest
) -> None:
    output = results.output_of(value, request_, "a/s")
    assert ObjectRef.decode(output).key == "a/s/0"
    assert cache == {"a/s/0": value}
    assert ended(output).get() == value
    assert ended(output).ref().key == "a/s/0"
    assert ended(output).argument() == ended(output).ref()


def test_what_cannot_be_pickled_is_the_caches_to_refuse(cache: Cache) -> None:
    value = (n for n in range(3))
    assert results.output_of(value, ASKING, "a/s") == ObjectRef("grpc://x:1", "a/s/0", 1).encode()


def test_a_wish_is_an_attribute_that_the_official_class_does_not_look_at() -> None:
    again = pickle.loads(cloudpickle.dumps(results.asking(RunnerRequest("m", (1,)))))
    assert again == RunnerRequest("m", (1,))
    assert results.is_pickle(results.output_of(2, again, "a/s"))


def test_a_small_result_is_put_when_its_reference_is_asked_for_and_once(cache: Cache) -> None:
    future = ended(results.output_of([1], ASKING, "a/s"))
    assert cache == {}
    assert future.ref() == future.ref() == ObjectRef("grpc://x:1", "a/s/0", 1)
    assert cache == {"a/s/0": [1]}


@pytest.mark.parametrize("value", [b"bytes", ObjectRef("grpc://x:1", "b", 1)])
def test_a_small_result_that_could_be_taken_for_a_reference_travels_as_one(
    cache: Cache, value: Any
) -> None:
    future = ended(results.output_of(value, ASKING, "a/s"))
    assert future.argument() == ObjectRef("grpc://x:1", "a/s/0", 1)
    assert cache == {"a/s/0": value}


def test_other_small_results_are_arguments_as_they_are(cache: Cache) -> None:
    future = ended(results.output_of({"x": 1}, ASKING, "a/s"))
    assert arguments.resolved(future) == {"x": 1}
    assert cache == {}


def test_no_output_and_an_output_of_another_service() -> None:
    with pytest.raises(InternalError, match=r"not one of flamepy\.runner"):
        ended(None).get()
    with pytest.raises(InternalError, match=r"not one of flamepy\.runner"):
        ended(None).argument()
    with pytest.raises(InvalidArgumentError):
        ended(b"text").ref()
