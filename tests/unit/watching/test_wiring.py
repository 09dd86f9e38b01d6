"""How the parts of watching are put together: short constructors that assign only to themselves."""

from __future__ import annotations

import ast
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from support.hearing import World, run

import flamepy.watching
from flamepy.types import TaskState
from flamepy.watching.io.context import WatchContext
from flamepy.watching.state.events import EventSource, Window

ROOT = Path(flamepy.watching.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
MOST = 7
CALLS, FILES = 32, 9  # from an observation to a subscription's sink


def constructors(module: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield each class of a module with its constructor."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    yield node.name, part


def assigned(function: ast.FunctionDef) -> Iterator[ast.Attribute]:
    """Yield the attributes that a function assigns to."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node


def test_no_constructor_takes_more_than_seven_arguments() -> None:
    long = {
        f"{module}:{name}": len(one.args.args) + len(one.args.kwonlyargs) - 1
        for module in MODULES
        for name, one in constructors(module)
        if len(one.args.args) + len(one.args.kwonlyargs) - 1 > MOST
    }
    assert long == {}


def test_a_constructor_assigns_to_nothing_but_its_own_object() -> None:
    """A part that needs another one gets it as an argument, so that it is whole at once."""
    foreign = [
        f"{module}:{one.lineno} {name}: {ast.unparse(target)}"
        for module in MODULES
        for name, one in constructors(module)
        for target in assigned(one)
        if not (isinstance(target.value, ast.Name) and target.value.id == "self")
    ]
    assert foreign == []


def test_the_context_cannot_be_changed() -> None:
    context = object.__new__(WatchContext)
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.endpoint = "http://another"  # type: ignore[misc]  # that is what is tried


def test_an_observation_reaches_a_sink_in_few_calls() -> None:
    """It is made on the reactor's thread for every change of every task."""
    files: list[str] = []

    def note(frame: FrameType, kind: str, _: object) -> None:
        if kind == "return" and str(ROOT) in frame.f_code.co_filename:
            files.append(frame.f_code.co_filename)

    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_task("s")
        world.source.add_task("s")
        heard, _ = world.subscribe()
        await world.until(lambda: heard.syncs)
        task = dataclasses.replace(await world.source.get_task("s", "1"), state=TaskState.SUCCEED)
        window = Window(world.clock.now, world.clock.now)
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            world.hub._reader.report(task, window, EventSource.PROBE, True)
        finally:
            sys.setprofile(before)
        assert heard.states("1")[-1] is TaskState.SUCCEED

    run(act)
    assert 0 < len(files) <= CALLS
    assert len(set(files)) <= FILES
