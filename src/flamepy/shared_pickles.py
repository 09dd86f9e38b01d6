"""Pickles of the classes that the official SDK has as well, in the form that both libraries read.

There they are plain dataclasses: a pickle names ``flamepy.core.types`` (or ``.cache``,
``.service``) and holds a dictionary of the fields. Ours have slots, enums with more members and
tuples where the official SDK has lists; the decorators here translate. Pure; imports nothing of
flamepy.
"""

from __future__ import annotations

import enum
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, cast

C = TypeVar("C", bound=type)
E = TypeVar("E", bound=type[enum.IntEnum])


def shared_class(module: str, **enums: type[enum.IntEnum]) -> Callable[[C], C]:
    """Return a decorator, to stand above ``@dataclass``, of a class that both libraries have.

    Its pickles name ``module`` and hold a dictionary. It reads that form, and the older ones of
    this library: a list of the fields' values, and ``(None, {field: value})``.

    Args:
        module: where the official SDK has the class; the class must be importable from there.
        enums: the fields that hold a member of an enum, with the enum.
    """

    def decorate(kind: C) -> C:
        def restore(self: object, state: object) -> None:
            _restore(self, _by_name(self, state), enums)

        # Set afterwards: on Python 3.10 a dataclass with slots replaces what its body defines.
        kind.__module__ = module
        kind.__getstate__ = _state  # type: ignore[attr-defined]  # of any dataclass
        kind.__setstate__ = restore  # type: ignore[attr-defined]  # the same
        return kind

    return decorate


def shared_enum(module: str, numbers: Iterable[int]) -> Callable[[E], E]:
    """Return a decorator of an enum that both libraries have.

    Args:
        module: where the official SDK has the enum.
        numbers: those of its members there. Any other is a plain number for the official SDK,
            and a member again for this library.
    """
    known = frozenset(numbers)

    def decorate(kind: E) -> E:
        def reduce(self: enum.IntEnum, _: object) -> tuple[object, ...]:
            return (kind if int(self) in known else _OwnMember(kind)), (int(self),)

        kind.__module__ = module
        kind.__reduce_ex__ = reduce  # type: ignore[assignment]  # the base declares a wider one
        setattr(kind, _OWN, kind)
        return kind

    return decorate


_OWN = "_own_member"  # an attribute that enums of this library have and those of others lack


class _OwnMember:
    """What makes a member of an enum here, and a plain number where the enum lacks ``_OWN``."""

    def __init__(self, kind: type[enum.IntEnum]) -> None:
        self._kind = kind

    def __call__(self, number: int) -> enum.IntEnum:
        return self._kind(number)

    def __reduce__(self) -> tuple[object, ...]:
        return getattr, (self._kind, _OWN, int)


def _state(self: Any) -> dict[str, object]:  # Any: of any dataclass
    """Return the fields as the official SDK has them, and what a subclass added."""
    values = {
        one.name: _sent(getattr(self, one.name), one)
        for one in fields(self)
        if hasattr(self, one.name)
    }
    return {**getattr(self, "__dict__", {}), **values}


def _sent(value: object, field: Field[Any]) -> object:
    if isinstance(value, tuple) and isinstance(field.default, tuple):
        return list(value)
    return _plain(value)


def _plain(value: object) -> object:
    """Return a number of a class of its own, such as BSON's, as an ``int``."""
    return (
        int(value)
        if isinstance(value, int) and not isinstance(value, (bool, enum.Enum))
        else (value)
    )


def _by_name(self: Any, state: object) -> dict[str, object]:
    """Return a state of any form by the fields' names."""
    if isinstance(state, list):
        return dict(zip((one.name for one in fields(self)), state, strict=False))
    found: dict[str, object] = {}
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(part, Mapping):
            found.update(part)
        elif part is not None:
            raise pickle.UnpicklingError(
                f"{type(self).__name__}: the pickled state is a {type(state).__name__}, "
                "expected a dictionary of its fields"
            )
    return found


def _restore(self: Any, found: dict[str, object], enums: Mapping[str, type[enum.IntEnum]]) -> None:
    for one in fields(self):
        value = _received(found.pop(one.name, None), one, enums.get(one.name))
        object.__setattr__(self, one.name, value)
    if hasattr(self, "__dict__"):
        self.__dict__.update(found)


def _received(value: object, field: Field[Any], enumeration: type[enum.IntEnum] | None) -> object:
    """Return a field's value; one that is absent or None there is the field's default here."""
    if value is None:
        if field.default_factory is not MISSING:
            return cast("object", field.default_factory())
        return None if field.default is MISSING else field.default
    if isinstance(field.default, tuple) and isinstance(value, list):
        return tuple(value)
    if enumeration is not None and isinstance(value, int):
        return enumeration(value)
    return _plain(value)
