"""The faces of the object cache have the client's calls: names, parameters, help."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from flamepy import aio, core
from flamepy.aio.cache import Objects
from flamepy.objects.client import ObjectClient

CALLS = {
    **{name: f"{name}_object" for name in ("put", "get", "update", "patch", "upload", "download")},
    "put_many": "put_objects",
    "get_many": "get_objects",
}


def shape(function: Callable[..., Any], skipped: int) -> list[tuple[str, Any, Any]]:
    parameters = list(inspect.signature(function).parameters.values())[skipped:]
    return [(one.name, one.kind, one.default) for one in parameters]


@pytest.mark.parametrize("name", CALLS)
def test_each_face_takes_what_the_client_takes(name: str) -> None:
    wanted = shape(getattr(ObjectClient, name), 1)
    assert shape(getattr(core, CALLS[name]), 0) == wanted
    assert shape(getattr(aio, CALLS[name]), 0) == wanted
    assert shape(getattr(Objects, name), 1) == wanted


@pytest.mark.parametrize("name", CALLS.values())
@pytest.mark.parametrize("face", [core, aio], ids=["core", "aio"])
def test_a_function_of_a_face_is_found_by_its_name(face: Any, name: str) -> None:
    function = getattr(face, name)
    assert function.__name__ == function.__qualname__ == name
    assert pickle.loads(pickle.dumps(function)) is function
    assert inspect.getdoc(function)
    assert "return" in get_type_hints(function)
    assert inspect.iscoroutinefunction(function) == (face is aio)
