"""What a runner and its service say to each other. Pure.

Plain dataclasses with a ``__dict__``: they are pickled by module, name and state, and must load in
the official SDK as well as here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flamepy.runner.guard import Guard
from flamepy.texts import repr_of

MAX_SESSION_ID = 128
_FUNCTIONS_ARE_STATELESS = (
    "Functions, builtins, and classes are always stateless. Omit stateful or pass stateful=False."
)
_INSTANCES_ARE_STATEFUL = (
    "Object instance services are always stateful. Omit stateful or pass stateful=True."
)
_INSTANCES_ARE_FIXED = (
    "Object instance services are always fixed. Omit autoscale or pass autoscale=False."
)


@dataclass
class SessionContext:
    """Which session an object's service uses: the attribute ``_session_context`` of the object.

    Attributes:
        session_id: 1 to 128 characters; None makes a new id.
        application_name: for log lines.

    Raises:
        ValueError: a value breaks its rule.
    """

    session_id: str | None = None
    application_name: str | None = None

    def __post_init__(self) -> None:
        if self.session_id is not None:
            if not isinstance(self.session_id, str):
                raise ValueError(f"session_id must be a string, got {type(self.session_id)}")
            if not self.session_id:
                raise ValueError("session_id cannot be empty string")
            if len(self.session_id) > MAX_SESSION_ID:
                raise ValueError(
                    f"session_id too long ({len(self.session_id)} chars, max {MAX_SESSION_ID})"
                )
        if self.application_name is not None and not isinstance(self.application_name, str):
            raise ValueError(
                f"application_name must be a string, got {type(self.application_name)}"
            )


@dataclass
class RunnerRequest:
    """One call: a method's name, or None for the object itself, and its arguments.

    Raises:
        ValueError: a value breaks its rule.
    """

    method: str | None = None
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.method is not None and not isinstance(self.method, str):
            raise ValueError(f"method must be a string or None, got {type(self.method)}")
        if self.args is not None and not isinstance(self.args, (tuple, list)):
            raise ValueError(f"args must be a tuple or list, got {type(self.args)}")
        if self.kwargs is not None and not isinstance(self.kwargs, dict):
            raise ValueError(f"kwargs must be a dict, got {type(self.kwargs)}")


@dataclass
class RunnerContext:
    """What a session's service runs, and how many executors it gets.

    Functions, classes and callable instances have no state and scale with the load; any other
    instance has state, and one executor.

    Args:
        execution_object: a function, a class, or an instance.
        stateful: given by the kind of object; another value is refused.
        autoscale: whether executors come and go with the load; only functions and classes may.
        warmup: executors that are kept from the beginning.

    Attributes:
        min_instances, max_instances: of executors; ``max_instances`` None is the application's.

    Raises:
        ValueError: a combination that the object's kind does not have.
    """

    execution_object: Any
    stateful: bool | None = None
    autoscale: bool | None = None
    warmup: int = 0
    min_instances: int = field(init=False, repr=False)
    max_instances: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.warmup, int) or self.warmup < 0:
            raise ValueError("warmup must be a non-negative integer.")
        if self.autoscale not in (None, True, False):
            raise ValueError(
                f"autoscale must be True, False or None, got {repr_of(self.autoscale)}"
            )
        if is_stateless(self.execution_object):
            self._stateless()
        else:
            self._instance()

    def _stateless(self) -> None:
        if self.stateful:
            raise ValueError(_FUNCTIONS_ARE_STATELESS)
        self.stateful = False
        self.autoscale = True if self.autoscale is None else self.autoscale
        if self.autoscale:
            self.min_instances, self.max_instances = self.warmup, None
        else:
            self.min_instances = self.max_instances = max(1, self.warmup)

    def _instance(self) -> None:
        if self.stateful is False:
            raise ValueError(_INSTANCES_ARE_STATEFUL)
        if self.autoscale:
            raise ValueError(_INSTANCES_ARE_FIXED)
        if self.warmup not in (0, 1):
            raise ValueError("Object instance services only support warmup=0 or warmup=1.")
        self.stateful, self.autoscale = True, False
        self.min_instances = self.max_instances = 1

    def __getstate__(self) -> dict[str, Any]:
        """Put the guard, if there is to be one, first: before the code of a function."""
        if "_guard" not in self.__dict__:
            return dict(self.__dict__)
        return {**{"_guard": Guard()}, **{k: v for k, v in self.__dict__.items() if k != "_guard"}}

    def guarded(self) -> RunnerContext:
        """Have the pickle refused by another Python's minor version; return self."""
        self.__dict__["_guard"] = None
        return self


def is_stateless(execution_object: object) -> bool:
    """Return True for a function, a class, or another callable."""
    return inspect.isclass(execution_object) or callable(execution_object)
