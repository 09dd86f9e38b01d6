"""``LostWrite``: a patch or an update whose answer was lost: whether it happened is read.

Each write carries a mark of random bytes, by which the object shows whether it is there.
"""

from __future__ import annotations

import pyarrow as pa

from flamepy.errors import AmbiguousResultError, FlameError, ObjectNotFoundError
from flamepy.objects import transfer
from flamepy.objects.caller import CacheCaller
from flamepy.rpc.retry.call_limits import RAISE, RETRY
from flamepy.wire.objects import VERSION, WRITE, ObjectRef, Ticket

SHORTEST = 0.001  # seconds


class LostWrite:
    """Looks for one write.

    Args:
        caller: makes the reads.
        ref: the object before the write.
        where: the cache that it was sent to.
        key: the object's.
        mark: what the write ends with.
    """

    def __init__(
        self, caller: CacheCaller, ref: ObjectRef, where: str, key: str, mark: bytes
    ) -> None:
        self._caller = caller
        self._ref = ref
        self._where = where
        self._key = key
        self._mark = mark

    def find_patch(self, error: FlameError, left: float) -> ObjectRef | None:
        """Return the patch's reference if it is there.

        Args:
            error: how the write failed.
            left: seconds.

        Raises:
            AmbiguousResultError: it is not to be looked for.
        """
        if self._resend_without_check(error):
            return None
        for row in self._read(left).patches:
            if self._is_marked(row.data):
                return ObjectRef(self._where, self._key, row.version)
        return None

    def find_update(self, error: FlameError, left: float) -> ObjectRef | None:
        """Return the update's reference if it is there; None if nothing has happened since.

        Args:
            error: how the write failed.
            left: seconds.

        Raises:
            AmbiguousResultError: it is not to be looked for, or the object was changed since.
        """
        if self._resend_without_check(error):
            return None
        try:
            answer = self._read(left)
        except ObjectNotFoundError:
            return None
        if answer.not_modified:
            return None
        if answer.table is not None:
            metadata = answer.table.schema.metadata or {}
            if metadata.get(WRITE) == self._mark.hex().encode():
                return ObjectRef(self._where, self._key, int(metadata.get(VERSION, b"0")))
        elif answer.base is not None and self._is_marked(answer.base.data):
            return ObjectRef(self._where, self._key, answer.base.version)
        raise AmbiguousResultError(
            f"object {self._key}: the answer to an update was lost ({error.message}), and the "
            f"object was changed since version {self._ref.version}, so it is unknown whether this "
            "update was replaced or never made: read the object, and update it again if need be"
        ) from error

    def _resend_without_check(self, error: FlameError) -> bool:
        """Return True if a write of unknown fate is sent again without a look."""
        if self._caller.on_ambiguous == RAISE:
            raise AmbiguousResultError(
                f"the answer was lost, so it may have happened: {error.message}"
            ) from error
        return self._caller.on_ambiguous == RETRY

    def _read(self, left: float) -> transfer.Answer:
        caller, ticket = self._caller, Ticket(self._key, self._ref.version)
        return caller.call(
            "GetObject",
            self._where,
            max(SHORTEST, left),
            None,
            lambda seconds: transfer.get(caller.pool, self._where, ticket, seconds=seconds),
        )

    def _is_marked(self, data: pa.Buffer) -> bool:
        size = len(self._mark)
        return bool(data.size >= size and data.slice(data.size - size).to_pybytes() == self._mark)
