"""``reactor.on``: register functions as callbacks, without a class.

``@reactor.on.failed(application="x")`` makes an informer whose only callback is the function, and
registers it by ``Reactor.register``: the options, their checks and their promises are those of
``register``, whatever options it has.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from flamepy.errors import InvalidArgumentError
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.informer import Informer, SessionInformer, TaskInformer
from flamepy.texts import repr_of

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])  # Any: a callback, which takes what its name says

_SESSION_DELETED = "session_deleted"


def _named(base: type[Informer]) -> list[str]:
    return [name[3:] for name in dir(base) if name.startswith("on_")]


def callback_names() -> list[str]:
    """Return every name that ``reactor.on`` has."""
    return sorted({*_named(TaskInformer), *_named(SessionInformer), _SESSION_DELETED})


class On(Generic[P]):
    """A decorator for each callback: ``on.failed`` for ``TaskInformer.on_failed``, and so on.

    ``deleted`` is of tasks, ``session_deleted`` of sessions. Each takes the options of
    ``Reactor.register``, and may be written without parentheses where there are none. The function
    is returned as it is, so that decorators can be stacked; each makes a registration of its own,
    with a queue and a thread of its own, named after the function if neither ``name`` nor ``uid``
    is given (``reactor.registrations`` has it).

    Raises:
        AttributeError: there is no such callback; the message has the nearest one.
        TypeError: ``register`` has no such option; likewise.
        InvalidArgumentError: what ``register`` refuses, something that is not a function, or a
            ``uid`` that another informer has.
    """

    added: CallbackDecorator[P]
    batch: CallbackDecorator[P]
    cancelled: CallbackDecorator[P]
    closed: CallbackDecorator[P]
    connection: CallbackDecorator[P]
    deleted: CallbackDecorator[P]
    drained: CallbackDecorator[P]
    error: CallbackDecorator[P]
    event: CallbackDecorator[P]
    failed: CallbackDecorator[P]
    opened: CallbackDecorator[P]
    overdue: CallbackDecorator[P]
    progress: CallbackDecorator[P]
    requeued: CallbackDecorator[P]
    running: CallbackDecorator[P]
    session_deleted: CallbackDecorator[P]
    succeeded: CallbackDecorator[P]
    synced: CallbackDecorator[P]
    terminal: CallbackDecorator[P]
    transition: CallbackDecorator[P]
    update: CallbackDecorator[P]

    def __init__(self, register: Callable[Concatenate[Informer, P], Registration]) -> None:
        for name in callback_names():
            setattr(self, name, CallbackDecorator(name, register))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(callback_names())}>"

    if not TYPE_CHECKING:  # checkers know the names above, and with a __getattr__ any other

        def __getattr__(self, name: str) -> object:
            hint = _near(name.removeprefix("on_"), callback_names(), "callbacks")
            raise AttributeError(f"reactor.on has no callback {repr_of(name)}{hint}")


class CallbackDecorator(Generic[P]):
    """Registers functions as one callback; an attribute of ``reactor.on``, see ``On``."""

    def __init__(
        self, name: str, register: Callable[Concatenate[Informer, P], Registration]
    ) -> None:
        self._name = name
        self._register = register

    def __repr__(self) -> str:
        return f"<reactor.on.{self._name}>"

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(self, *none: P.args, **options: P.kwargs) -> Callable[[F], F]: ...

    # Any: the overloads say what is taken and returned.
    def __call__(self, *given: Any, **options: Any) -> Any:
        """Return what registers a function; with a function alone, register it."""
        if given:
            function, *more = given
            if more or options:
                raise TypeError(
                    f"reactor.on.{self._name}(...) takes options by name: "
                    f"@reactor.on.{self._name}(application='x')"
                )
            return self._add(function, {})
        self._check_options(options)
        return lambda function: self._add(function, options)

    def _check_options(self, options: Iterable[str]) -> None:
        taken = [
            one.name
            for one in inspect.signature(self._register).parameters.values()
            if one.kind is one.KEYWORD_ONLY
        ]
        for name in options:
            if name not in taken:
                hint = _near(name, taken, "options")
                raise TypeError(f"reactor.on.{self._name} has no option {repr_of(name)}{hint}")

    def _add(self, function: F, options: dict[str, Any]) -> F:  # Any: what ``register`` takes
        informer = informer_of(self._name, function)
        made = self._register(informer, **options)  # type: ignore[call-arg]  # the options of P
        if made.informer is not informer and not _same(made.informer, informer):
            raise InvalidArgumentError(
                f"uid {repr_of(made.uid)} is the one of {made.name} already; "
                f"give @reactor.on.{self._name} of {type(informer).__name__} another one"
            )
        return function


class Shorthand(Generic[R, P]):
    """The attribute ``Reactor.on``, typed by the options of ``Reactor.register``."""

    def __init__(self, register: Callable[Concatenate[R, Informer, P], Registration]) -> None:
        self._register = register
        self.__doc__ = On.__doc__

    def __get__(self, reactor: R | None, owner: type[R]) -> On[P]:
        """Return the decorators of a reactor."""
        if reactor is None:
            return self  # type: ignore[return-value]  # for help() and the like
        return On(self._register.__get__(reactor))


def informer_of(name: str, function: object) -> Informer:
    """Return an informer whose only callback is ``function``; its class is named after it.

    Args:
        name: the callback's, as an attribute of ``reactor.on``.
        function: what is called.

    Raises:
        InvalidArgumentError: it cannot be called.
    """
    if not callable(function) or inspect.isclass(function):
        raise InvalidArgumentError(
            f"reactor.on.{name} decorates a function, got {repr_of(function)}"
        )
    of_tasks = hasattr(TaskInformer, f"on_{name}")
    callback = "on_deleted" if name == _SESSION_DELETED else f"on_{name}"
    base = TaskInformer if of_tasks else SessionInformer
    label = getattr(function, "__qualname__", None) or type(function).__name__
    module = getattr(function, "__module__", __name__)
    body = {"__module__": module, "__doc__": getattr(function, "__doc__", None)}
    made: Informer = type(str(label), (base,), {**body, callback: staticmethod(function)})()
    return made


def _same(one: Informer, other: Informer) -> bool:
    """Whether two are of one function, such as of a module that was loaded again."""
    kinds = [type(one), type(other)]
    names = {(kind.__module__, kind.__name__, *sorted(vars(kind))) for kind in kinds}
    return len(names) == 1


def _near(name: str, names: list[str], what: str) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else f"; {what}: {', '.join(names)}"
