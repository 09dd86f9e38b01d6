"""The object cache's calls under other names: functions on the implicit link, and coroutines.

``ObjectCalls`` has each signature once; ``blocking``, ``awaited`` and ``awaited_method`` make
functions of it for ``core.cache`` and ``aio.cache``. This module needs no extra; calls without it
say what to install.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from flamepy.objects.attached import client_of, on_worker
from flamepy.rpc.implicit import implicit_link
from flamepy.rpc.link import Link
from flamepy.types import RetryPolicy
from flamepy.wire.objects import ObjectRef

PARALLEL = 4  # objects at a time, unless the caller says otherwise
P = ParamSpec("P")
T = TypeVar("T")
Progress = Callable[[int, int], object]
Counted = Callable[[int, "int | None"], object]
Deserializer = Callable[[Any, list[Any]], Any]


class ObjectCalls(Protocol):
    """The calls that all faces share; ``ObjectClient`` makes them.

    ``timeout`` is seconds for everything, by default 300 for each try; ``retry`` is how the call
    is repeated, instead of as the connection says; ``progress`` is called with bytes done and
    bytes in all.
    """

    def put(
        self,
        key_prefix: str,
        obj: Any,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Store an object under a new key below ``application/session``; return its reference.

        Args:
            key_prefix: ``"training/shared"``, or the session's id in the place of ``shared``.
            obj: anything that can be pickled; arrays, tables and frames travel as they are.
            timeout: seconds for everything; by default 300 for each try.
            retry: how the call is repeated, instead of as the connection says.
            progress: is called with bytes sent and bytes in all.

        Raises:
            InvalidArgumentError: the prefix breaks a rule, or the object cannot travel.
            ResourceExhaustedError: it is larger than the cache's memory.
            FlameError: the cache cannot be reached, ...
        """

    def get(
        self,
        ref: ObjectRef,
        deserializer: Deserializer | None = None,
        *,
        copy: bool = False,
        allow_pickle: bool | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """Return an object, or what ``deserializer(base, patches)`` makes of it.

        Reading may run code of the object's writer (docs/objects.md#pickle). As a coroutine the
        deserializer runs on a worker's thread.

        Args:
            ref: where it is; ``version = 0`` reads everything anew.
            deserializer: gets the base and the list of patches, and returns the object.
            copy: return arrays that may be written to.
            allow_pickle: False refuses pickles; by default as the configuration says.
            timeout: seconds for everything; by default 300 for each try.
            retry: how the call is repeated, instead of as the connection says.
            progress: is called with bytes received and bytes in all.

        Raises:
            ObjectNotFoundError: there is no such object.
            PickleRefusedError: it would have to be unpickled, and may not.
            FlameError: the cache cannot be reached, ...
        """

    def put_many(
        self,
        key_prefix: str,
        objs: Iterable[Any],
        *,
        parallel: int = PARALLEL,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Counted | None = None,
    ) -> list[ObjectRef]:
        """Store many objects, several at a time; return their references in the objects' order.

        After the first error no more are begun, and those that run are awaited. An interrupt such
        as Ctrl-C is not held up by them: they may be stored, without a reference.

        Args:
            key_prefix: below which each gets a new key, as when one is put.
            objs: is taken as it is needed, so that of a generator's objects few are in memory.
            parallel: how many are sent at a time, each by a thread.
            timeout: seconds for all of them together; by default 300 for each try of each.
            retry: how each is repeated, instead of as the connection says.
            progress: is called with objects done, failed ones too, and objects in all (None if
                ``objs`` has no length); in one thread, the one that takes the objects. What it
                raises ends the call as an error of an object does.

        Raises:
            ObjectBatchError: not all could be put; ``results`` has the references of those that
                were, ``errors`` what failed, both by place.
            InvalidArgumentError: the prefix or an option breaks a rule; nothing was put.
        """

    def get_many(
        self,
        refs: Iterable[ObjectRef],
        deserializer: Deserializer | None = None,
        *,
        copy: bool = False,
        allow_pickle: bool | None = None,
        parallel: int = PARALLEL,
        return_exceptions: bool = False,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Counted | None = None,
    ) -> list[Any]:
        """Return many objects in the order of their references, fetched several at a time.

        After the first error no more are begun, unless ``return_exceptions`` is true.

        Args:
            refs: where they are, each as for getting one.
            deserializer: gets the base and the list of patches of each, in several threads at a
                time, and returns the object.
            copy: return arrays that may be written to.
            allow_pickle: False refuses pickles; by default as the configuration says.
            parallel: how many are fetched at a time, each by a thread.
            return_exceptions: fetch all, and put the error of one that failed in its place.
            timeout: seconds for all of them together; by default 300 for each try of each.
            retry: how each is repeated, instead of as the connection says.
            progress: as for putting many.

        Raises:
            ObjectBatchError: not all could be read; ``results`` has the objects that were,
                ``errors`` what failed, both by place.
            InvalidArgumentError: an option breaks a rule; nothing was read.
        """

    def update(
        self,
        ref: ObjectRef,
        new_obj: Any,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Replace an object and drop its patches; return the reference with its new version.

        Raises:
            AmbiguousResultError: the answer was lost, and another client changed the object since.
            FlameError: as for putting one.
        """

    def patch(
        self,
        ref: ObjectRef,
        delta: Any,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Append a patch to an object; return the reference with its new version.

        Raises:
            ObjectNotFoundError: there is no such object.
            ResourceExhaustedError: it has too many patches (1000 on a disk).
            FlameError: as for putting one.
        """

    def upload(
        self,
        key_or_prefix: str,
        file_path: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> ObjectRef:
        """Store a file's bytes under a full key, or a new one below ``application/session``.

        Raises:
            FileNotFoundError: there is no such file.
            InvalidArgumentError: the key breaks a rule, or the file is too large.
            InvalidStateError: the file changed its size meanwhile; nothing was stored.
            FlameError: the cache cannot be reached, ...
        """

    def download(
        self,
        ref: ObjectRef,
        dest_path: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write an object's bytes to a file, which is there whole or not at all.

        Raises:
            ObjectNotFoundError: there is no such object.
            InvalidStateError: it was patched, or is a table, so it is no file.
            OSError: the file cannot be written.
            FlameError: the cache cannot be reached, ...
        """


class OfLink(Protocol):
    """What has the object cache of a link."""

    _link: Link


Method = Callable[Concatenate[ObjectCalls, P], T]


def blocking(name: str, module: str, method: Method[P, T]) -> Callable[P, T]:
    """Return a call as a function on the implicit link, in the caller's thread."""

    def call(*arguments: P.args, **options: P.kwargs) -> T:
        made: Callable[P, T] = getattr(client_of(implicit_link()), method.__name__)
        return made(*arguments, **options)

    return _named(call, name, module, method, bound=True)


def awaited(name: str, module: str, method: Method[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return a call as a coroutine on the implicit link, from any loop."""

    async def call(*arguments: P.args, **options: P.kwargs) -> T:
        link = implicit_link()
        made: Callable[P, T] = getattr(client_of(link), method.__name__)
        return await on_worker(link, made, *arguments, **options)

    return _named(call, name, module, method, bound=True)


def awaited_batch(
    name: str, module: str, method: Method[P, T]
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return a call of many objects as ``awaited`` does; one that is cancelled begins no more."""

    async def call(*arguments: P.args, **options: P.kwargs) -> T:
        return await _run_batch(implicit_link(), method, *arguments, **options)

    return _named(call, name, module, method, bound=True)


def awaited_batch_method(
    name: str, module: str, method: Method[P, T]
) -> Callable[Concatenate[OfLink, P], Coroutine[Any, Any, T]]:
    """Return a call of many objects as a coroutine method; see ``awaited_batch``."""

    async def call(self: OfLink, /, *arguments: P.args, **options: P.kwargs) -> T:
        return await _run_batch(self._link, method, *arguments, **options)

    return _named(call, name, module, method, bound=False)


async def _run_batch(
    link: Link, method: Method[P, T], *arguments: P.args, **options: P.kwargs
) -> T:
    make = getattr(client_of(link), method.__name__.replace("_many", "_batch"))
    batch = make(*arguments, **options)
    try:
        found: T = await on_worker(link, batch.run)
    except asyncio.CancelledError:
        batch.stop()
        raise
    return found


def awaited_method(
    name: str, module: str, method: Method[P, T]
) -> Callable[Concatenate[OfLink, P], Coroutine[Any, Any, T]]:
    """Return a call as a coroutine method of an object that has a link."""

    async def call(self: OfLink, /, *arguments: P.args, **options: P.kwargs) -> T:
        made: Callable[P, T] = getattr(client_of(self._link), method.__name__)
        return await on_worker(self._link, made, *arguments, **options)

    return _named(call, name, module, method, bound=False)


F = TypeVar("F", bound=Callable[..., Any])


def _named(call: F, name: str, module: str, method: Callable[..., Any], *, bound: bool) -> F:
    """Give a function name, help and signature; it is pickled by its module and name."""
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())[1 if bound else 0 :]
    call.__name__, call.__qualname__ = name.rpartition(".")[2], name
    call.__module__ = module
    call.__doc__ = method.__doc__
    call.__annotations__ = dict(method.__annotations__)
    vars(call)["__wrapped__"] = method  # where annotations are looked up
    vars(call)["__signature__"] = signature.replace(parameters=parameters)
    return call
