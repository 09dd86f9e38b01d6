"""``CacheCaller``: one call of the object cache in the caller's thread: where, how often, how long.

Each call has a deadline and is repeated as docs/retry.md says; errors are FlameErrors whose cause
is pyarrow's. ``client`` has the calls themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from flamepy.config import FlameContext
from flamepy.errors import FlameError, InvalidArgumentError, InvalidStateError, UnavailableError
from flamepy.objects.blocking_retrier import BlockingRetrier, Resolve
from flamepy.objects.pool import Pool
from flamepy.objects.routes import Routes
from flamepy.objects.status import FAILED, from_arrow
from flamepy.objects.store import ObjectMemory
from flamepy.rpc.retry.call_limits import Terms, check_policy
from flamepy.rpc.transport.loop_thread import NAME as REACTOR
from flamepy.rpc.transport.ways_out import CACHE, start_one
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy
from flamepy.wire.objects import ObjectRef, check_key
from flamepy.wire.validation import timeout as check_timeout

T = TypeVar("T")
TIMEOUT = 300.0  # seconds of one try of a call, unless it says otherwise


def check_thread() -> None:
    """Return if calls of the cache may block this thread. Raises InvalidStateError."""
    if threading.current_thread().name == REACTOR:
        raise InvalidStateError(
            f"a call of the object cache on the thread {REACTOR!r} would hold up everything; "
            "make it from another thread, or use flamepy.aio"
        )


class CacheCaller:
    """Makes calls of one cache. Safe from any thread.

    Args:
        context: where the cache is, and its TLS files.
        policy: how calls are repeated.
        patience: seconds that calls wait for a cache that cannot be reached.
        on_ambiguous: what is done about a patch or an update whose answer was lost: ``"verify"``
            looks, ``"raise"`` raises, ``"retry"`` sends it again.
        memory: what is kept of objects that were read.
    """

    def __init__(
        self,
        context: FlameContext,
        *,
        policy: RetryPolicy,
        patience: float,
        on_ambiguous: str,
        memory: ObjectMemory | None = None,
    ) -> None:
        self.routes = Routes(context.cache_endpoint or "")
        self.memory = memory or ObjectMemory()
        self.on_ambiguous = on_ambiguous
        way_out = start_one(context.cache_endpoint or "", CACHE)
        self.retrier = BlockingRetrier(policy, way_out=way_out)
        self.pool = Pool(context.cache_tls)
        self._policy = policy
        self._patience = patience

    def place(self, ref: ObjectRef) -> tuple[str, str]:
        """Return a reference's key, checked, and the cache that is asked for it."""
        if not isinstance(ref, ObjectRef):
            raise InvalidArgumentError(
                f"an object is named by the ObjectRef that put_object returned, got {repr_of(ref)}"
            )
        if isinstance(ref.version, bool) or not isinstance(ref.version, int) or ref.version < 0:
            raise InvalidArgumentError(
                "ref.version must be a whole number, 0 to read everything, got "
                f"{repr_of(ref.version)}"
            )
        return check_key(ref.key), self.routes.choose(ref.endpoint)

    def call(
        self,
        name: str,
        where: str,
        timeout: float | None,
        policy: RetryPolicy | None,
        attempt: Callable[[float], T],
        resolve: Resolve[T] | None = None,
    ) -> T:
        """Make a call, again where the table allows it.

        Args:
            name: a row of the table.
            where: the cache.
            timeout: seconds for everything, or None.
            policy: instead of the connection's.
            attempt: makes one try within the seconds it is given; raises pyarrow's errors.
            resolve: see ``BlockingRetrier.run``.

        Raises:
            InvalidStateError: on the reactor's thread, which must not wait.
            FlameError: of the last try.
        """
        check_thread()
        chosen = self._policy if policy is None else check_policy(policy)
        terms = Terms(chosen, self._patience, check_timeout(timeout), TIMEOUT)
        return self.retrier.run(
            name,
            terms,
            lambda seconds: self._translated(name, where, lambda: attempt(seconds)),
            resolve,
        )

    def _translated(self, name: str, where: str, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except FlameError:
            raise
        except FAILED as error:
            found = from_arrow(error, name, where)
            if isinstance(found, UnavailableError):
                self.pool.drop(where)
                self.memory.forget_endpoint(where)  # versions of a cache in memory begin anew
            raise found from error

    def public_ref(self, ref: ObjectRef, where: str) -> ObjectRef:
        """Return a server's reference, with an endpoint that other programs can use."""
        return ObjectRef(ref.endpoint or where, ref.key, ref.version)
