"""Names imported at their first use look like any others: listed, got, patched, picklable."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import subprocess
import sys
from unittest import mock

import pytest

import flamepy

LAZY = ("flamepy", "flamepy.core", "flamepy.informers", "flamepy.local", "flamepy.testing")
PUBLIC = [
    "flamepy",
    *(one.name for one in pkgutil.walk_packages(flamepy.__path__, "flamepy.")),
]
LEFT_OUT = {"__main__", "pytest_plugin", "reaper_main"}  # run, not imported

LISTED = """
import importlib
module = importlib.import_module({name!r})
before = dir(module)
lacking = set(module.__all__) - set(before)
assert not lacking, lacking
missing = [name for name in before if not hasattr(module, name)]
assert not missing, missing
for name in module.__all__:
    getattr(module, name)
fewer = set(before) - set(dir(module))
assert not fewer, fewer
assert before == sorted(before)
assert {{"__doc__", "__file__", "__name__", "__path__"}} <= set(before)
assert not [name for name in before if name.startswith("_") and not name.startswith("__")]
space = {{}}
exec("from {name} import *", space)
lost = set(module.__all__) - set(space)
assert not lost, lost
"""


@pytest.mark.parametrize("name", LAZY)
def test_a_fresh_package_lists_every_name_and_has_each(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LISTED.format(name=name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [one for one in PUBLIC if one.split(".")[-1] not in LEFT_OUT])
def test_dir_of_each_module_has_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    lacking = set(getattr(module, "__all__", ())) - set(dir(module))
    assert not lacking


@pytest.mark.parametrize("name", LAZY)
def test_a_submodule_that_was_imported_is_listed_and_a_private_one_is_not(name: str) -> None:
    module = importlib.import_module(name)
    importlib.import_module("flamepy.rpc.transport.status")
    assert "_version" not in dir(module)
    assert ("rpc" in dir(module)) == (name == "flamepy")


@pytest.mark.parametrize("name", LAZY)
def test_a_name_that_is_not_there_is_said_with_its_module(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        _ = importlib.import_module(name).nothing


@pytest.mark.parametrize("target", ["flamepy.connect", "flamepy.informers.Reactor"])
def test_a_name_can_be_replaced_for_a_while(target: str) -> None:
    module, _, name = target.rpartition(".")
    with mock.patch(target) as stand_in:
        assert getattr(importlib.import_module(module), name) is stand_in
    assert getattr(importlib.import_module(module), name) is not stand_in


@pytest.mark.parametrize("name", LAZY)
def test_each_class_and_function_can_be_pickled(name: str) -> None:
    module = importlib.import_module(name)
    for exported in module.__all__:
        value = getattr(module, exported)
        if callable(value) and isinstance(getattr(value, "__qualname__", None), str):
            assert pickle.loads(pickle.dumps(value)) is value, exported
