"""From the form that ``flame.yaml`` has to the arguments of ``Reactor.register``.

Values were checked by ``config.schema``; what is left to do here is to make functions of names,
rules of mappings and the like.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.informers import expect, predicates
from flamepy.informers.expect import Rule
from flamepy.informers.options import KeyFunction, Where
from flamepy.informers.predicates import Predicate
from flamepy.texts import described, repr_of
from flamepy.types import RetryPolicy, SessionState, TaskState

_EXPECTED: dict[str, Callable[..., Rule]] = {
    "start": expect.start,
    "run": expect.run,
    "end": expect.end,
    "drained": expect.drained,
    "progress": expect.progress,
    "tasks": expect.tasks,
}
_STATES: dict[str, TaskState | SessionState] = {
    one.name.lower(): one for kind in (TaskState, SessionState) for one in kind
}


def arguments_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``register`` for the settings of an entry.

    Args:
        settings: as the file has them. Any: whatever YAML holds.

    Raises:
        InvalidArgumentError: names the setting; ``register`` checks the rest.
    """
    found = dict(settings)
    for name, make in _MAKERS.items():
        if name in found:
            found[name] = make(found[name])
    return found


def function_at(name: str, value: str) -> Callable[..., Any]:
    """Import ``module:function``.

    Args:
        name: the setting, for messages.
        value: what it names.

    Raises:
        InvalidArgumentError: it cannot be imported, or is no function.
    """
    module, _, attribute = value.partition(":")
    try:
        found = functools.reduce(getattr, attribute.split("."), import_module(module))
    except (Exception, SystemExit) as error:
        raise InvalidArgumentError(
            f"{name}: importing {value} raised {described(error)}"
        ) from error
    if not callable(found):
        raise InvalidArgumentError(f"{name}: {value} is {repr_of(found)}, which is no function")
    made: Callable[..., Any] = found
    return made


def _where(value: Any) -> Where:
    if isinstance(value, str):
        return function_at("where", value)
    tests: list[Predicate] = []
    if value.get("live"):
        tests.append(predicates.live)
    if value.get("changed"):
        tests.append(predicates.changed())
    if value.get("state"):
        tests.append(predicates.state_in(*(_STATES[one] for one in value["state"])))
    for name, make in (("application", predicates.application), ("session", predicates.session)):
        if value.get(name):
            tests.append(functools.reduce(Predicate.__or__, map(make, value[name])))
    if not tests:
        raise InvalidArgumentError("where leaves nothing out: name something, or leave it out")
    return functools.reduce(Predicate.__and__, tests)


def _rules(value: Any) -> list[Rule]:
    return [
        _EXPECTED[one["expect"]](
            within=one["within"],
            application=one.get("application"),
            where=function_at("rules: where", one["where"]) if one.get("where") else None,
        )
        for one in value
    ]


def _key(value: str) -> str | KeyFunction:
    return function_at("key", value) if ":" in value else value


_MAKERS: dict[str, Callable[[Any], object]] = {
    "where": _where,
    "transform": functools.partial(function_at, "transform"),
    "retry": lambda value: RetryPolicy(**value),
    "key": _key,
    "rules": _rules,
}
