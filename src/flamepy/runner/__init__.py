"""Remote functions and objects: ``Runner`` ships code, its services run it on executors.

Drop-in for the official SDK's ``flamepy.runner``; payloads and packages are the same, so either
side may be the other's (docs/runner.md). Names are resolved at their first use. Needs the extra
``runner``.
"""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.runner.futures import ObjectFuture, ObjectFutureIterator
    from flamepy.runner.helper import ErrorType, RunnerError, get_data
    from flamepy.runner.runner import Runner
    from flamepy.runner.runpy import FlameRunpyService
    from flamepy.runner.services import RunnerService
    from flamepy.runner.types import RunnerContext, RunnerRequest, SessionContext

__all__ = [
    "ErrorType",
    "FlameRunpyService",
    "ObjectFuture",
    "ObjectFutureIterator",
    "Runner",
    "RunnerContext",
    "RunnerError",
    "RunnerRequest",
    "RunnerService",
    "SessionContext",
    "get_data",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "flamepy.runner.futures": "ObjectFuture ObjectFutureIterator",
        "flamepy.runner.helper": "ErrorType RunnerError get_data",
        "flamepy.runner.runner": "Runner",
        "flamepy.runner.runpy": "FlameRunpyService",
        "flamepy.runner.services": "RunnerService",
        "flamepy.runner.types": "RunnerContext RunnerRequest SessionContext",
    },
    ("e2e", "helper", "runner", "runpy", "storage", "types"),
)
